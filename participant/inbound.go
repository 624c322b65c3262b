package participant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/topics"
)

// errUnknownSaga is why a well-formed event is dead-lettered.
var errUnknownSaga = errors.New("this service knows no saga of that name")

// concerns reports from a record's headers whether this service has anything to do
// with it. What cannot be told counts as yes: handle dead-letters it.
func (p *Participant[Tx]) concerns(rec *choreo.Record) bool {
	head, err := topics.ReadHead(rec)
	if err != nil {
		return true
	}
	r := p.roles[version{head.Saga, head.Version}]
	if r != nil && tellsVersion(head.Type) {
		return p.reacts(r, head.Initiator, head.Type, head.Step)
	}
	switch _, known := p.topicOf[head.Saga]; {
	case !known:
		return true
	case head.Type == choreo.ReleaseRequested, head.Type == choreo.StartRequested:
		return head.Target == p.cfg.Service
	case r == nil:
		return mayConcern(head.Type)
	}
	for v, r := range p.roles {
		if v.saga == head.Saga && p.reacts(r, head.Initiator, head.Type, head.Step) {
			return true
		}
	}
	return false
}

// mayConcern reports whether some service may react to an event of this type. Events of a
// version that is not known are kept by it.
func mayConcern(t choreo.EventType) bool {
	switch t {
	case choreo.SagaParked, choreo.SagaReleased, choreo.ReleaseRejected,
		choreo.StartRequested, choreo.StartRejected, choreo.AbortRejected, choreo.StepStuck, choreo.CommandRejected:
		return false
	default:
		return true
	}
}

// reacts reports whether this service may react to an event.
func (p *Participant[Tx]) reacts(r *role[Tx], initiator string, t choreo.EventType, step string) bool {
	return r.def.Reacts(r.owned, t, step) || p.concernsSaga(r, initiator, t, step)
}

// concernsSaga reports whether the event may change the saga row that this service
// has as the saga's initiator.
func (p *Participant[Tx]) concernsSaga(r *role[Tx], initiator string, t choreo.EventType, step string) bool {
	// Who asks for an abort may not know the initiator, nor who answers.
	return (initiator == p.cfg.Service || initiator == "") && r.def.ReactsSaga(t, step)
}

// thread is the events of one saga in a batch, in order.
type thread[Tx any] struct {
	id     outbox.SagaID
	events []received[Tx]
}

// received is an event and the record in which it came.
type received[Tx any] struct {
	*choreo.Event
	record *choreo.Record
	role   *role[Tx] // nil: its version is not known
}

// handle is the topics.Handler: it returns nil once every record of the batch is
// dealt with for good, and an error only where ctx ended before.
func (p *Participant[Tx]) handle(ctx context.Context, batch []choreo.Record) error {
	ctx, stop := p.grace(ctx)
	defer stop()
	threads, err := p.sort(ctx, batch)
	if err != nil {
		return err
	}
	if len(threads) > 1 {
		if threads, err = p.share(ctx, threads); err != nil {
			return err
		}
	}
	for _, t := range threads {
		for _, ev := range t.events {
			if err := p.doReceived(ctx, t.id, ev); err != nil {
				return err
			}
		}
	}
	return nil
}

// doReceived does what the rules make of one event, parks it, or dead-letters it where it
// is too old.
func (p *Participant[Tx]) doReceived(ctx context.Context, id outbox.SagaID, ev received[Tx]) error {
	switch {
	case ev.Type != choreo.ReleaseRequested && ev.Type != choreo.StartRequested:
	case ev.Target != p.cfg.Service:
		return nil
	case ev.Type == choreo.StartRequested:
		return p.startRequested(ctx, id, ev)
	default:
		return p.release(ctx, id, nil, ev.Event)
	}
	var tooOld error
	t := &task[Tx]{id: id, ev: ev.Event}
	t.decide = func(_ context.Context, v *view[Tx]) (*call, error) {
		tooOld = nil
		v.play(ev.Event)
		switch {
		case v.parked():
			v.queue(ev.record)
			return nil, nil
		case v.role == nil:
			return &call{obstacle: unknownVersion(version{id.Saga, v.version})}, nil
		}
		if tooOld = p.stale(v.role, ev.Event, ev.record.Time); tooOld != nil {
			return nil, nil
		}
		return v.react(ev.Event), nil
	}
	t.blocked = func(v *view[Tx], _ *call, why *choreo.Error) *repeat {
		v.hold(ev.Event, why)
		v.queue(ev.record)
		return nil
	}
	if err := p.do(ctx, t); err != nil || tooOld == nil {
		return err
	}
	return p.deadLetter(ctx, ev.record, tooOld)
}

// graceKey marks a context that outlives its parent for a while; its value is the
// parent, whose end means that nothing new is begun.
type graceKey struct{}

// grace returns a context that goes on after ctx has ended, for as long as what is
// under way may take to finish: the stop timeout, but no longer than half a session,
// so that a rebalance is not held up.
func (p *Participant[Tx]) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	return withGrace(ctx, min(p.cfg.StopTimeout, p.cfg.SessionTimeout/2))
}

// withGrace returns a context that goes on for so long after ctx has ended.
func withGrace(ctx context.Context, left time.Duration) (context.Context, context.CancelFunc) {
	long, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), graceKey{}, ctx))
	unhook := context.AfterFunc(ctx, func() {
		if left > 0 {
			_ = drive.Sleep(long, left)
		}
		cancel()
	})
	return long, func() { unhook(); cancel() }
}

