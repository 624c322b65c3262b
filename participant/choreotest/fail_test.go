package choreotest

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
)

func openOrder(w *World) participant.Ref {
	return Start(shop{}.open(w), order, "o-1", placed{Total: 3})
}

func TestG3AllOrUndoneWhateverFails(t *testing.T) {
	FailEach(t, order, openOrder, func(w *World, trial Trial) {
		t := w.T()
		w.AssertOutboxEmpty()
		events := strings.Join(w.Events(trial.Ref), "\n")
		crashed := trial.Failure.Kind == CrashedBefore || trial.Failure.Kind == CrashedAfter
		switch {
		case trial.Failure.Run == choreo.RunCompensate:
			require.Equal(t, choreo.StatusCompensated, trial.Instance.Status, events)
			require.Equal(t, 1, strings.Count(events, "compensated "+trial.Failure.Step))
			require.Empty(t, held(w, "o-1"))
		case crashed:
			require.Equal(t, choreo.StatusCompleted, trial.Instance.Status, events)
			require.Equal(t, everyStep, held(w, "o-1"))
		case trial.Failure.Step == "wrap":
			require.Equal(t, choreo.StatusCompleted, trial.Instance.Status, events)
			require.Contains(t, events, "completed wrap (bypassed)")
			require.Equal(t, []string{"create", "charge", "reserve", "ship", "letter"}, held(w, "o-1"))
		case trial.Failure.Step == "letter":
			require.Equal(t, choreo.StatusCompleted, trial.Instance.Status, events)
			require.Contains(t, events, "stuck letter")
			require.Equal(t, everyStep, held(w, "o-1"))
		default:
			require.Equal(t, choreo.StatusCompensated, trial.Instance.Status, events)
			require.Equal(t, trial.Failure.Step, trial.Instance.CauseStep)
			require.Empty(t, held(w, "o-1"))
			class := map[Kind]choreo.Class{Refused: choreo.ClassRefused, TimedOut: choreo.ClassTimeout, Panicked: choreo.ClassRetryable}
			require.Equal(t, class[trial.Failure.Kind], trial.Instance.Cause.Class)
		}
	})
}

func TestEveryStepHasEveryFailure(t *testing.T) {
	var names []string
	for _, f := range Failures(order) {
		names = append(names, f.String())
	}
	require.Len(t, names, 6*5+4*3)
	require.Contains(t, names, "charge/compensate/crash after commit")
	require.NotContains(t, names, "ship/compensate/fault", "the pivot has no compensation")
}

// A handler that keeps books outside of the transaction is what FailEach is there to find.
func TestFailEachFindsAnEffectThatIsNotRolledBack(t *testing.T) {
	charged := 0
	setup := func(w *World) participant.Ref {
		s := shop{charge: func(*participant.Call[created]) (receipt, error) {
			charged++
			return receipt{}, nil
		}}
		return Start(s.open(w), order, "o-1", placed{})
	}
	var wrong []string
	for _, f := range Failures(order) {
		if f.Step != "charge" || f.Run != choreo.RunExecute {
			continue
		}
		charged = 0
		fake := play(t, orders, func(w *World) {
			w.try(order.Def(), f, setup, func(w *World, trial Trial) {
				if want := len(held(w, "o-1")) / len(everyStep); charged != want {
					w.T().Errorf("charged %d times, but %s", charged, trial.Instance.Status)
				}
			})
		})
		if fake.failed {
			wrong = append(wrong, string(f.Kind))
		}
	}
	require.Equal(t, []string{"timeout", "panic", "crash before commit"}, wrong)
}

func TestAFailureThatDoesNotHappenFailsTheTest(t *testing.T) {
	// The setup waits for another saga than the one that it starts first.
	setup := func(w *World) participant.Ref {
		s := shop{}.open(w)
		w.Wait(Start(s, order, "first", placed{}))
		return Start(s, order, "second", placed{})
	}
	f := Failure{Step: "charge", Run: choreo.RunExecute, Kind: Refused}
	fake := play(t, orders, func(w *World) {
		w.try(order.Def(), f, setup, func(w *World, trial Trial) {
			require.Equal(t, choreo.StatusCompleted, trial.Instance.Status, "the first saga was hit")
			w.AssertStatus(participant.Ref{Saga: "order", SagaID: "first"}, choreo.StatusCompensated)
		})
	})
	require.Empty(t, fake.text())

	bypass := choreo.MustDefine[placed]("bypass", 1,
		create.OwnedBy("orders").When("never", func(placed) bool { return false }).NoCompensation(),
		charge2.OwnedBy("orders").After(create),
	)
	serve := func(w *World) participant.Ref {
		s := Serve(w, "orders", func(p *participant.Participant[*memory.Tx]) {
			participant.HandleForward(p, create, books[placed, created]{})
			participant.Handle(p, charge2, books[choreo.Join, receipt]{})
		})
		return Start(s, bypass, "1", placed{})
	}
	check := func(w *World, _ Trial) { w.T().Errorf("not reached") }
	f.Step = "create"
	fake = play(t, []choreo.AnySaga{bypass}, func(w *World) { w.try(bypass.Def(), f, serve, check) })
	require.Equal(t, "create is bypassed in this saga", fake.skipped)
	require.Empty(t, fake.text())

	f = Failure{Step: "charge", Run: choreo.RunCompensate, Kind: Fault}
	fake = play(t, []choreo.AnySaga{bypass}, func(w *World) { w.try(bypass.Def(), f, serve, check) })
	require.Equal(t, "charge is never undone by a failure: no step that comes later or runs beside it can fail", fake.skipped)

	// A saga that was refused before it came to the step.
	refusing := func(w *World) participant.Ref {
		s := shop{charge: func(*participant.Call[created]) (receipt, error) {
			return receipt{}, choreo.Refusef("no-credit", "no")
		}}
		return Start(s.open(w), order, "o-1", placed{})
	}
	f = Failure{Step: "ship", Run: choreo.RunExecute, Kind: CrashedAfter}
	fake = play(t, orders, func(w *World) { w.try(order.Def(), f, refusing, check) })
	require.Contains(t, fake.text(), "ship/execute/crash after commit did not happen: the saga came to rest without it")
	require.Contains(t, fake.text(), "failed charge: refused no-credit")
}

