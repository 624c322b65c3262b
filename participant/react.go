package participant

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// repeat says that a task is not done: it is gone through again after the delay.
type repeat struct{ delay time.Duration }

// attempts is what is known of the handlers that one task asks for, between units.
type attempts struct {
	made    map[string]int // by step: attempts that failed and are repeated
	verdict *verdict
}

// verdict is the failure of a handler whose unit was rolled back. It is recorded by
// a unit of its own, in which the rules see the row anew: it may have moved on.
type verdict struct {
	step     string
	run      choreo.Run
	err      *choreo.Error
	obstacle *choreo.Error // the handler could not be run at all
}

// failed notes how many attempts have failed that no row tells of.
func (a *attempts) failed(step string, n int) {
	if a.made == nil {
		a.made = make(map[string]int)
	}
	a.made[step] = n
}

// about reports whether the verdict is on this call.
func (f *verdict) about(c *call) bool { return f != nil && f.step == c.step && f.run == c.decision.Run }

// task is what one unit of work after the other is done about, until it is done.
type task[Tx any] struct {
	id outbox.SagaID
	// ev is the event that was read, or what a row has kept of one.
	ev    *choreo.Event
	place string // the step of which a place is held, see limits
	// decide applies the rules to the view. It returns the handler that is to be run, if any,
	// and an error where the database is at fault.
	decide func(ctx context.Context, v *view[Tx]) (*call, error)
	// blocked does what is to be done where a call cannot be run, with a view of which nothing
	// that was decided is left. It says how to go on.
	blocked func(v *view[Tx], c *call, why *choreo.Error) *repeat
	// done, if set, has the last word on the transaction that ends the task.
	done func(v *view[Tx])
}

// do does a task. It returns an error only where ctx ended before; then an event is read
// again, and a row is still due.
func (p *Participant[Tx]) do(ctx context.Context, t *task[Tx]) error {
	var known attempts
	return p.doKnowing(ctx, t, &known)
}

// doKnowing does a task of which attempts have been made.
func (p *Participant[Tx]) doKnowing(ctx context.Context, t *task[Tx], known *attempts) error {
	outages := 0
	for {
		if err := stopping(ctx); err != nil {
			return err
		}
		again, err := p.doOnce(ctx, t, known)
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
			if err := p.world.Sleep(stoppable(ctx), again.delay); err != nil {
				return err
			}
		}
	}
}

