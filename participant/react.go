package participant

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// repeat says that an event is not done: it is gone through again after the delay.
type repeat struct{ delay time.Duration }

// attempts is what is known of the handlers that one event asks for, between units.
type attempts struct {
	made    map[string]int // by step: attempts that failed and are repeated
	verdict *verdict
}

// verdict is the failure of a handler whose unit was rolled back. It is recorded by
// a unit of its own, in which the rules see the row anew: it may have moved on.
type verdict struct {
	step string
	run  choreo.Run
	err  *choreo.Error
}

// react does all that one event asks of this service. It returns an error only where
// ctx ended before; then the event is read again.
func (p *Participant[Tx]) react(ctx context.Context, r *role[Tx], id outbox.SagaID, ev *choreo.Event) error {
	known := attempts{made: make(map[string]int)}
	outages := 0
	for {
		if err := stopping(ctx); err != nil {
			return err
		}
		again, err := p.reactOnce(ctx, r, id, ev, &known)
		switch {
		case err != nil:
			outages++
			if err := p.waitOutage(ctx, "database", err, outages); err != nil {
				return err
			}
			continue
		case outages > 0:
			p.outage.over("database")
			outages = 0
		}
		if again == nil {
			return nil
		}
		if again.delay > 0 {
			if err := sleep(stoppable(ctx), again.delay); err != nil {
				return err
			}
		}
	}
}

