package participant

import (
	"context"

	"github.com/choreo-go/choreo/choreo"
)

// Executor runs a step. All that Execute writes through tx commits together with
// the step's row and its event, or not at all. It may run more than once for a saga
// (after a rollback), but commits at most once; pass Call.IdempotencyKey on to
// whatever it calls outside the database.
//
// An error fails the attempt: [choreo.Refuse] and [choreo.Permanent] fail the step
// at once, any other error is retried by the step's policy first. The error never
// needs to undo anything in tx.
type Executor[Tx, In, Out any] interface {
	Execute(ctx context.Context, tx Tx, call *Call[In]) (Out, error)
}

// Compensator undoes what Execute did. out is what Execute returned. It must not
// refuse: an error that is not retryable, or a policy that runs out, leaves the step
// to an operator.
type Compensator[Tx, In, Out any] interface {
	Compensate(ctx context.Context, tx Tx, call *Call[In], out Out) error
}

// Handler is both: what a step with a compensation needs.
type Handler[Tx, In, Out any] interface {
	Executor[Tx, In, Out]
	Compensator[Tx, In, Out]
}

// Call is one attempt to run a step or to undo it.
type Call[In any] struct {
	SagaID  string
	Saga    string // name of the definition
	Version int    // of the definition
	Step    string
	Attempt int // from 1
	Input   In
	// IdempotencyKey is the same for every attempt at this saga, step and direction:
	// "<saga id>/<step>/execute" or "…/compensate".
	IdempotencyKey string
	// Outputs holds what After and Uses brought: read it with choreo.OutputOf.
	Outputs choreo.Outputs
}

// CallInfo is what an [Interceptor] is told about a call of a handler.
type CallInfo struct {
	SagaID         string
	Saga           string // name of the definition
	Version        int    // of the definition
	Step           string
	Run            choreo.Run // choreo.RunExecute or choreo.RunCompensate
	Attempt        int        // from 1
	IdempotencyKey string     // see Call
}

// Interceptor stands around handlers, whatever their types: to bound, trace or count
// them, or to make them fail in a test. See Config.Intercept.
type Interceptor func(ctx context.Context, call CallInfo, next func(context.Context) error) error
