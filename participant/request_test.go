package participant_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/participant/choreotest"
	"github.com/choreo-go/choreo/topics"
)

var wished = map[string]string{"customer": "c-1", "channel": "phone"}

// asking is a world of the bank, which starts lendings, and of the board, which does not.
func asking(t *testing.T, set func(*participant.Config), f func(w *choreotest.World, ask func(change func(*choreo.Event)) *choreo.Event)) {
	t.Helper()
	saga := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s })
	choreotest.Run(t, []choreo.AnySaga{saga}, func(w *choreotest.World) {
		set(&w.Config)
		choreotest.Serve(w, "bank", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, check, teller{}) })
		choreotest.Serve(w, "board", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, approve, teller{}) })
		n := 0
		f(w, func(change func(*choreo.Event)) *choreo.Event {
			n++
			ev := &choreo.Event{
				ID: fmt.Sprint("request-", n), Type: choreo.StartRequested, Saga: "lending", Version: 1, SagaID: "7", Source: "operator",
				Target: "bank", By: "ada", Note: "by phone", Tags: wished, Time: time.Now(),
				ContentType: "application/json", Payload: []byte(`{"Amount":5}`), TraceParent: "00-a-b-01", Partition: choreo.AnyPartition,
			}
			if change != nil {
				change(ev)
			}
			rec := topics.Encode(ev, "choreo.lending.events")
			require.Nil(w.T(), w.Log().Publish(w.Context(), []choreo.Record{rec, rec}), "twice, as may happen")
			w.Advance(time.Minute)
			return ev
		})
	})
}

// of returns the events of a type in the log.
func of(w *choreotest.World, typ choreo.EventType) (list []*choreo.Event) {
	for _, rec := range w.Records() {
		ev, err := topics.Decode(&rec)
		require.NoError(w.T(), err)
		if ev.Type == typ {
			list = append(list, ev)
		}
	}
	return list
}

var lending7 = participant.Ref{Saga: "lending", SagaID: "7"}

func TestASagaIsStartedOnRequest(t *testing.T) {
	for name, open := range map[string]int{"at once": 0, "by way of the queue": 3} {
		t.Run(name, func(t *testing.T) {
			asking(t, func(c *participant.Config) { c.MaxOpenSagas = open }, func(w *choreotest.World, ask func(func(*choreo.Event)) *choreo.Event) {
				t := w.T()
				request := ask(nil)
				w.AssertStatus(lending7, choreo.StatusCompleted)
				started := of(w, choreo.Started)
				require.Len(t, started, 1)
				require.Equal(t, request.ID, started[0].CausationID)
				require.Equal(t, "bank", started[0].Source)
				require.Equal(t, "bank", started[0].Initiator)
				require.Equal(t, wished, started[0].Tags)
				require.JSONEq(t, `{"Amount":5}`, string(started[0].Payload))
				require.Equal(t, "00-a-b-01", started[0].TraceParent)
				require.Equal(t, of(w, choreo.StartRequested)[0].Partition, started[0].Partition)
				require.Empty(t, of(w, choreo.StartRejected))
				for _, ev := range of(w, choreo.StepCompleted) {
					require.Empty(t, ev.Tags, "only Started carries them")
				}

				again := ask(func(ev *choreo.Event) { ev.Payload = []byte(`{"Amount":9}`) })
				require.Len(t, of(w, choreo.Started), 1, "the id starts one saga")
				rejected := of(w, choreo.StartRejected)
				require.Len(t, rejected, 1, "a command is answered once")
				require.Equal(t, "exists", rejected[0].Failure.Code)
				require.Equal(t, again.ID, rejected[0].CausationID)
				require.Equal(t, "ada: by phone", rejected[0].By+": "+rejected[0].Note)
				require.Equal(t, started[0].Partition, rejected[0].Partition)
				w.AssertStatus(lending7, choreo.StatusCompleted)
				w.AssertOutboxEmpty()
			})
		})
	}
}

