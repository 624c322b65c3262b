package participant_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/participant/choreotest"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// cranky fails as often as it is called.
type cranky struct{ message string }

func (h cranky) Execute(context.Context, *memory.Tx, *participant.Call[loan]) (loan, error) {
	return loan{}, errors.New(h.message)
}

func (cranky) Compensate(context.Context, *memory.Tx, *participant.Call[loan], loan) error {
	return nil
}

// told returns what the processes of a service have told so far.
func told(t testing.TB, w *choreotest.World, service string) (list []*topics.Status) {
	t.Helper()
	for _, rec := range w.Log().Records("choreo.participants") {
		s, err := topics.DecodeStatus(&rec)
		require.NoError(t, err)
		require.Equal(t, s.Service+"/"+s.Instance, string(rec.Key))
		if s.Service == service {
			list = append(list, s)
		}
	}
	return list
}

func TestAProcessTellsHowItStands(t *testing.T) {
	saga := choreo.MustDefine[loan]("lending", 1,
		check.OwnedBy("bank"), approve.OwnedBy("board").After(check).Retry(choreo.FixedRetry(9, time.Hour)))
	choreotest.Run(t, []choreo.AnySaga{saga}, func(w *choreotest.World) {
		t := w.T()
		w.Config.StatusEvery, w.Config.Build = 10*time.Second, "v1.2.3"
		began := time.Now()
		bank := choreotest.Serve(w, "bank", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, check, teller{}) })
		long := "no quorum: " + strings.Repeat("ä", 1000)
		board := choreotest.Serve(w, "board", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, approve, cranky{long}) })
		choreotest.Start(bank, saga, "7", loan{})
		w.Advance(time.Minute)

		list := told(t, w, "board")
		require.GreaterOrEqual(t, len(list), 5)
		require.LessOrEqual(t, len(list), 9)
		s := list[len(list)-1]
		require.Equal(t, "v1.2.3", s.Build)
		require.InDelta(t, 10, s.EverySeconds, 0)
		require.False(t, s.Stopping)
		require.Equal(t, 12, s.Partitions)
		require.Equal(t, list[0].Instance, s.Instance)
		require.WithinDuration(t, began, s.StartedAt, time.Second)
		require.WithinDuration(t, time.Now(), s.At, 15*time.Second)
		require.Len(t, s.Waiting, 1)
		row := s.Waiting[0]
		require.Equal(t, "lending/1 7 approve retrying 1", row.Saga+"/1 "+row.ID+" "+row.Step+" "+string(row.State)+" 1")
		require.Equal(t, 1, row.Version)
		require.Equal(t, 1, row.Attempt)
		require.WithinDuration(t, began.Add(time.Hour), *row.DueAt, 5*time.Second)
		require.WithinDuration(t, began, row.Since, 5*time.Second)
		require.Equal(t, choreo.ClassRetryable, row.Error.Class)
		require.True(t, strings.HasPrefix(row.Error.Message, "no quorum: ää"))
		require.Less(t, len(row.Error.Message), 600)
		require.Zero(t, s.Open)

		s = told(t, w, "bank")[3]
		require.Equal(t, 1, s.Open, "the saga that it has started")
		require.Empty(t, s.Waiting)
		require.Empty(t, s.StoreError+s.ReadError)

		board.Stop()
		list = told(t, w, "board")
		require.True(t, list[len(list)-1].Stopping)
		board.Restart()
		w.Advance(time.Second)
		list = told(t, w, "board")
		require.NotEqual(t, s.Instance, list[len(list)-1].Instance)
		require.False(t, list[len(list)-1].Stopping)
	})
}

