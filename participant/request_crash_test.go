package participant

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/topics"
)

// Whoever reads the request after a crash at any point knows nothing of it, and the saga is
// started, or the request rejected, once.
func TestARequestedStartIsDoneOnceAtEveryCrashPoint(t *testing.T) {
	mine := choreo.MustDefine[placed]("order", 1, accept.OwnedBy("payments").NoCompensation())
	for name, open := range map[string]int{"at once": 0, "queued": 1} {
		for _, version := range []int{1, 2} { // the latter is not known
			t.Run(name, func(t *testing.T) { crashAtStart(t, mine, open, version) })
		}
	}
}

var accept = choreo.NewStep[placed, receipt]("charge")

func crashAtStart(t *testing.T, saga choreo.AnySaga, open, version int) {
	t.Helper()
	request := event(choreo.StartRequested, "", "17", `{"Customer":"ada"}`)
	request.Version, request.Target, request.By, request.Initiator = version, "payments", "ada", ""
	request.Tags = map[string]string{"a": "b"}
	serve := func(db *memory.Database) *payments {
		s := &payments{t: t, db: db, memory: memory.New(db), log: &stubLog{}}
		var err error
		s.Participant, err = New[*memory.Tx](s.log, s.memory, &Config{Service: "payments", Sagas: []choreo.AnySaga{saga}, MaxOpenSagas: open})
		require.NoError(t, err)
		return s
	}
	effects := 0
	for at, done := 1, false; !done; at++ {
		db := memory.NewDatabase()
		s := serve(db)
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		s.memory.SetHook(func(memory.Effect) error {
			if seen++; seen == at {
				cancel()
				s.memory.Kill()
				return errors.New("crash")
			}
			return nil
		})
		_ = s.handle(ctx, s.records(request)) // it fails where it crashed
		done = ctx.Err() == nil
		cancel()
		effects = at

		next := serve(db)
		next.read(request)
		next.read(request)
		next.act()
		next.read(request)
		want, states := []string{"choreo.saga.started "}, choreo.RowOpen
		if version == 2 {
			want, states = []string{"choreo.saga.start-rejected "}, choreo.RowNone
		}
		require.Equal(t, want, next.emitted(), "crash point %d", at)
		ev := next.last()
		require.Equal(t, request.ID, ev.CausationID, "crash point %d", at)
		require.Equal(t, request.Partition, ev.Partition, "crash point %d", at)
		sagas := db.Snapshot().Sagas
		if states == choreo.RowNone {
			require.Empty(t, sagas, "crash point %d", at)
			continue
		}
		require.Len(t, sagas, 1, "crash point %d", at)
		require.Equal(t, states, sagas[0].State, "crash point %d", at)
		require.Equal(t, request.Tags, ev.Tags, "crash point %d", at)
	}
	require.Greater(t, effects, 4)
}

// The request may be read in another partition than that which the id picks by now.
func TestARequestedSagaLivesWhereItsRequestStands(t *testing.T) {
	mine := choreo.MustDefine[placed]("order", 1, accept.OwnedBy("payments").NoCompensation())
	s := newPaymentsWith(t, memory.NewDatabase(), Config{Sagas: []choreo.AnySaga{mine}, ParkUnhandled: true})
	s.homes.set(map[string]topics.TopicState{"choreo.order.events": {Partitions: 1}})
	request := event(choreo.StartRequested, "", "17", `{"Customer":"ada"}`)
	request.Target = "payments"
	s.read(request)
	require.Equal(t, int32(3), s.last().Partition)
	require.Equal(t, int32(3), s.db.Snapshot().Sagas[0].Home)
}
