package integration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

type deposit struct{ Refused bool }

var (
	book   = choreo.NewStep[deposit, deposit]("book")
	ledger = choreo.MustDefine[deposit]("ledger", 1, book.OwnedBy("bank").NoCompensation())
)

// groupBench is a benchmark of steps: each is a saga of one step, whose Started stands in a log in
// memory, and which one of the instances of a service reads and does. There is no relay.
type groupBench struct {
	instances, groups, most int
	rows                    int // that handlers update, one at random
	refused                 int // percentage of the steps
}

func (g groupBench) String() string {
	return fmt.Sprintf("instances=%d/groups=%d/most=%d/rows=%d/refused=%d", g.instances, g.groups, g.most, g.rows, g.refused)
}

func (g groupBench) run(b *testing.B) {
	stores, update := benchAccounts(b, g.instances)
	log := memorylog.New(memorylog.Options{})
	defer func() { require.NoError(b, log.Close()) }()
	names, err := topics.NewNames("choreo")
	require.NoError(b, err)
	plan, err := topics.NewPlan(b.Context(), log, topics.Topology(names, []choreo.AnySaga{ledger}, topics.TopologyOptions{}))
	require.NoError(b, err)
	require.NoError(b, plan.Apply(b.Context(), log))
	g.publish(b, log, names.Events("ledger"))

	handler := participant.ExecuteFunc[pgx.Tx, deposit, deposit](func(ctx context.Context, tx pgx.Tx, call *participant.Call[deposit]) (deposit, error) {
		err := update(ctx, tx, g.rows)
		if err == nil && call.Input.Refused {
			err = choreo.Refuse("refused", nil)
		}
		return call.Input, err
	})
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	b.ResetTimer()
	for _, store := range stores {
		p, err := participant.New(log, store, &participant.Config{
			Service: "bank", Sagas: []choreo.AnySaga{ledger}, Groups: g.groups, GroupMax: g.most, NoRelay: true,
		})
		require.NoError(b, err)
		participant.HandleForward(p, book, handler, participant.Local())
		running.Go(func() {
			if err := p.Run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for entries := 0; entries < b.N; {
		<-look.C
		backlog, err := stores[0].Backlog(ctx)
		require.NoError(b, err)
		entries = backlog.Entries
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
	stop()
	running.Wait()
}

// publish has b.N sagas started.
func (g groupBench) publish(b *testing.B, log topics.Log, topic string) {
	records := make([]choreo.Record, b.N)
	for i := range records {
		payload := "{}"
		if i%100 < g.refused {
			payload = `{"Refused":true}`
		}
		records[i] = topics.Encode(&choreo.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Type: choreo.Started, Saga: "ledger", Version: 1, SagaID: benchID(),
			Source: "shop", Initiator: "shop", Time: time.Now(), ContentType: "application/json", Payload: []byte(payload),
			Partition: choreo.AnyPartition,
		}, topic)
	}
	require.NoError(b, errors.Join(log.Publish(b.Context(), records)...))
}

// BenchmarkGroup is steps a second by how they share transactions. Outbox rows are not relayed.
func BenchmarkGroup(b *testing.B) {
	for _, g := range []groupBench{
		{instances: 1, groups: -1},
		{instances: 1, groups: 1},
		{instances: 1, groups: 2},
		{instances: 1, groups: 4},
		{instances: 1, groups: 1, most: 16},
		{instances: 1, groups: 1, most: 256},
		{instances: 1, groups: -1, refused: 20},
		{instances: 1, groups: 1, refused: 20},
		{instances: 1, groups: 1, refused: 1},
	} {
		b.Run(g.String(), g.run)
	}
}

// BenchmarkGroupHotRows is two instances of a service whose handlers update 10,000 rows, or ten: the
// second figure is to be at least 0.8 of the first.
func BenchmarkGroupHotRows(b *testing.B) {
	for _, rows := range []int{10_000, 10} {
		g := groupBench{instances: 2, groups: 1, rows: rows}
		b.Run(g.String(), g.run)
	}
}
