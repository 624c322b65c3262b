package outbox

import "errors"

// ErrUnknownOutcome is wrapped by Unit.Commit where the connection broke while the
// commit was under way: it may or may not have happened. Reading the rows again in a
// new unit tells.
var ErrUnknownOutcome = errors.New("the connection broke during the commit, so that its outcome is unknown: read the rows again")

// ErrJoined is wrapped by Unit.Commit of a unit of several sagas where one of them was joined
// since (Store.Join in the unit's own transaction): what the unit knows of it is out of date.
// Nothing was committed. Units of one saga at a time can do the same work.
var ErrJoined = errors.New("a saga of the unit was joined in its transaction, so that what the unit has read of it is out of date: do the work in units of one saga")

// ErrQueued is wrapped by the errors of a unit of several sagas in which a statement failed that was
// queued before the present part began: no part of the transaction can be kept, and the present one is not at
// fault. Nothing was committed. Units of one saga at a time tell whose it was.
var ErrQueued = errors.New("a statement of another part of the transaction, which was queued, has failed")
