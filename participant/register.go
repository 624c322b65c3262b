package participant

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/choreo-go/choreo/choreo"
)

// Handle binds a handler to a step of this service that has a compensation. It binds
// it in every version of Config.Sagas in which the service owns the step, or only in those
// of [InVersions]. A fault (the service does not own the step, it has a handler already) is
// reported by Run. Call it before Run.
func Handle[Tx, In, Out any](p *Participant[Tx], step choreo.Step[In, Out], h Handler[Tx, In, Out], options ...HandleOption) {
	bind(p, step, &typedHandler[Tx, In, Out]{execute_: h, compensate_: h}, options)
}

// HandleForward is [Handle] for a step without a compensation: one that is declared
// NoCompensation, is the pivot, or comes after it.
func HandleForward[Tx, In, Out any](p *Participant[Tx], step choreo.Step[In, Out], h Executor[Tx, In, Out], options ...HandleOption) {
	bind(p, step, &typedHandler[Tx, In, Out]{execute_: h}, options)
}

// ExecuteFunc is an [Executor] made of a function.
type ExecuteFunc[Tx, In, Out any] func(ctx context.Context, tx Tx, call *Call[In]) (Out, error)

// Execute calls f.
func (f ExecuteFunc[Tx, In, Out]) Execute(ctx context.Context, tx Tx, call *Call[In]) (Out, error) {
	return f(ctx, tx, call)
}

// handler is a Handler without its payload types.
type handler[Tx any] interface {
	// execute reports whether the step's condition bypassed it.
	execute(ctx context.Context, tx Tx, in *invocation) (out choreo.Output, bypassed bool, err error)
	compensate(ctx context.Context, tx Tx, in *invocation) error
	output() reflect.Type
}

type typedHandler[Tx, In, Out any] struct {
	execute_    Executor[Tx, In, Out]
	compensate_ Compensator[Tx, In, Out]
}

func (h *typedHandler[Tx, In, Out]) output() reflect.Type { return reflect.TypeFor[Out]() }

func (h *typedHandler[Tx, In, Out]) execute(ctx context.Context, tx Tx, in *invocation) (choreo.Output, bool, error) {
	call, err := newCall[In](in)
	if err != nil {
		return choreo.Output{}, false, err
	}
	runs := in.step.RunsOn(call.Input)
	if in.unread != nil { // the condition could not read what it decides on, nor say so
		return choreo.Output{}, false, in.unread
	}
	if !runs {
		return choreo.Output{}, true, nil
	}
	var out Out
	err = in.around(ctx, func(ctx context.Context) (err error) {
		out, err = h.execute_.Execute(ctx, tx, call)
		return err
	})
	if err != nil {
		return choreo.Output{}, false, err
	}
	output, err := in.codecs.encode(in.def, in.step.Name, out)
	if err != nil {
		return choreo.Output{}, false, &choreo.Error{Class: choreo.ClassPermanent, Code: codeUnencodable, Err: err}
	}
	return output, false, nil
}

func (h *typedHandler[Tx, In, Out]) compensate(ctx context.Context, tx Tx, in *invocation) error {
	call, err := newCall[In](in)
	if err != nil {
		return err
	}
	var out Out
	if err := in.decode(in.row.Output, &out); err != nil {
		return err
	}
	return in.around(ctx, func(ctx context.Context) error {
		return h.compensate_.Compensate(ctx, tx, call, out)
	})
}

// invocation is what a call is made of.
type invocation struct {
	def     *choreo.Definition
	step    *choreo.StepDef
	sagaID  string
	row     *choreo.Row
	run     choreo.Run
	attempt int
	codecs  *codecs

	intercept Interceptor // or nil
	unread    error       // why an output that was asked for could not be decoded
}

// idempotencyKey is Call.IdempotencyKey.
func (in *invocation) idempotencyKey() string {
	return in.sagaID + "/" + in.step.Name + "/" + string(in.run)
}

// around calls a handler by way of the interceptor.
func (in *invocation) around(ctx context.Context, handler func(context.Context) error) error {
	if in.intercept == nil {
		return handler(ctx)
	}
	called := false
	err := in.intercept(ctx, CallInfo{
		SagaID: in.sagaID, Saga: in.def.Name(), Version: in.def.Version(),
		Step: in.step.Name, Run: in.run, Attempt: in.attempt, IdempotencyKey: in.idempotencyKey(),
	}, func(ctx context.Context) error {
		called = true
		return handler(ctx)
	})
	if err == nil && !called {
		return choreo.Permanent(errNotCalled)
	}
	return err
}

// errNotCalled is the fault of an Interceptor: without the handler there is no output.
var errNotCalled = errors.New("Config.Intercept returned nil without having called the handler")

// The codes of failures that Choreo itself finds. For those of parking see park.go.
const (
	codeUnencodable = "unencodable-output"
	codePanic       = "panic"
)

func newCall[In any](in *invocation) (*Call[In], error) {
	call := &Call[In]{
		SagaID: in.sagaID, Saga: in.def.Name(), Version: in.def.Version(),
		Step: in.step.Name, Attempt: in.attempt,
		IdempotencyKey: in.idempotencyKey(),
		Outputs:        in,
	}
	if join, ok := any(&call.Input).(*choreo.Join); ok {
		join.Outputs = in
		return call, nil
	}
	from := "" // the saga's input
	if len(in.step.After) > 0 {
		from = in.step.After[0]
	}
	input, ok := in.row.Input(from)
	if !ok {
		return nil, in.undecodable(from, errors.New("it did not come with the event"))
	}
	return call, in.decode(input, &call.Input)
}

// Decode implements choreo.Outputs.
func (in *invocation) Decode(step string, into any) (bool, error) {
	if !slices.Contains(in.step.After, step) && !slices.Contains(in.step.Uses, step) &&
		!(in.run == choreo.RunCompensate && slices.Contains(in.step.UndoUses, step)) {
		return false, fmt.Errorf("step %q reads the output of %q: %w", in.step.Name, step, choreo.ErrNotCarried)
	}
	output, ok := in.row.Input(step)
	if !ok {
		return false, nil
	}
	err := in.decode(output, into)
	if err != nil {
		in.unread = err
	}
	return true, err
}

// decode decodes what the call is made of. Where it does not decode, the call cannot be run by
// this build.
func (in *invocation) decode(from choreo.Output, into any) error {
	if err := in.codecs.decode(from, into); err != nil {
		return in.undecodable(from.Step, err)
	}
	return nil
}