// reactOnce is one unit of work over one event. It returns a non-nil repeat where the
// event is not done yet, and an error where the database is at fault.
func (p *Participant[Tx]) reactOnce(ctx context.Context, r *role[Tx], id outbox.SagaID, ev *choreo.Event, known *attempts) (*repeat, error) {
	unit, err := p.store.Begin(ctx, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()

	v := p.newView(r, id, unit.Rows(id))
	c := v.react(ev)
	var next *repeat
	if c != nil {
		c.decision.Row.Attempt += known.made[c.step]
		res := choreo.Result{}
		if failed := known.verdict; failed != nil && failed.step == c.step && failed.run == c.decision.Run {
			res.Err = failed.err
		} else if res = p.run(ctx, unit.Tx(), r, id, c); res.Err != nil {
			return p.fault(ctx, unit, c, res.Err, known)
		}
		known.verdict = nil
		next = p.conclude(v, c, ev, res, known)
	}
	var changes outbox.Changes
	v.collect(&changes)
	if changes.Empty() {
		return next, nil
	}
	if err := unit.Commit(ctx, changes); err != nil {
		if c != nil && !p.store.Transient(err) && !errors.Is(err, outbox.ErrUnknownOutcome) && p.store.Ping(ctx) == nil {
			// The handler's own writes cannot be committed, such as under a deferred constraint.
			return p.fault(ctx, unit, c, &choreo.Error{Class: choreo.ClassRetryable, Err: err}, known)
		}
		return nil, err
	}
	p.logCommit(v, c, ev)
	return next, nil
}

// fault notes that a handler failed, after its unit is rolled back. Where the
// database was at fault it notes nothing and returns that as an error.
func (p *Participant[Tx]) fault(ctx context.Context, unit outbox.Unit[Tx], c *call, failure *choreo.Error, known *attempts) (*repeat, error) {
	rollback := unit.Rollback(context.WithoutCancel(ctx))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if failure.Class == choreo.ClassRetryable || failure.Class == choreo.ClassTimeout {
		if p.store.Transient(failure) {
			return nil, failure
		}
		if err := p.store.Ping(ctx); err != nil {
			return nil, fmt.Errorf("%w (a handler had failed with: %w)", err, failure)
		}
	}
	if rollback != nil {
		p.cfg.Logger.Debug("rollback", zap.Error(rollback))
	}
	known.verdict = &verdict{step: c.step, run: c.decision.Run, err: failure}
	return &repeat{}, nil
}

// conclude applies the result of a handler to the view and says whether the event
// has to be gone through again, and after how long.
func (p *Participant[Tx]) conclude(v *view[Tx], c *call, ev *choreo.Event, res choreo.Result, known *attempts) *repeat {
	stored := c.decision.Row.Attempt - known.made[c.step]
	d := choreo.Conclude(v.role.def, c.step, c.decision.Row, c.decision.Run, res)
	if !d.Again {
		delete(known.made, c.step)
		v.apply(c.step, d, ev)
		if c.more {
			return &repeat{}
		}
		return nil
	}
	known.made[c.step] = d.Row.Attempt - stored
	if known.made[c.step] == v.role.def.Step(c.step).Retry.Attempts { // StepStuck, once
		v.emit(d.Row.Home, d.Emit, ev)
	}
	def := v.role.def.Step(c.step)
	policy := def.Retry
	if c.decision.Run == choreo.RunCompensate {
		policy = def.UndoRetry
	}
	delay := retryDelay(policy, d.Row.Attempt, res.Err, rand.Float64())
	p.cfg.Logger.Warn("step is tried again", zap.String("saga", v.id.Saga), zap.String("saga_id", v.id.ID),
		zap.String("step", c.step), zap.String("run", string(c.decision.Run)), zap.Int("attempt", d.Row.Attempt),
		zap.Duration("in", delay), zap.Error(res.Err))
	return &repeat{delay: delay}
}

// run calls the handler that a rule asks for, and classifies how it ended.
func (p *Participant[Tx]) run(ctx context.Context, tx Tx, r *role[Tx], id outbox.SagaID, c *call) (res choreo.Result) {
	def := r.def.Step(c.step)
	in := &invocation{
		def: r.def, step: def, sagaID: id.ID, row: &c.decision.Row, run: c.decision.Run,
		attempt: c.decision.Row.Attempt + 1, codec: p.cfg.Codec,
	}
	stepCtx := ctx
	if def.Timeout > 0 {
		var cancel context.CancelFunc
		stepCtx, cancel = context.WithTimeout(ctx, def.Timeout)
		defer cancel()
	}
	defer func() {
		if cause := recover(); cause != nil {
			p.cfg.Logger.Error("handler panicked", zap.String("saga", id.Saga), zap.String("saga_id", id.ID),
				zap.String("step", c.step), zap.Any("panic", cause), zap.ByteString("stack", debug.Stack()))
			res = choreo.Result{Err: &choreo.Error{
				Class: choreo.ClassRetryable, Code: codePanic, Err: fmt.Errorf("handler panicked: %v", cause),
			}}
		}
	}()
	var err error
	if c.decision.Run == choreo.RunCompensate {
		err = r.handlers[c.step].compensate(stepCtx, tx, in)
	} else {
		res.Output, res.Bypassed, err = r.handlers[c.step].execute(stepCtx, tx, in)
	}
	res.Err = choreo.Classify(err)
	if res.Err != nil && res.Err.Class == choreo.ClassRetryable && ctx.Err() == nil &&
		errors.Is(stepCtx.Err(), context.DeadlineExceeded) {
		res.Err = &choreo.Error{
			Class: choreo.ClassTimeout, Code: "timeout",
			Err: fmt.Errorf("no end within the step's timeout of %v: %w", def.Timeout, err),
		}
	}
	return res
}

// logCommit writes one line for each event that a unit emitted.
func (p *Participant[Tx]) logCommit(v *view[Tx], c *call, ev *choreo.Event) {
	for i := range v.entries {
		entry := p.cfg.Logger.Check(zap.DebugLevel, v.entries[i].Type)
		if entry == nil {
			return
		}
		fields := []zap.Field{
			zap.String("saga", v.id.Saga), zap.String("saga_id", v.id.ID),
			zap.String("cause", string(ev.Type)), zap.String("cause_step", ev.Step),
		}
		if c != nil {
			fields = append(fields, zap.String("step", c.step))
		}
		entry.Write(fields...)
	}
}
