package participant

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/topics"
)

// TestG2APausedProcessIsNotFooled reads a duplicate that is a moment younger than the horizon,
// and is paused before its unit begins, while another process prunes the row.
func TestG2APausedProcessIsNotFooled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPayments(t, memory.NewDatabase())
		s.horizon = 24 * time.Hour
		trigger := createdEvent("7")
		trigger.Time = time.Now()
		s.read(trigger)
		require.Equal(t, "1", s.held())

		<-time.After(s.horizon - time.Minute)
		s.read(trigger)
		require.Equal(t, "1", s.held(), "the row shows that it is a duplicate")
		require.Empty(t, s.log.published)

		other := memory.New(s.db)
		var paused atomic.Bool
		s.memory.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpBegin && !e.After && !paused.Swap(true) {
				<-time.After(3 * time.Hour)
				n, err := other.Prune(t.Context(), s.horizon+pruneMargin, 10)
				require.NoError(t, err)
				require.Equal(t, 1, n)
			}
			return nil
		})
		s.read(trigger)
		require.Equal(t, "1", s.held())
		require.Equal(t, choreo.RowNone, s.row("7").State)
		require.Len(t, s.log.published, 1)
	})
}

func TestAgeIsThatOfTheEventOrOfItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, young, unknown := time.Now(), time.Now().Add(48*time.Hour), time.UnixMilli(-1)
		<-time.After(48 * time.Hour)
		for name, test := range map[string]struct {
			event, record time.Time
			stale         bool
		}{
			"young":                {young, young, false},
			"read anew":            {young, old, true},
			"published anew":       {old, young, true},
			"a clock that is fast": {young.Add(time.Hour), old, true},
			"record without time":  {young, unknown, false},
			"nothing known":        {unknown, time.Time{}, false},
		} {
			s := newPayments(t, memory.NewDatabase())
			s.horizon = 24 * time.Hour
			trigger, follower := createdEvent("7"), event(choreo.StepFailed, "create", "7", "")
			trigger.Time, follower.Time = test.event, test.event
			follower.Failure = &choreo.Failure{Class: choreo.ClassRefused}
			batch := s.records(trigger, follower)
			for i := range batch {
				batch[i].Time = test.record
			}
			require.NoError(t, s.handle(t.Context(), batch))
			require.Equal(t, test.stale, s.held() == "", name)
			require.Equal(t, test.stale, len(s.log.published) == 1, "%s: only the trigger is given up", name)
			require.NotEqual(t, choreo.RowNone, s.row("7").State, name)
		}
	})
}

// TestG5APrunedPivotAnswersNoStaleRequest: without its row, the owner of the pivot would take
// a saga that completed long ago for open.
func TestG5APrunedPivotAnswersNoStaleRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := choreo.NewStep[placed, created]("create")
		pivot := choreo.NewStep[created, receipt]("charge")
		def := choreo.MustDefine[placed]("order", 1,
			first.OwnedBy("orders"), pivot.OwnedBy("payments").After(first).Pivot())
		db, log := memory.NewDatabase(), &stubLog{}
		store := memory.New(db)
		p, err := New[*memory.Tx](log, store, &Config{Service: "payments", Sagas: []choreo.AnySaga{def}})
		require.NoError(t, err)
		HandleForward(p, pivot, &script[created, receipt]{})
		p.horizon = 24 * time.Hour
		s := &payments{Participant: p, t: t, db: db, memory: store, log: log}

		trigger, request := createdEvent("7"), event(choreo.AbortRequested, "", "7", "")
		trigger.Time, request.Time = time.Now(), time.Now()
		request.Failure = &choreo.Failure{Class: choreo.ClassCancelled}
		s.read(trigger, request)
		rejected := []string{"choreo.step.completed charge", "choreo.saga.abort-rejected "}
		require.Equal(t, rejected, s.emitted())

		<-time.After(s.horizon + 2*pruneMargin)
		n, err := store.Prune(t.Context(), s.horizon+pruneMargin, 10)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		// A second saga makes of the batch one whose quiet events share a unit.
		another := event(choreo.AbortRequested, "", "8", "")
		another.Time, another.Failure = request.Time, request.Failure
		s.read(request, another)
		require.Equal(t, rejected, s.emitted())
		require.Len(t, log.published, 2)
		require.Empty(t, db.Snapshot().Steps)
	})
}

func TestRetentionWithoutEnd(t *testing.T) {
	for value, want := range map[string]time.Duration{"86400000": 24 * time.Hour, "0": 0} {
		got, known := retention(state("retention.ms", value))
		require.True(t, known)
		require.Equal(t, want, got)
	}
	for _, value := range []string{"-1", "", "many", "9223372036854775807", "9223372036854"} {
		_, known := retention(state("retention.ms", value))
		require.False(t, known, value)
	}
	_, known := retention(state("retention.ms", "1000", "cleanup.policy", "compact"))
	require.False(t, known)
	_, known = retention(state("retention.ms", "1000", "cleanup.policy", "compact,delete"))
	require.True(t, known)
}

func state(settings ...string) topics.TopicState {
	s := topics.TopicState{Settings: make(map[string]string)}
	for pair := range slices.Chunk(settings, 2) {
		s.Settings[pair[0]] = pair[1]
	}
	return s
}
