package outbox

import "errors"

// ErrUnknownOutcome is wrapped by Unit.Commit where the connection broke while the
// commit was under way: it may or may not have happened. Reading the rows again in a
// new unit tells.
var ErrUnknownOutcome = errors.New("the connection broke during the commit, so that its outcome is unknown: read the rows again")