// stopping returns the error with which a loop gives up: that of the context that
// asked for the stop, however much grace is left.
func stopping(ctx context.Context) error {
	if parent, ok := ctx.Value(graceKey{}).(context.Context); ok {
		if err := parent.Err(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sort decodes a batch into threads and dead-letters what it cannot read.
func (p *Participant[Tx]) sort(ctx context.Context, batch []choreo.Record) ([]thread[Tx], error) {
	threads := make([]thread[Tx], 0, len(batch))
	place := make(map[outbox.SagaID]int, len(batch))
	for i := range batch {
		rec := &batch[i]
		ev, err := topics.Decode(rec)
		var r *role[Tx]
		if err == nil {
			r = p.roles[version{ev.Saga, ev.Version}]
			if _, known := p.topicOf[ev.Saga]; !known {
				err = fmt.Errorf("saga %s/%d: %w", ev.Saga, ev.Version, errUnknownSaga)
			}
		}
		if err != nil {
			if err := p.deadLetter(ctx, rec, err); err != nil {
				return nil, err
			}
			continue
		}
		id := outbox.SagaID{Saga: ev.Saga, ID: ev.SagaID}
		n, known := place[id]
		if !known {
			n = len(threads)
			place[id] = n
			threads = append(threads, thread[Tx]{id: id})
		}
		threads[n].events = append(threads[n].events, received[Tx]{ev, rec, r})
	}
	return threads, nil
}

// deadLetter publishes the record as it was to the dead-letter topic, and waits for
// the broker as long as it takes: a record is never dropped.
func (p *Participant[Tx]) deadLetter(ctx context.Context, rec *choreo.Record, cause error) error {
	letter := topics.DeadLetter(rec, p.names.DeadLetters(), p.names.Group(p.cfg.Service), cause)
	for attempt := 1; ; attempt++ {
		errs := p.log.Publish(ctx, []choreo.Record{letter})
		if errs == nil {
			p.outage.over("broker")
			p.cfg.Logger.Warn("record dead-lettered",
				zap.String("topic", rec.Topic), zap.Int32("partition", rec.Partition),
				zap.Int64("offset", rec.Offset), zap.Error(cause))
			return nil
		}
		if err := p.waitOutage(ctx, "broker", errs[0], attempt); err != nil {
			return err
		}
	}
}

// waitOutage waits before the next attempt at what is away, unless the participant
// stops.
func (p *Participant[Tx]) waitOutage(ctx context.Context, what string, cause error, attempt int) error {
	if err := stopping(ctx); err != nil {
		return err
	}
	return p.outage.wait(stoppable(ctx), what, cause, attempt, p.cfg.OutageBackoff)
}

// stoppable returns the context whose end asks for a stop, for waits that need no
// grace.
func stoppable(ctx context.Context) context.Context {
	if parent, ok := ctx.Value(graceKey{}).(context.Context); ok {
		return parent
	}
	return ctx
}

// share applies, in one unit of work, the events of a batch that need no handler,
// such as those that close sagas. It returns the threads that are left.
func (p *Participant[Tx]) share(ctx context.Context, threads []thread[Tx]) ([]thread[Tx], error) {
	var ids []outbox.SagaID
	var quiet, rest []thread[Tx]
	for _, t := range threads {
		if t.quiet() {
			quiet, ids = append(quiet, t), append(ids, t.id)
		} else {
			rest = append(rest, t)
		}
	}
	if len(quiet) < 2 {
		return threads, nil
	}
	for attempt := 1; ; attempt++ {
		left, err := p.shareOnce(ctx, ids, quiet)
		if err == nil {
			p.outage.over("database")
			return append(rest, left...), nil
		}
		if err := p.waitOutage(ctx, "database", err, attempt); err != nil {
			return nil, err
		}
	}
}

// quiet reports whether no event of the thread triggers a step of this service, so
// that most likely none needs a handler, and none can be stale.
func (t *thread[Tx]) quiet() bool {
	for _, ev := range t.events {
		if ev.role == nil || ev.Type == choreo.ReleaseRequested || ev.Type == choreo.StartRequested || ev.role.needsRow(ev.Event) {
			return false
		}
	}
	return true
}

func (p *Participant[Tx]) shareOnce(ctx context.Context, ids []outbox.SagaID, quiet []thread[Tx]) ([]thread[Tx], error) {
	unit, err := p.store.Begin(ctx, ids...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	var (
		left    []thread[Tx]
		views   []*view[Tx]
		changes outbox.Changes
	)
	for _, t := range quiet {
		view := p.newView(unit, t.id)
		if view.parked() {
			left = append(left, t)
			continue
		}
		done := 0
		for _, ev := range t.events {
			if view.play(ev.Event); view.role == nil || view.react(ev.Event) != nil {
				break // needs more: this event and those after it stay
			}
			done++
		}
		view.collect(&changes)
		views = append(views, view)
		if done < len(t.events) {
			t.events = t.events[done:]
			left = append(left, t)
		}
	}
	if changes.Empty() {
		return left, nil
	}
	if err := unit.Commit(ctx, changes); err != nil {
		return nil, err
	}
	for _, view := range views {
		view.ring()
	}
	return left, nil
}
