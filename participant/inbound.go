package participant

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// keep is concerns for records that are read to be handled.
func (p *Participant[Tx]) keep(rec *choreo.Record) bool {
	if !p.concerns(rec) {
		return false
	}
	p.groups.arrives()
	return true
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
	// known is what is known of the handlers that the event of this place asks for, and delay how
	// long to wait before the first event is gone on with.
	known attempts
	at    int
	delay time.Duration
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
	if err := p.groups.do(ctx, threads); err != nil {
		return err
	}
	for i := range threads {
		if err := p.doThread(ctx, &threads[i]); err != nil {
			return err
		}
	}
	return nil
}

// doThread does what is left of a thread, each event in a unit of work of its own.
func (p *Participant[Tx]) doThread(ctx context.Context, t *thread[Tx]) error {
	if t.delay > 0 {
		if err := p.world.Sleep(stoppable(ctx), t.delay); err != nil {
			return err
		}
	}
	for i, ev := range t.events {
		if err := p.doReceived(ctx, t.id, ev, t.knownOf(i)); err != nil {
			return err
		}
	}
	return nil
}

// knownOf returns what is known of the handlers that an event asks for.
func (t *thread[Tx]) knownOf(event int) attempts {
	if event != t.at {
		return attempts{}
	}
	return attempts{made: maps.Clone(t.known.made), verdict: t.known.verdict}
}

// doReceived does what the rules make of one event, parks it, or dead-letters it where it
// is too old.
func (p *Participant[Tx]) doReceived(ctx context.Context, id outbox.SagaID, ev received[Tx], known attempts) error {
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
	if err := p.doKnowing(ctx, t, &known); err != nil || tooOld == nil {
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

// ungraced returns a context of which no other one asks for a stop.
func ungraced(ctx context.Context) context.Context { return context.WithValue(ctx, graceKey{}, nil) }

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
