package participant

import (
	"context"
	"errors"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Operator is who gives a command, and why. Both stand in the saga's log.
type Operator struct {
	By   string // required
	Note string
}

// RetryStep commands the owner of a step to run its handler again now: the compensation
// of a stuck step, with its attempts counted anew, or a step that waits for its next
// attempt. Any participant of the saga may give the command. The owner answers with the
// handler's outcome, or with CommandRejected where there is nothing to run again; a
// command that is read twice is answered once. RetryStep returns when the command is
// committed.
func RetryStep[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID string, step choreo.StepRef, who Operator) error {
	return operate(ctx, p, saga, sagaID, who, choreo.Emission{Type: choreo.RetryRequested, Step: step.Name()})
}

// ResolveUndone commands the owner of a step whose compensation failed to count it as
// compensated, since somebody has undone it by hand: the saga goes on. As to answers it
// is as [RetryStep].
func ResolveUndone[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID string, step choreo.StepRef, who Operator) error {
	return operate(ctx, p, saga, sagaID, who, choreo.Emission{
		Type: choreo.ResolveRequested, Step: step.Name(), Resolve: choreo.ResolveUndone,
	})
}

// ResolveDone commands the owner of a step past the pivot that does not succeed to
// count it as completed with this output, since somebody has done it by hand: the saga
// goes on. As to answers it is as [RetryStep].
func ResolveDone[Tx, In, Out any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID string, step choreo.Step[In, Out], out Out, who Operator) error {
	output, err := encodeFor(ctx, p, saga.Def(), step.Name(), out)
	if err != nil {
		return fmt.Errorf("resolve step %q of saga %s %q: %w", step.Name(), saga.Def().Name(), sagaID, err)
	}
	return operate(ctx, p, saga, sagaID, who, choreo.Emission{
		Type: choreo.ResolveRequested, Step: step.Name(), Resolve: choreo.ResolveDone,
		Output: output,
	})
}

// Release commands a service that has parked a saga to try at once to go on with it. Any
// participant of the saga may give the command. The service answers with SagaReleased when it
// has handled all that waited, or with ReleaseRejected, which says what still keeps it from
// that, or that it has not parked the saga; a command that is read twice is answered
// once. A service that takes no part in the saga answers nothing, nor does one that does not
// run. Release returns when the command is committed.
func Release[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID, service string, who Operator) error {
	if service == "" {
		return fmt.Errorf("release of saga %s %q: the service is empty: name the one that has parked it", saga.Def().Name(), sagaID)
	}
	return operate(ctx, p, saga, sagaID, who, choreo.Emission{Type: choreo.ReleaseRequested, Target: service})
}

// ForceAbort commands the abort of a saga. Unlike [Cancel] it turns back also one that has
// completed, if no pivot of it has, and one whose failure had decided that nothing is undone;
// steps that have nothing to undo stay done. Any participant of the saga may give the command. The
// arbiter answers with Aborted or, where the pivot has completed or the saga goes or went
// backwards already, with AbortRejected, which says so. Nobody answers for a saga of which the
// arbiter has pruned its row, and a step whose row has been pruned is not undone any more: use
// it within Config.Horizon of the saga's start. ForceAbort returns when the command is
// committed. As to the saga's version it is as [Cancel].
func ForceAbort[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID string, who Operator) error {
	why := &choreo.Error{Class: choreo.ClassCancelled, Code: "forced", Err: errors.New(who.Note)}
	return operate(ctx, p, saga, sagaID, who, choreo.Emission{Type: choreo.AbortRequested, Force: true, Failure: why.Failure()})
}

func operate[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID string, who Operator, command choreo.Emission) error {
	id := outbox.SagaID{Saga: saga.Def().Name(), ID: sagaID}
	if who.By == "" {
		return fmt.Errorf("%s of saga %s %q: Operator.By is empty: say who gives the command", command.Type, id.Saga, id.ID)
	}
	if command.Type.OfStep() && saga.Def().Step(command.Step) == nil {
		return fmt.Errorf("%s: saga %s has no such step: %q", command.Type, saga.Def(), command.Step)
	}
	command.By, command.Note = who.By, who.Note
	return p.request(ctx, saga, id, command, begin(ctx, p))
}

// request commits an event that asks for something, on the saga's own log.
func (p *Participant[Tx]) request(ctx context.Context, saga choreo.AnySaga, id outbox.SagaID, e choreo.Emission, open opener[Tx]) error {
	fail := func(err error) error { return fmt.Errorf("%s of saga %s %q: %w", e.Type, id.Saga, id.ID, err) }
	if err := checkSagaID(id.ID); err != nil {
		return fail(err)
	}
	unit, err := open(id)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	v := p.newView(unit, id)
	if v.version == 0 {
		v.version = saga.Def().Version()
	}
	if p.roles[version{id.Saga, v.version}] == nil && (p.topicOf[id.Saga] == "" || e.Type != choreo.ReleaseRequested) {
		return fail(fmt.Errorf("version %d is not among the sagas of this participant: add it to Config.Sagas", v.version))
	}
	ev := &choreo.Event{Partition: p.homes.of(p.topicOf[id.Saga], id.ID)}
	if v.saga != nil {
		ev.Initiator = p.cfg.Service
	}
	v.emit(v.home(), []choreo.Emission{e}, ev)
	var changes outbox.Changes
	v.collect(&changes)
	if err := unit.Commit(ctx, changes); err != nil {
		return fail(err)
	}
	return nil
}
