package participant_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/participant/choreotest"
	"github.com/choreo-go/choreo/topics"
)

// teller is a handler of any step that notes what it has done.
type teller struct{ refuses, begins string }

func (h teller) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[loan]) (loan, error) {
	if call.Step == h.refuses {
		return loan{}, choreo.Refuse("declined", nil)
	}
	if call.Step == h.begins {
		return loan{}, participant.Pending(time.Hour)
	}
	return call.Input, tx.Put(call.Step, call.SagaID, "done")
}

func (h teller) Compensate(_ context.Context, tx *memory.Tx, call *participant.Call[loan], _ loan) error {
	return tx.Put(call.Step, call.SagaID, "undone")
}

// lending is a saga of two services, whose approval may be the pivot, or may keep what was
// done when it is refused.
func lending(shape func(*choreo.StepOf[loan, loan]) choreo.Option) *choreo.Saga[loan] {
	return choreo.MustDefine[loan]("lending", 1,
		check.OwnedBy("bank"), shape(approve.OwnedBy("board").After(check)))
}

func TestAForcedAbort(t *testing.T) {
	plain := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s })
	pivot := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s.Pivot() })
	kept := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option {
		return s.CompensateWhen("never", func(*choreo.Failure) bool { return false })
	})
	rejected := func(code string) []string {
		return []string{"abort-requested: cancelled forced", "abort-rejected: refused " + code}
	}
	aborted := []string{"abort-requested: cancelled forced", "aborted: cancelled forced"}
	for name, test := range map[string]struct {
		saga    *choreo.Saga[loan]
		refuses string
		begins  string // and does not end
		before  choreo.Status
		answer  []string
		after   choreo.Status
		held    string
	}{
		"running":              {saga: plain, begins: "approve", before: choreo.StatusRunning, answer: aborted, after: choreo.StatusCompensated, held: "undone"},
		"completed":            {saga: plain, before: choreo.StatusCompleted, answer: aborted, after: choreo.StatusCompensated, held: "undone"},
		"failed and kept":      {saga: kept, refuses: "approve", before: choreo.StatusFailed, answer: aborted, after: choreo.StatusCompensated, held: "undone"},
		"past its pivot":       {saga: pivot, before: choreo.StatusCompleted, answer: rejected("committed"), after: choreo.StatusCompleted, held: "done"},
		"backwards by itself":  {saga: plain, refuses: "approve", before: choreo.StatusCompensated, answer: rejected("aborted"), after: choreo.StatusCompensated, held: "undone"},
		"before its own pivot": {saga: pivot, begins: "approve", before: choreo.StatusRunning, answer: aborted, after: choreo.StatusCompensated, held: "undone"},
	} {
		t.Run(name, func(t *testing.T) {
			choreotest.Run(t, []choreo.AnySaga{test.saga}, func(w *choreotest.World) {
				t := w.T()
				bank := choreotest.Serve(w, "bank", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, check, teller{}) })
				choreotest.Serve(w, "board", func(p *participant.Participant[*memory.Tx]) {
					if h := (teller{test.refuses, test.begins}); test.saga.Compensates("approve") {
						participant.Handle(p, approve, h)
					} else {
						participant.HandleForward(p, approve, h)
					}
				})
				ref := choreotest.Start(bank, test.saga, "7", loan{})
				w.Advance(time.Second)
				w.AssertStatus(ref, test.before)
				n := len(w.Events(ref))

				ada := participant.Operator{By: "ada", Note: "a mistake"}
				require.NoError(t, participant.ForceAbort(w.Context(), bank.Participant(), test.saga, "7", ada))
				w.Advance(time.Second)
				w.Wait(ref)
				w.AssertStatus(ref, test.after)
				require.Equal(t, test.held, w.Database("bank").Snapshot().Tables["check"]["7"])
				for _, line := range test.answer {
					require.Contains(t, w.Events(ref)[n:], line)
				}
				require.ErrorContains(t, participant.ForceAbort(w.Context(), bank.Participant(), test.saga, "7", participant.Operator{}), "Operator.By")
				w.AssertOutboxEmpty()
			})
		})
	}
}

// The answer names who asked, and why.
func TestTheAnswerToAForcedAbortNamesTheOperator(t *testing.T) {
	saga := lending(func(s *choreo.StepOf[loan, loan]) choreo.Option { return s.Pivot() })
	choreotest.Run(t, []choreo.AnySaga{saga}, func(w *choreotest.World) {
		t := w.T()
		bank := choreotest.Serve(w, "bank", func(p *participant.Participant[*memory.Tx]) { participant.Handle(p, check, teller{}) })
		choreotest.Serve(w, "board", func(p *participant.Participant[*memory.Tx]) { participant.HandleForward(p, approve, teller{}) })
		ref := choreotest.Start(bank, saga, "7", loan{})
		w.Wait(ref)
		ada := participant.Operator{By: "ada", Note: "a mistake"}
		require.NoError(t, participant.ForceAbort(w.Context(), bank.Participant(), saga, "7", ada))
		w.Advance(time.Second)
		records := w.Records()
		no, err := topics.Decode(&records[len(records)-1])
		require.NoError(t, err)
		require.Equal(t, choreo.AbortRejected, no.Type)
		require.Equal(t, "ada: a mistake", no.By+": "+no.Note)
		require.Contains(t, no.Failure.Message, "its pivot has completed")
	})
}
