package participant

import (
	"context"
	"errors"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Cancel asks for the abort of a saga, in a transaction of its own. Any participant of
// the saga may ask; the arbiter (the pivot's owner, else the initiator) answers with an
// event, Aborted or AbortRejected, which carries the reason. Cancel returns when the
// request is committed. Ask only for a saga whose start is committed: a request that
// comes before it is answered by nobody. And where this service has not seen anything of the
// saga, saga must be of the version that it runs by.
func Cancel[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID, reason string) error {
	return cancel(ctx, p, saga, sagaID, reason, begin(ctx, p))
}

// CancelTx is [Cancel] in the caller's own transaction.
func CancelTx[Tx any](ctx context.Context, p *Participant[Tx], tx Tx, saga choreo.AnySaga, sagaID, reason string) error {
	return cancel(ctx, p, saga, sagaID, reason, join(ctx, p, tx))
}

func cancel[Tx any](ctx context.Context, p *Participant[Tx], saga choreo.AnySaga, sagaID, reason string, open opener[Tx]) error {
	id := outbox.SagaID{Saga: saga.Def().Name(), ID: sagaID}
	why := &choreo.Error{Class: choreo.ClassCancelled, Code: "cancelled", Err: errors.New(reason)}
	return p.request(ctx, saga, id, choreo.Emission{Type: choreo.AbortRequested, Failure: why.Failure()}, open)
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
