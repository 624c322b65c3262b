package participant

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// pendingError is how Execute says that the step goes on elsewhere.
type pendingError struct{ within time.Duration }

func (e *pendingError) Error() string {
	return fmt.Sprintf("the step is pending for at most %v", e.within)
}

// Pending is what Execute returns as its error where the step is begun but ends
// elsewhere: a person approves, a webhook comes. Its output is ignored. What it wrote is
// committed and nobody undoes it, so let it write only what needs no undoing, such as
// the request for the approval. [CompleteStep] or [RefuseStep] ends the step; when neither comes
// within that time, it fails as timed out. An abort in between skips it.
func Pending(within time.Duration) error { return &pendingError{within: max(within, time.Millisecond)} }

// StepStateError is returned where a step cannot be answered from outside since it is
// not pending. Nothing was changed.
type StepStateError struct {
	Saga, SagaID, Step string
	State              choreo.RowState // none: the step has not begun, or the saga is not known here
}

func (e *StepStateError) Error() string {
	state := string(e.State)
	if e.State == choreo.RowNone {
		state = "not begun"
	}
	return fmt.Sprintf("step %q of saga %s %q is %s, not pending: nothing was changed", e.Step, e.Saga, e.SagaID, state)
}

// CompleteStep ends a pending step with its output, in a transaction of its own. Any
// process of the service that owns the step may call it, and again: a step that has
// completed stays as it is. For a step that is not pending, such as one that an abort has
// skipped, the error is a [*StepStateError].
func CompleteStep[Tx, In, Out any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID string, step choreo.Step[In, Out], out Out) error {
	return answer(ctx, p, saga, sagaID, step.Name(), completed(ctx, p, step.Name(), out), begin(ctx, p))
}

// CompleteStepTx is [CompleteStep] in the caller's own transaction.
func CompleteStepTx[Tx, In, Out any](ctx context.Context, p *Participant[Tx], tx Tx, saga choreo.AnySaga, sagaID string, step choreo.Step[In, Out], out Out) error {
	return answer(ctx, p, saga, sagaID, step.Name(), completed(ctx, p, step.Name(), out), join(ctx, p, tx))
}

// RefuseStep ends a pending step as failed, in a transaction of its own. err is
// classified as if Execute had returned it, but is not retried. As to states it is as
// [CompleteStep]: a step that has failed stays as it is.
func RefuseStep[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID string, step choreo.StepRef, err error) error {
	return answer(ctx, p, saga, sagaID, step.Name(), refused(err), begin(ctx, p))
}

// RefuseStepTx is [RefuseStep] in the caller's own transaction.
func RefuseStepTx[Tx any](ctx context.Context, p *Participant[Tx], tx Tx, saga choreo.AnySaga, sagaID string, step choreo.StepRef, err error) error {
	return answer(ctx, p, saga, sagaID, step.Name(), refused(err), join(ctx, p, tx))
}

// opener opens a unit of work over one saga.
type opener[Tx any] func(outbox.SagaID) (outbox.Unit[Tx], error)

func begin[Tx any](ctx context.Context, p *Participant[Tx]) opener[Tx] {
	return func(id outbox.SagaID) (outbox.Unit[Tx], error) { return p.store.Begin(ctx, id) }
}

func join[Tx any](ctx context.Context, p *Participant[Tx], tx Tx) opener[Tx] {
	return func(id outbox.SagaID) (outbox.Unit[Tx], error) { return p.store.Join(ctx, tx, id) }
}

// result is how a step ends that was pending, by the definition that its saga runs by.
type result struct {
	refusal *choreo.Error // nil: it has completed
	output  func(*choreo.Definition) (choreo.Output, error)
	fault   error // it is no result
}

func completed[Tx, Out any](ctx context.Context, p *Participant[Tx], step string, out Out) result {
	return result{output: func(def *choreo.Definition) (choreo.Output, error) {
		if want, got := def.Step(step).Out, reflect.TypeFor[Out](); want != nil && want != got {
			return choreo.Output{}, fmt.Errorf("the saga runs by version %d, whose output of the step is %v, not %v", def.Version(), want, got)
		}
		return encodeFor(ctx, p, def, step, out)
	}}
}

func refused(err error) result {
	if err == nil {
		return result{fault: errors.New("a refusal needs an error: use choreo.Refuse")}
	}
	return result{refusal: choreo.Classify(err)}
}

func answer[Tx any](
	ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID, step string,
	end result, open opener[Tx],
) error {
	fail := func(err error) error {
		return fmt.Errorf("answer step %q of saga %s: %w", step, saga.Def().Name(), err)
	}
	if end.fault != nil {
		return fail(end.fault)
	}
	id := outbox.SagaID{Saga: saga.Def().Name(), ID: sagaID}
	unit, err := open(id)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	v := p.newView(unit, id)
	row := v.steps[step]
	switch {
	case row.State == choreo.RowCompleted && end.refusal == nil, row.State == choreo.RowFailed && end.refusal != nil:
		return nil // answered so before
	case row.State != choreo.RowPending:
		return &StepStateError{Saga: id.Saga, SagaID: id.ID, Step: step, State: row.State}
	}
	if v.role == nil {
		return fail(fmt.Errorf("it runs by version %d, which this participant does not know: add it to Config.Sagas", v.runs))
	}
	res := choreo.Result{Err: end.refusal}
	if end.refusal == nil {
		if res.Output, err = end.output(v.role.def); err != nil {
			return fail(err)
		}
	}
	ev := &choreo.Event{
		ID: row.Origin.CausationID, Initiator: row.Origin.Initiator, Partition: row.Home,
		TraceParent: row.Origin.TraceParent, TraceState: row.Origin.TraceState,
	}
	if d := choreo.Answer(v.role.def, step, row, res); d.Again { // past the pivot a no is not the end
		v.later(step, d, ev, retryDelay(v.role.def.Step(step).Retry, d.Row.Attempt, res.Err, p.world.Float()))
	} else {
		v.apply(step, d, ev)
	}
	var changes outbox.Changes
	v.collect(&changes)
	if err := unit.Commit(ctx, changes); err != nil {
		return fail(err)
	}
	v.ring()
	return nil
}