var charge2 = choreo.NewStep[choreo.Join, receipt]("charge")

func TestTheCauseOfACompensation(t *testing.T) {
	for step, want := range map[string]string{"create": "charge", "charge": "ship", "reserve": "ship", "wrap": "ship"} {
		cause, beside := causeOf(order.Def(), step)
		require.Equal(t, want, cause, step)
		require.False(t, beside)
	}
	fork := choreo.MustDefine[placed]("fork", 1,
		create.OwnedBy("orders"), charge.OwnedBy("payments").After(create), reserve.OwnedBy("payments").After(create))
	for step, want := range map[string]string{"charge": "reserve", "reserve": "charge"} {
		cause, beside := causeOf(fork.Def(), step)
		require.Equal(t, want, cause)
		require.True(t, beside)
	}
}

// Two steps that run side by side in one service, so that neither can wait for the other.
func TestFailEachOfStepsSideBySide(t *testing.T) {
	fork := choreo.MustDefine[placed]("fork", 1,
		create.OwnedBy("orders"), charge.OwnedBy("payments").After(create), reserve.OwnedBy("payments").After(create))
	FailEach(t, fork, func(w *World) participant.Ref {
		Serve(w, "payments", func(p *participant.Participant[*memory.Tx]) {
			participant.Handle(p, charge, books[created, receipt]{})
			participant.Handle(p, reserve, books[created, receipt]{})
		})
		s := Serve(w, "orders", func(p *participant.Participant[*memory.Tx]) {
			participant.Handle(p, create, books[placed, created]{})
		})
		return Start(s, fork, "1", placed{})
	}, func(w *World, trial Trial) {
		rows := w.Rows(trial.Ref)
		undone := trial.Instance.Status == choreo.StatusCompensated
		require.Equal(w.T(), undone, !slices.Contains(rows, trial.Failure.Step+" completed"), rows)
		if trial.Failure.Run == choreo.RunCompensate {
			w.AssertStatus(trial.Ref, choreo.StatusCompensated)
			require.Contains(w.T(), rows, trial.Failure.Step+" undone")
		}
	})
}

func TestSagasAreStartedWhateverCrashes(t *testing.T) {
	for _, kind := range []Kind{CrashedBefore, CrashedAfter} {
		f := Failure{Step: "create", Run: choreo.RunExecute, Kind: kind}
		Run(t, orders, func(w *World) {
			w.try(order.Def(), f, func(w *World) participant.Ref {
				s := shop{}.open(w)
				ref := Start(s, order, "o-1", placed{})
				// Look at every moment while the process dies and another one comes.
				for i := range 50 {
					Start(s, order, "more-"+strconv.Itoa(i), placed{})
				}
				return ref
			}, func(w *World, trial Trial) {
				for i := range 50 {
					ref := participant.Ref{Saga: "order", SagaID: "more-" + strconv.Itoa(i)}
					require.Equal(w.T(), choreo.StatusCompleted, w.Wait(ref).Status)
					require.Equal(w.T(), everyStep, held(w, ref.SagaID))
				}
				w.AssertStatus(trial.Ref, choreo.StatusCompleted)
				w.AssertOutboxEmpty()
			})
		})
	}
}

// A compensation that an operator has to end is at rest, and its process may be killed.
func TestACompensationThatIsStuckIsAtRest(t *testing.T) {
	once := choreo.MustDefine[placed]("once", 1,
		create.OwnedBy("orders").UndoRetry(choreo.NoRetry()), charge.OwnedBy("payments").After(create))
	f := Failure{Step: "create", Run: choreo.RunCompensate, Kind: Fault}
	Run(t, []choreo.AnySaga{once}, func(w *World) {
		w.try(once.Def(), f, func(w *World) participant.Ref {
			Serve(w, "payments", shop{}.payments)
			s := Serve(w, "orders", func(p *participant.Participant[*memory.Tx]) {
				participant.Handle(p, create, books[placed, created]{})
			})
			return Start(s, once, "1", placed{})
		}, func(w *World, trial Trial) {
			w.AssertStatus(trial.Ref, choreo.StatusStuck)
			w.AssertEvents(trial.Ref, "started", "completed create", "failed charge: refused choreotest",
				"compensation-failed create: retryable")
			w.AssertRows(trial.Ref, "create undo-failed", "charge failed")
		})
	})
}
