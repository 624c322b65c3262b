package participant_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
)

const (
	loanEvents = "choreo.loan.events"
	// day is the retention of these tests' topics. By default the horizon is a day longer,
	// and rows stay for another hour.
	day     = 24 * time.Hour
	horizon = 2 * day
	kept    = horizon + time.Hour
)

// keep sets the retention of the events topic.
func (d *desk) keep(retention time.Duration) {
	d.t.Helper()
	ms := int64(-1)
	if retention >= 0 {
		ms = retention.Milliseconds()
	}
	require.NoError(d.t, d.log.SetConfig(d.t.Context(), loanEvents, map[string]string{"retention.ms": strconv.FormatInt(ms, 10)}))
}

// make returns a process of the bank that, if config does not say otherwise, looks rarely at
// what it need not know soon, so that days pass quickly.
func (d *desk) make(config participant.Config) *participant.Participant[*memory.Tx] {
	d.t.Helper()
	return d.makeOn(memory.New(d.db), config)
}

// makeOn is make over this connection to the database.
func (d *desk) makeOn(store *memory.Store, config participant.Config) *participant.Participant[*memory.Tx] {
	d.t.Helper()
	config.Service = "bank"
	config.StatusEvery = -1 // months pass, and nobody looks
	if config.Sagas == nil {
		config.Sagas = []choreo.AnySaga{loans}
	}
	if config.ClockPoll == 0 {
		config.RelayPoll, config.ClockPoll = time.Hour, time.Hour
	}
	p, err := participant.New[*memory.Tx](d.log, store, &config)
	require.NoError(d.t, err)
	participant.Handle(p, check, clerk{d})
	participant.Handle(p, approve, clerk{d})
	participant.HandleForward(p, payOut, clerk{d})
	return p
}

// openWith starts such a process.
func (d *desk) openWith(config participant.Config) *participant.Participant[*memory.Tx] {
	d.t.Helper()
	p := d.make(config)
	d.runs(p)
	return p
}

// runs runs a process until closeAll.
func (d *desk) runs(p *participant.Participant[*memory.Tx]) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	d.stops = append(d.stops, func() { cancel(); require.NoError(d.t, <-ended) })
	synctest.Wait()
}

func (d *desk) rows() int {
	s := d.db.Snapshot()
	return len(s.Steps) + len(s.Sagas)
}

func (d *desk) deadLetters() []choreo.Record { return d.log.Records("choreo.dlq") }

func TestRowsGoOnceTheyAreOlderThanTheHorizon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.keep(day)
		d.answer = func(step string, call *participant.Call[loan]) error {
			if call.SagaID != "7" && step == "pay-out" {
				return choreo.RetryAfter(day, errors.New("no money"))
			}
			return nil
		}
		d.undo = func(call *participant.Call[loan]) error {
			if call.SagaID == "stuck" {
				return choreo.Permanent(errors.New("no way back"))
			}
			return nil
		}
		p := d.openWith(participant.Config{})
		for _, id := range []string{"7", "overdue", "stuck"} {
			_, err := participant.Start(t.Context(), p, loans, id, loan{})
			require.NoError(t, err)
		}
		ids := func() []string {
			var ids []string
			for _, row := range d.db.Snapshot().Sagas {
				ids = append(ids, row.SagaID.ID)
			}
			return ids
		}
		const each = 3 + 1
		<-time.After(time.Minute)
		require.Equal(t, 3*each, d.rows())
		<-time.After(kept - 2*time.Minute)
		require.Equal(t, 3*each, d.rows(), "a moment before")
		<-time.After(5 * time.Minute)
		require.Equal(t, 2*each, d.rows(), "the rows of the saga that ended have gone")
		require.Equal(t, []string{"overdue", "stuck"}, ids())
		<-time.After(5 * time.Hour)
		require.Equal(t, 2*each, d.rows(), "what ended by its deadline stays for as long from then on")
		<-time.After(3 * time.Hour)
		require.Equal(t, []string{"stuck"}, ids())
		<-time.After(10 * day)
		require.Equal(t, each, d.rows(), "what waits for an operator stays")
	})
}