// doOnce is one unit of work. It returns a non-nil repeat where the task is not done
// yet, and an error where the database is at fault.
func (p *Participant[Tx]) doOnce(ctx context.Context, t *task[Tx], known *attempts) (*repeat, error) {
	unit, err := p.store.Begin(ctx, t.id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()

	v := p.newView(unit, t.id)
	c, err := t.decide(ctx, v)
	if err != nil {
		return nil, err
	}
	var next *repeat
	made := 0
	if c != nil {
		made = known.made[c.step]
		res, fault := p.resultOf(ctx, t, v, c, known)
		if fault {
			return p.fault(ctx, unit, c, res.Err, known)
		}
		known.verdict = nil
		switch {
		case c.obstacle != nil:
			v.discard()
			next = t.blocked(v, c, c.obstacle)
		case c.deferred:
			next = p.putOff(v, c, t.ev, known)
		default:
			next = p.conclude(v, c, t.ev, res, known)
		}
	}
	if next == nil && (c == nil || c.obstacle == nil) && t.done != nil {
		t.done(v)
	}
	var changes outbox.Changes
	v.collect(&changes)
	if changes.Empty() {
		return next, nil
	}
	if err := unit.Commit(ctx, changes); err != nil {
		if c != nil && !p.store.Transient(err) && !errors.Is(err, outbox.ErrUnknownOutcome) && p.store.Ping(ctx) == nil {
			// The handler's own writes cannot be committed, such as under a deferred constraint.
			known.failed(c.step, made) // as before it was concluded that it had succeeded
			return p.fault(ctx, unit, c, &choreo.Error{Class: choreo.ClassRetryable, Err: err}, known)
		}
		return nil, err
	}
	v.ring()
	p.logCommit(v, v.entries, c, t.ev)
	return next, nil
}

// resultOf runs the handler that a rule asks for, unless it has been run, cannot be, or finds
// no place. It reports whether it has failed just now.
func (p *Participant[Tx]) resultOf(ctx context.Context, t *task[Tx], v *view[Tx], c *call, known *attempts) (res choreo.Result, fault bool) {
	c.decision.Row.Attempt += known.made[c.step]
	switch failed := known.verdict; {
	case failed.about(c):
		c.obstacle = failed.obstacle
		return choreo.Result{Err: failed.err}, false
	case c.obstacle != nil:
		return choreo.Result{}, false
	case c.step != t.place:
		if c.deferred = !p.limits.take(c.step); c.deferred {
			return choreo.Result{}, false
		}
		defer p.giveBack(c.step)
	}
	res = p.run(ctx, v, c)
	return res, res.Err != nil
}

// giveBack gives back the place of a handler.
func (p *Participant[Tx]) giveBack(step string) {
	if p.limits.give(step) {
		p.clock.soon()
	}
}

// putOff leaves a handler that finds no place to the clock.
func (p *Participant[Tx]) putOff(v *view[Tx], c *call, ev *choreo.Event, known *attempts) *repeat {
	v.later(c.step, choreo.Defer(v.role.def, c.step, c.decision.Row, c.decision.Run), ev, atOnce)
	delete(known.made, c.step)
	if c.more {
		return &repeat{}
	}
	return nil
}

// fault notes that a handler failed, after its unit is rolled back. Where the
// database was at fault it notes nothing and returns that as an error.
func (p *Participant[Tx]) fault(ctx context.Context, unit outbox.Unit[Tx], c *call, failure *choreo.Error, known *attempts) (*repeat, error) {
	rollback := unit.Rollback(context.WithoutCancel(ctx))
	if err := p.atFault(ctx, failure); err != nil {
		return nil, err
	}
	if rollback != nil {
		p.cfg.Logger.Debug("rollback", zap.Error(rollback))
	}
	known.verdict = &verdict{step: c.step, run: c.decision.Run, err: failure, obstacle: c.obstacle}
	return &repeat{}, nil
}

// atFault returns why a handler's failure is not its own: its context has ended, or the database
// was at fault.
func (p *Participant[Tx]) atFault(ctx context.Context, failure *choreo.Error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if failure.Class == choreo.ClassRetryable || failure.Class == choreo.ClassTimeout {
		if p.store.Transient(failure) {
			return failure
		}
		if err := p.store.Ping(ctx); err != nil {
			return fmt.Errorf("%w (a handler had failed with: %w)", err, failure)
		}
	}
	return nil
}

// conclude applies the result of a handler to the view and says whether the task has to
// be gone through again, and after how long.
func (p *Participant[Tx]) conclude(v *view[Tx], c *call, ev *choreo.Event, res choreo.Result, known *attempts) *repeat {
	stored := c.decision.Row.Attempt - known.made[c.step]
	d := choreo.Conclude(v.role.def, c.step, c.decision.Row, c.decision.Run, res)
	switch {
	case d.Again:
		delay := retryDelay(policyOf(v.role.def, c), d.Row.Attempt, res.Err, p.world.Float())
		p.cfg.Logger.Warn("step is tried again", zap.String("saga", v.id.Saga), zap.String("saga_id", v.id.ID),
			zap.String("step", c.step), zap.String("run", string(c.decision.Run)), zap.Int("attempt", d.Row.Attempt),
			zap.Duration("in", delay), zap.Error(res.Err))
		if delay <= p.cfg.RetryInPlace && len(d.Emit) == 0 {
			known.failed(c.step, d.Row.Attempt-stored)
			return &repeat{delay: delay}
		}
		v.later(c.step, d, ev, delay)
	case d.Row.State == choreo.RowPending:
		v.later(c.step, d, ev, c.pending)
	default:
		v.apply(c.step, d, ev)
	}
	delete(known.made, c.step)
	if c.more {
		return &repeat{}
	}
	return nil
}

const (
	// stuckDelay and stuckLimit bound the delays of a step past the pivot that has run
	// out of its policy: it is tried again without end, whatever its policy says.
	stuckDelay = time.Second
	stuckLimit = 5 * time.Minute
)

// retryDelay returns how long to wait before the next attempt; random is in [0, 1).
func retryDelay(policy choreo.RetryPolicy, attempt int, err *choreo.Error, random float64) time.Duration {
	delay := policy.Delay(attempt, random)
	if policy.Exhausted(attempt) || !err.Class.Retried() {
		delay = min(max(delay, stuckDelay), stuckLimit)
	}
	return max(delay, err.After)
}

func policyOf(def *choreo.Definition, c *call) choreo.RetryPolicy {
	if c.decision.Run == choreo.RunCompensate {
		return def.Step(c.step).UndoRetry
	}
	return def.Step(c.step).Retry
}

// run calls the handler that a rule asks for, and classifies how it ended.
func (p *Participant[Tx]) run(ctx context.Context, v *view[Tx], c *call) (res choreo.Result) {
	r, id, tx, def := v.role, v.id, v.unit.Tx(), v.role.def.Step(c.step)
	in := &invocation{
		def: r.def, step: def, sagaID: id.ID, row: &c.decision.Row, run: c.decision.Run,
		attempt: c.decision.Row.Attempt + 1, codecs: p.codecs, intercept: p.cfg.Intercept,
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
	switch h := r.handler(c.step); {
	case h == nil:
		err = noHandler(r.def, c.step)
	case c.decision.Run == choreo.RunCompensate:
		err = h.compensate(stepCtx, tx, in)
	default:
		res.Output, res.Bypassed, err = h.execute(stepCtx, tx, in)
	}
	var obstacle *obstacleError
	if errors.As(err, &obstacle) {
		c.obstacle = obstacle.why
		return choreo.Result{Err: obstacle.why}
	}
	var pending *pendingError
	if errors.As(err, &pending) && c.decision.Run == choreo.RunExecute {
		c.pending = pending.within
		return choreo.Result{Pending: true}
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

// logCommit writes one line for each event that a unit emitted because of ev.
func (p *Participant[Tx]) logCommit(v *view[Tx], emitted []outbox.Entry, c *call, ev *choreo.Event) {
	for i := range emitted {
		entry := p.cfg.Logger.Check(zap.DebugLevel, emitted[i].Type)
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
