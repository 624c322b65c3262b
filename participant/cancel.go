package participant

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Cancel asks for the abort of a saga, in a transaction of its own. Any participant of
// the saga may ask; the arbiter (the pivot's owner, else the initiator) answers with an
// event, Aborted or AbortRejected, which carries the reason. Cancel returns when the
// request is committed. Ask only for a saga whose start is committed: a request that
// comes before it is answered by nobody.
func Cancel[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID, reason string) error {
	return cancel(ctx, p, saga, sagaID, reason, begin(ctx, p))
}

// CancelTx is [Cancel] in the caller's own transaction.
func CancelTx[Tx any](ctx context.Context, p *Participant[Tx], tx Tx, saga choreo.AnySaga, sagaID, reason string) error {
	return cancel(ctx, p, saga, sagaID, reason, join(ctx, p, tx))
}

func cancel[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID, reason string, open opener[Tx]) error {
	id := outbox.SagaID{Saga: saga.Def().Name(), ID: sagaID}
	fail := func(err error) error { return fmt.Errorf("cancel saga %s %q: %w", id.Saga, id.ID, err) }
	if err := checkSagaID(sagaID); err != nil {
		return fail(err)
	}
	unit, err := open(id)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	rows := unit.Rows(id)
	number := saga.Def().Version()
	if rows.Version > 0 {
		number = rows.Version
	}
	r := p.roles[version{id.Saga, number}]
	if r == nil {
		return fail(fmt.Errorf("version %d is not among the sagas of this participant: add it to Config.Sagas", number))
	}
	v := p.newView(r, id, rows)
	ev := &choreo.Event{Partition: p.homes.of(r.topic, id.ID)}
	if v.saga != nil {
		ev.Initiator = p.cfg.Service
	}
	failure := (&choreo.Error{Class: choreo.ClassCancelled, Code: "cancelled", Err: fmt.Errorf("%s", reason)}).Failure()
	v.emit(v.home(), []choreo.Emission{{Type: choreo.AbortRequested, Failure: failure}}, ev)
	var changes outbox.Changes
	v.collect(&changes)
	if err := unit.Commit(ctx, changes); err != nil {
		return fail(err)
	}
	return nil
}

// home returns the saga's home partition where a row knows it.
func (v *view[Tx]) home() int32 {
	if v.saga != nil && v.saga.Home != choreo.AnyPartition {
		return v.saga.Home
	}
	for _, row := range v.steps {
		return row.Home
	}
	return choreo.AnyPartition
}
