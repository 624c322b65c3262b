package integration

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
)

var benchPayload = make([]byte, 200)

// forwardStep is what a forward step writes.
func forwardStep(id outbox.SagaID) outbox.Changes {
	return outbox.Changes{
		Steps: []outbox.StepRow{{SagaID: id, Step: "charge-payment", Version: 1, Row: choreo.Row{
			State: choreo.RowCompleted, Attempt: 1, Home: 3,
			Inputs: []choreo.Output{{Step: "reserve-stock", ContentType: "application/json", Data: benchPayload}},
			Output: choreo.Output{Step: "charge-payment", ContentType: "application/json", Data: benchPayload},
		}}},
		Entries: []outbox.Entry{{
			ID: "0197f2d0-0000-7000-8000-000000000000", Type: string(choreo.StepCompleted),
			Record: choreo.Record{
				Topic: "choreo.order.events", Partition: 3, Key: []byte(id.ID), Value: benchPayload,
				Headers: []choreo.Header{
					{Key: "ce_id", Value: benchPayload[:36]}, {Key: "ce_type", Value: benchPayload[:24]},
					{Key: "ce_time", Value: benchPayload[:30]},
				},
			},
		}},
	}
}

func benchPool(b *testing.B) *pgxpool.Pool {
	config, err := pgxpool.ParseConfig(servers.Postgres(b))
	require.NoError(b, err)
	config.MaxConns = 40
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	return pool
}

// benchIDs numbers sagas, since a benchmark runs more than once.
var benchIDs atomic.Int64

func benchID() string { return fmt.Sprintf("order-%09d", benchIDs.Add(1)) }

// perSecond runs work with a number of workers and reports how often a second it was done.
func perSecond(b *testing.B, workers int, unit string, work func() error) {
	var n atomic.Int64
	done := make(chan error, workers)
	b.ReportAllocs()
	b.ResetTimer()
	for range workers {
		go func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				if err := work(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		require.NoError(b, <-done)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit+"/s")
}

func benchUnits[Tx any](b *testing.B, store outbox.Store[Tx]) {
	require.NoError(b, store.Migrate(b.Context()))
	for _, sagas := range []int{1, 8} {
		for _, workers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("sagas=%d/workers=%d", sagas, workers), func(b *testing.B) {
				perSecond(b, workers, "units", func() error {
					ids := make([]outbox.SagaID, sagas)
					var changes outbox.Changes
					for i := range ids {
						ids[i] = outbox.SagaID{Saga: "order", ID: benchID()}
						one := forwardStep(ids[i])
						changes.Steps = append(changes.Steps, one.Steps...)
						changes.Entries = append(changes.Entries, one.Entries...)
					}
					u, err := store.Begin(b.Context(), ids...)
					if err != nil {
						return err
					}
					return u.Commit(b.Context(), changes)
				})
			})
		}
	}
}

func BenchmarkOutboxUnit(b *testing.B) {
	b.Run("pgx", func(b *testing.B) { benchUnits(b, postgres.New(benchPool(b), nil)) })
	b.Run("sql", func(b *testing.B) {
		db := stdlib.OpenDBFromPool(benchPool(b))
		defer db.Close()
		benchUnits(b, postgres.NewSQL(db, nil))
	})
	b.Run("bare", func(b *testing.B) {
		pool := benchPool(b)
		require.NoError(b, postgres.New(pool, nil).Migrate(b.Context()))
		for _, workers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
				perSecond(b, workers, "units", func() error {
					return bareUnit(b.Context(), pool, benchID())
				})
			})
		}
	})
}

// bareUnit does the writes of a unit, with nothing around them: what the machine gives.
func bareUnit(ctx context.Context, pool *pgxpool.Pool, id string) error {
	var batch pgx.Batch
	batch.Queue("begin")
	batch.Queue(`INSERT INTO choreo_step (saga_id, saga, step, version, state, attempt, home, announced, kept, bypassed, stuck, inputs, output_type, output)
		VALUES ($1, 'order', 'charge-payment', 1, 'completed', 1, 3, false, false, false, false, $2, 'application/json', $2)`, id, benchPayload)
	batch.Queue(`INSERT INTO choreo_outbox (id, aggregatetype, aggregateid, type, payload, kafka_partition, headers)
		VALUES ('0197f2d0-0000-7000-8000-000000000000', 'choreo.order.events', $1, 'choreo.step.completed', $2, 3, $2)`, id, benchPayload)
	batch.Queue("commit")
	return pool.SendBatch(ctx, &batch).Close()
}

// BenchmarkOutboxRelay takes rows from a backlog that stays large, and whose deleted rows
// nobody cleans up in the meantime.
func BenchmarkOutboxRelay(b *testing.B) {
	const batch, backlog = 1000, 500_000
	pool := benchPool(b)
	store := postgres.New(pool, nil)
	require.NoError(b, store.Migrate(b.Context()))
	fill := func() {
		u, err := store.Begin(b.Context())
		require.NoError(b, err)
		require.NoError(b, u.Commit(b.Context(), outbox.Changes{Entries: forwardStep(outbox.SagaID{Saga: "order", ID: "first"}).Entries}))
		_, err = pool.Exec(b.Context(), `INSERT INTO choreo_outbox (id, aggregatetype, aggregateid, type, payload, kafka_partition, headers)
			SELECT id, aggregatetype, 'order-' || i % 50000, type, payload, kafka_partition, headers
			FROM (SELECT * FROM choreo_outbox LIMIT 1) AS first, generate_series(2, $1::integer) AS i`, backlog)
		require.NoError(b, err)
	}
	fill()
	left := backlog
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			fill()
			left = backlog
			b.StartTimer()
		}
		c, err := store.Claim(b.Context(), batch, nil)
		require.NoError(b, err)
		require.Len(b, c.Entries(), batch)
		seqs := make([]int64, 0, batch)
		for _, e := range c.Entries() {
			seqs = append(seqs, e.Seq)
		}
		require.NoError(b, c.Done(b.Context(), seqs))
		require.NoError(b, c.Release(b.Context()))
		left -= batch
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "rows/s")
}