func TestAProcessTellsWhatIsParked(t *testing.T) {
	saga := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s })
	choreotest.Run(t, []choreo.AnySaga{saga}, func(w *choreotest.World) {
		w.Config.StatusEvery, w.Config.ParkUnhandled = time.Second, true
		bank := choreotest.Serve(w, "bank", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, check, teller{}) })
		choreotest.Serve(w, "board", func(*participant.Participant[*memory.Tx]) {})
		choreotest.Start(bank, saga, "7", loan{})
		w.Advance(10 * time.Second)
		list := told(w.T(), w, "board")
		s := list[len(list)-1]
		require.Equal(w.T(), 1, s.Parked)
		require.Len(w.T(), s.Waiting, 1)
		require.Empty(w.T(), s.Waiting[0].Step)
		require.Equal(w.T(), choreo.RowParked, s.Waiting[0].State)
		require.Equal(w.T(), "no-handler", s.Waiting[0].Error.Code)
	})
}

// What a status waits for keeps no saga waiting, nor the stop.
func TestNoSagaWaitsForAStatus(t *testing.T) {
	saga := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s })
	synctest.Test(t, func(t *testing.T) {
		log := newLendingLog(t, saga, true)
		core, lines := observer.New(zap.InfoLevel)
		store := memory.New(memory.NewDatabase())
		stuck := make(chan struct{})
		store.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpWaiting && !e.After {
				<-stuck // the database never answers this
			}
			return nil
		})
		p, err := participant.New[*memory.Tx](log, store, &participant.Config{
			Service: "bank", Sagas: []choreo.AnySaga{saga}, StatusEvery: time.Second, Logger: zap.New(core),
		})
		require.NoError(t, err)
		participant.Handle(p, check, teller{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		_, err = participant.Start(ctx, p, saga, "7", loan{})
		require.NoError(t, err)
		require.NoError(t, log.WaitUntil(ctx, func() bool { return len(log.Records("choreo.lending.events")) == 2 }))
		require.Empty(t, log.Records("choreo.participants"))
		stop()
		synctest.Wait()
		close(stuck)
		require.NoError(t, <-ended)
		require.Zero(t, lines.FilterMessageSnippet("is told to nobody").Len())
	})
}

// Without the topic there is one line about it, and nothing else.
func TestWithoutTheTopicNobodyIsTold(t *testing.T) {
	saga := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s })
	synctest.Test(t, func(t *testing.T) {
		log := newLendingLog(t, saga, false)
		core, lines := observer.New(zap.InfoLevel)
		p, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{
			Service: "bank", Sagas: []choreo.AnySaga{saga}, StatusEvery: time.Second, Logger: zap.New(core),
		})
		require.NoError(t, err)
		participant.Handle(p, check, teller{})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		require.NoError(t, p.Run(ctx))
		require.Equal(t, 1, lines.FilterMessageSnippet("is told to nobody").Len())
	})
}

// The broker goes away and comes back: that is said once each.
func TestABrokerThatIsAwayCostsStatusesAlone(t *testing.T) {
	saga := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s })
	choreotest.Run(t, []choreo.AnySaga{saga}, func(w *choreotest.World) {
		core, lines := observer.New(zap.InfoLevel)
		w.Config.StatusEvery, w.Config.Logger = time.Second, zap.New(core)
		choreotest.Serve(w, "bank", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, check, teller{}) })
		w.Advance(5 * time.Second)
		w.Log().Disconnect(errors.New("away"))
		w.Advance(time.Minute)
		w.Log().Reconnect()
		w.Advance(5 * time.Second)
		require.Equal(w.T(), 1, lines.FilterMessageSnippet("cannot be told").Len())
		require.Equal(w.T(), 1, lines.FilterMessageSnippet("is told again").Len())
		list := told(w.T(), w, "bank")
		require.WithinDuration(w.T(), time.Now(), list[len(list)-1].At, 2*time.Second)
	})
}

// newLendingLog is a log with the topics of the saga, and that of statuses or not.
func newLendingLog(t *testing.T, saga choreo.AnySaga, statuses bool) *memorylog.Log {
	t.Helper()
	log := memorylog.New(memorylog.Options{})
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	for _, spec := range topics.Topology(names, []choreo.AnySaga{saga}, topics.TopologyOptions{}) {
		if statuses || spec.Name != names.Participants() {
			require.NoError(t, log.CreateTopic(t.Context(), spec))
		}
	}
	return log
}