func TestARequestThatCannotBeDoneIsRejectedOnce(t *testing.T) {
	for code, test := range map[string]struct {
		change func(*choreo.Event)
		says   string
	}{
		"unknown-version":     {func(ev *choreo.Event) { ev.Version = 9 }, "version 9 of saga lending is not known to this build of service bank"},
		"not-initiator":       {func(ev *choreo.Event) { ev.Target = "board" }, "ask the one that owns a first step"},
		"undecodable-payload": {func(ev *choreo.Event) { ev.Payload = []byte(`{"Amount":"much"}`) }, "the input of lending/1"},
		"invalid-id":          {func(ev *choreo.Event) { ev.SagaID = "7\u0085" }, "control character"},
	} {
		t.Run(code, func(t *testing.T) {
			asking(t, func(*participant.Config) {}, func(w *choreotest.World, ask func(func(*choreo.Event)) *choreo.Event) {
				t := w.T()
				request := ask(test.change)
				rejected := of(w, choreo.StartRejected)
				require.Len(t, rejected, 1)
				require.Equal(t, code, rejected[0].Failure.Code)
				require.Contains(t, rejected[0].Failure.Message, test.says)
				require.Equal(t, request.ID, rejected[0].CausationID)
				require.Equal(t, request.Version, rejected[0].Version)
				require.Empty(t, of(w, choreo.Started))

				ask(nil)
				w.AssertStatus(lending7, choreo.StatusCompleted)
				w.AssertOutboxEmpty()
			})
		})
	}
}

func TestAnInputOfAnotherEncodingIsRejected(t *testing.T) {
	asking(t, func(*participant.Config) {}, func(w *choreotest.World, ask func(func(*choreo.Event)) *choreo.Event) {
		ask(func(ev *choreo.Event) { ev.ContentType = "avro/binary" })
		rejected := of(w, choreo.StartRejected)
		require.Len(w.T(), rejected, 1)
		require.Contains(w.T(), rejected[0].Failure.Message, `it is "avro/binary", and has to be "application/json"`)
	})
}

// A request is for one service, whoever reads it.
func TestARequestForNobodyIsNobodys(t *testing.T) {
	asking(t, func(*participant.Config) {}, func(w *choreotest.World, ask func(func(*choreo.Event)) *choreo.Event) {
		ask(func(ev *choreo.Event) { ev.Target = "someone" })
		require.Len(w.T(), w.Records(), 2, "the request")
		require.Empty(w.T(), w.Database("bank").Snapshot().Steps)
	})
}

// What is older than the horizon may be a duplicate whose row has been pruned.
func TestAnOldRequestIsDeadLettered(t *testing.T) {
	asking(t, func(*participant.Config) {}, func(w *choreotest.World, ask func(func(*choreo.Event)) *choreo.Event) {
		t := w.T()
		ask(func(ev *choreo.Event) { ev.Time = ev.Time.Add(-32 * 24 * time.Hour) })
		require.Empty(t, of(w, choreo.Started))
		require.Empty(t, of(w, choreo.StartRejected))
		letters := w.Log().Records("choreo.dlq")
		require.Len(t, letters, 2)
		letter, err := topics.ReadDeadLetter(&letters[0])
		require.NoError(t, err)
		require.Contains(t, letter.Message, "Config.Horizon")
	})
}

func TestTagsStandInStartedAlone(t *testing.T) {
	for name, open := range map[string]int{"at once": 0, "by way of the queue": 1} {
		t.Run(name, func(t *testing.T) {
			saga := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s })
			choreotest.Run(t, []choreo.AnySaga{saga}, func(w *choreotest.World) {
				t := w.T()
				w.Config.MaxOpenSagas = open
				bank := choreotest.Serve(w, "bank", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, check, teller{}) })
				choreotest.Serve(w, "board", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, approve, teller{}) })
				ref := choreotest.Start(bank, saga, "7", loan{},
					participant.WithTags(map[string]string{"customer": "c-1"}), participant.WithTags(map[string]string{"channel": "phone"}))
				w.Wait(ref)
				for _, rec := range w.Records() {
					ev, err := topics.Decode(&rec)
					require.NoError(t, err)
					if ev.Type == choreo.Started {
						require.Equal(t, wished, ev.Tags)
						header, _ := rec.Header("ce_tags")
						require.Equal(t, []byte(`{"channel":"phone","customer":"c-1"}`), header, "sorted") //nolint:testifylint // the bytes are meant: they are sorted
					} else {
						require.Empty(t, ev.Tags)
					}
				}
				_, err := participant.Start(w.Context(), bank.Participant(), saga, "8", loan{}, participant.WithTags(map[string]string{"Customer": ""}))
				require.ErrorContains(t, err, `tag "Customer": its name holds 'C'`)
				require.Empty(t, of(w, choreo.StartRejected))
			})
		})
	}
}