// TestG2AStaleDuplicateIsNotActedOn reads all events anew once their rows have gone, and
// has a relay publish a copy: of neither a step runs again.
func TestG2AStaleDuplicateIsNotActedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.keep(day)
		d.begin(d.openWith(participant.Config{}))
		<-time.After(kept + time.Hour)
		require.Zero(t, d.rows())
		require.EqualValues(t, 3, d.executed.Load())
		events := d.log.Records(loanEvents)
		require.Empty(t, d.deadLetters())
		d.closeAll()

		home := events[0].Partition
		d.log.Rewind("choreo.bank", loanEvents, home, 0)
		d.openWith(participant.Config{})
		<-time.After(time.Minute)
		require.EqualValues(t, 3, d.executed.Load(), "read anew")
		require.Zero(t, d.rows())
		triggers := 3 // Started, and what the second and the third step wait for
		require.Len(t, d.deadLetters(), triggers)

		copied := events[0]
		require.Empty(t, d.log.Publish(t.Context(), []choreo.Record{copied}))
		<-time.After(time.Minute)
		require.EqualValues(t, 3, d.executed.Load(), "published anew: only the event itself is old")
		require.Len(t, d.deadLetters(), triggers+1)
		letter := d.deadLetters()[triggers]
		require.Equal(t, copied.Value, letter.Value)
		cause := header(letter, "kafka_dlt-exception-message")
		require.Contains(t, cause, "choreo.saga.started")
		require.Contains(t, cause, "the horizon is 48h0m0s")
		require.Contains(t, cause, "raise Config.Horizon")

		d.closeAll()
		d.log.Rewind("choreo.bank", loanEvents, home, 0)
		d.openWith(participant.Config{Horizon: -1})
		<-time.After(time.Minute)
		require.EqualValues(t, 6, d.executed.Load(), "what happens where nothing guards the rows that have gone")
	})
}

func header(rec choreo.Record, key string) string {
	for _, h := range rec.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestHorizonGoesWithRetentionAndDeadline(t *testing.T) {
	for _, test := range []struct {
		name               string
		horizon, retention time.Duration
		wants              []string // parts of the refusal
	}{
		{"below the retention", day - time.Millisecond, day, []string{"Config.Horizon is 23h59m59.999s", loanEvents, "24h0m0s", "retention.ms 86400000"}},
		{"below a deadline", 5 * time.Hour, time.Hour, []string{"Config.Horizon is 5h0m0s", "saga loan/1", "6h0m0s"}},
		{"equal", day, day, nil},
		{"switched off", -1, day, nil},
		{"without end", day, -1, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				defer d.close()
				d.keep(test.retention)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := d.make(participant.Config{Horizon: test.horizon}).Run(ctx)
				if test.wants == nil {
					require.NoError(t, err)
					return
				}
				for _, part := range test.wants {
					require.ErrorContains(t, err, part)
				}
				require.NoError(t, ctx.Err(), "refused at once")
			})
		})
	}
	_, err := participant.New[*memory.Tx](nil, nil, &participant.Config{Service: "bank", Sagas: []choreo.AnySaga{loans}, PruneEvery: -1})
	require.ErrorContains(t, err, "Config.PruneEvery")
}

func TestWithoutRetentionRowsStayUnlessAHorizonIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.keep(-1)
		d.begin(d.openWith(participant.Config{}))
		<-time.After(100 * day)
		require.Equal(t, 4, d.rows())
		d.closeAll()

		d.openWith(participant.Config{Horizon: 99 * day})
		<-time.After(time.Hour)
		require.Zero(t, d.rows())
	})
}

// TestPruningCatchesUp lets the database be away when rows are due, and then has many to
// delete.
func TestPruningCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.close()
		d.keep(day)
		const sagas = 5000
		store := memory.New(d.db)
		for i := range sagas {
			id := outbox.SagaID{Saga: "loan", ID: strconv.Itoa(i)}
			u, err := store.Begin(t.Context(), id)
			require.NoError(t, err)
			require.NoError(t, u.Commit(t.Context(), outbox.Changes{
				Steps: []outbox.StepRow{{SagaID: id, Step: "check", Version: 1, Row: choreo.Row{State: choreo.RowFailed}}},
			}))
		}
		d.openWith(participant.Config{})
		<-time.After(kept - time.Minute)
		d.db.Stop()
		<-time.After(time.Hour)
		require.Equal(t, sagas, d.rows())
		d.db.Start()
		<-time.After(10 * time.Second)
		require.Zero(t, d.rows(), "not a batch a minute")
	})
}
