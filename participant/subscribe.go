package participant

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

// SubscribeConfig configures [Subscribe]. Fields left zero get their default.
type SubscribeConfig struct {
	// Group names who listens: processes of the same group share the events, every
	// group gets all of them. The consumer group is "<namespace>.subscribers.<Group>", so that
	// it cannot be that of a service that takes part. A new group begins with the oldest
	// event that the topics still have. Required.
	Group string
	// Sagas are the names of the definitions to listen to: they decide which topics are
	// read. Required.
	Sagas []string
	// Filter narrows the events down. Default: all events of the sagas.
	Filter Filter
	// Namespace is the first part of the topic names. Default: "choreo".
	Namespace string
	// Logger gets one line for each fact worth knowing, never a payload. Default: none.
	Logger *zap.Logger

	// Retry says how often the handler is tried with an event. The wait is on the spot: the
	// event's lane, a share of 1/Lanes of the sagas, waits with it. An event that ran out of
	// attempts is dead-lettered and the next one is handled; with math.MaxInt attempts none ever
	// runs out. Default: choreo.DefaultRetry, which gives up after about 1.5 s.
	Retry choreo.RetryPolicy
	// Lanes is how many sagas are handled side by side. Default: 32.
	Lanes int
	// InFlight bounds the events that were fetched and are not yet handled; fetching
	// pauses above it. Default: 4096.
	InFlight int
	// StopTimeout is how long a handler that is under way may go on once ctx has ended.
	// Default: 10 s, but never more than half of SessionTimeout; negative: its context
	// ends at once.
	StopTimeout time.Duration
	// SessionTimeout is how long a process may be silent before the consumer group
	// gives its partitions to another. Default: 10 s.
	SessionTimeout time.Duration
	// OutageBackoff bounds the wait between attempts while the broker is away; it starts
	// at 10 ms and doubles. Default: 5 s.
	OutageBackoff time.Duration
}

// Filter says which events of the sagas a subscription gets: those that match every
// field, where a field matches by any one of its values, and an empty field by all.
// It is asked about headers and keys alone: the payload of what it leaves out is never read.
type Filter struct {
	Types   []choreo.EventType
	Steps   []string // events of the whole saga, such as Started, have none and do not match
	SagaIDs []string
	Sources []string // the services that emitted the event
}

// matches reports whether a record is to be handled. A record that is no event is, where
// nothing that can be read of it says otherwise: the handler's side dead-letters it.
func (f *Filter) matches(rec *choreo.Record) bool {
	if len(f.SagaIDs) > 0 && !slices.Contains(f.SagaIDs, string(rec.Key)) {
		return false
	}
	head, err := topics.ReadHead(rec)
	if err != nil {
		// The type of a later build's event is none of those that are asked for.
		return len(f.Types) == 0 || !errors.Is(err, topics.ErrUnknownType)
	}
	return anyOf(f.Types, head.Type) && anyOf(f.Steps, head.Step) && anyOf(f.Sources, head.Source)
}

func anyOf[T comparable](values []T, v T) bool { return len(values) == 0 || slices.Contains(values, v) }

// EventHandler handles one event of a subscription. ctx ends when the subscription stops
// (see SubscribeConfig.StopTimeout) or loses the event's partition for good.
//
// An error is classified by package choreo: what may pass is tried again by
// SubscribeConfig.Retry; [choreo.Refuse] and [choreo.Permanent] give the event up at once.
// A panic counts as an error that may pass.
type EventHandler func(ctx context.Context, ev *choreo.Event) error

// Subscribe reads events of sagas and calls handle with those that match the filter,
// until ctx ends. It is for services that only listen: it needs no database, owns no
// step, and has no say in any saga.
//
// Events of one saga come one after the other and in order; those of different sagas side
// by side. An event comes at least once: after a crash, a rebalance, or twice in the log, it
// comes again, with the same Event.ID, and perhaps with events after it that had come
// before. An event that handle gives up is published to the dead-letter topic of the
// namespace with the cause, and so is, once for each group, a record that is no event; then
// the next one has its turn. Outages of the broker are waited out, those of whatever
// the handler uses are the handler's: see SubscribeConfig.Retry.
//
// Subscribe returns nil when ctx ended, an error that names every fault of config, or why
// it cannot go on: a topic is missing, or the consumer group refuses the member for good.
func Subscribe(ctx context.Context, log topics.Log, config *SubscribeConfig, handle EventHandler) error {
	s, err := newSubscription(log, config, handle)
	if err != nil {
		return err
	}
	fail := func(err error) error {
		if err == nil || ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("participant: subscription of %s: %w", s.group, err)
	}
	if _, err := awaitTopics(ctx, log, append(slices.Clone(s.topics), s.names.DeadLetters()), nil, &s.outage, s.cfg.OutageBackoff); err != nil {
		return fail(err)
	}
	s.cfg.Logger.Info("subscription runs", zap.String("group", s.group), zap.Strings("topics", s.topics))
	return fail(log.Consume(ctx, topics.ConsumeConfig{
		Group:          s.group,
		Topics:         s.topics,
		Keep:           s.cfg.Filter.matches,
		Lanes:          s.cfg.Lanes,
		InFlight:       s.cfg.InFlight,
		SessionTimeout: s.cfg.SessionTimeout,
		OnState:        s.consumeState,
	}, s.handleBatch))
}

// subscription is one call of Subscribe.
type subscription struct {
	cfg    *SubscribeConfig
	log    topics.Log
	names  topics.Names
	group  string
	topics []string
	handle EventHandler
	outage outage
	state  atomic.Pointer[topics.ConsumeState]
}

func newSubscription(log topics.Log, config *SubscribeConfig, handle EventHandler) (*subscription, error) {
	cfg, err := config.withDefaults()
	if handle == nil {
		err = errors.Join(err, errors.New("participant: Subscribe: the handler is nil"))
	}
	if err != nil {
		return nil, err
	}
	names, err := topics.NewNames(cfg.Namespace)
	if err != nil {
		return nil, fmt.Errorf("participant: SubscribeConfig.Namespace: %w", err)
	}
	s := &subscription{
		cfg: cfg, log: log, names: names, group: names.Group("subscribers." + cfg.Group), handle: handle,
		outage: outage{log: cfg.Logger, world: drive.Real()},
	}
	for _, saga := range cfg.Sagas {
		s.topics = append(s.topics, names.Events(saga))
	}
	return s, nil
}

// withDefaults returns a checked copy with every default filled in.
func (c *SubscribeConfig) withDefaults() (*SubscribeConfig, error) {
	var cfg SubscribeConfig
	if c != nil {
		cfg = *c
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("participant: SubscribeConfig."+format, args...))
	}
	if cfg.Group == "" {
		fault("Group is empty: name who listens")
	}
	if len(cfg.Sagas) == 0 {
		fault("Sagas is empty: name the definitions to listen to")
	}
	for i, saga := range cfg.Sagas {
		if saga == "" {
			fault("Sagas[%d] is empty", i)
		} else if slices.Contains(cfg.Sagas[:i], saga) {
			fault("Sagas[%d]: %s stands here twice", i, saga)
		}
	}
	for i, t := range cfg.Filter.Types {
		if !t.Known() {
			fault("Filter.Types[%d]: %q is no type of an event", i, t)
		}
	}
	setDefault(&cfg.Retry, choreo.DefaultRetry())
	if err := cfg.Retry.Validate(); err != nil {
		fault("Retry: %w", err)
	}
	for name, n := range map[string]int64{
		"Lanes": int64(cfg.Lanes), "InFlight": int64(cfg.InFlight),
		"SessionTimeout": int64(cfg.SessionTimeout), "OutageBackoff": int64(cfg.OutageBackoff),
	} {
		if n < 0 {
			fault("%s is %d: use a positive number, or 0 for the default", name, n)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	setDefault(&cfg.Namespace, "choreo")
	setDefault(&cfg.Lanes, 32)
	setDefault(&cfg.InFlight, 4096)
	setDefault(&cfg.StopTimeout, 10*time.Second)
	setDefault(&cfg.SessionTimeout, 10*time.Second)
	setDefault(&cfg.OutageBackoff, 5*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	cfg.Filter = Filter{
		Types: slices.Clone(cfg.Filter.Types), Steps: slices.Clone(cfg.Filter.Steps),
		SagaIDs: slices.Clone(cfg.Filter.SagaIDs), Sources: slices.Clone(cfg.Filter.Sources),
	}
	return &cfg, nil
}

// consumeState logs what changes.
func (s *subscription) consumeState(now topics.ConsumeState) {
	before := s.state.Swap(&now)
	switch {
	case now.Err != nil && (before == nil || before.Err == nil):
		s.cfg.Logger.Warn("reading is interrupted", zap.String("group", s.group), zap.Error(now.Err))
	case now.Err == nil && (before == nil || before.Err != nil || before.Partitions != now.Partitions):
		s.cfg.Logger.Info("reading", zap.String("group", s.group), zap.Int("partitions", now.Partitions))
	}
}

// handleBatch is the topics.Handler: it returns nil once every record is handled or
// dead-lettered, and an error only where ctx ended before.
func (s *subscription) handleBatch(ctx context.Context, batch []choreo.Record) error {
	ctx, stop := withGrace(ctx, min(s.cfg.StopTimeout, s.cfg.SessionTimeout/2))
	defer stop()
	for i := range batch {
		if err := stopping(ctx); err != nil {
			return err
		}
		rec := &batch[i]
		ev, fault := topics.Decode(rec)
		if fault == nil {
			var err error
			if fault, err = s.handleEvent(ctx, ev); err != nil {
				return err
			}
		}
		if fault != nil {
			if err := s.deadLetter(ctx, rec, fault); err != nil {
				return err
			}
		}
	}
	return nil
}

// handleEvent calls the handler until it is done or the event is given up, which fault
// is the reason of. err says that ctx ended before.
func (s *subscription) handleEvent(ctx context.Context, ev *choreo.Event) (fault, err error) {
	for attempt := 1; ; attempt++ {
		failure := choreo.Classify(s.call(ctx, ev))
		switch {
		case failure == nil:
			return nil, nil
		case ctx.Err() != nil: // which is what it failed of, or may be
			return nil, ctx.Err()
		case !failure.Class.Retried(), s.cfg.Retry.Exhausted(attempt):
			return failure, nil
		}
		delay := max(s.cfg.Retry.Delay(attempt, rand.Float64()), failure.After)
		s.cfg.Logger.Warn("event is handled again", zap.String("group", s.group), zap.String("saga", ev.Saga),
			zap.String("saga_id", ev.SagaID), zap.String("type", string(ev.Type)), zap.String("step", ev.Step),
			zap.Int("attempt", attempt), zap.Duration("in", delay), zap.Error(failure))
		if err := drive.Sleep(stoppable(ctx), delay); err != nil {
			return nil, err
		}
	}
}

// call hands a copy of the event to the handler: what an attempt did to its own does
// not show in the next.
func (s *subscription) call(ctx context.Context, ev *choreo.Event) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.cfg.Logger.Error("handler panicked", zap.String("group", s.group), zap.String("saga", ev.Saga),
				zap.String("saga_id", ev.SagaID), zap.Any("panic", cause), zap.ByteString("stack", debug.Stack()))
			err = &choreo.Error{Class: choreo.ClassRetryable, Code: codePanic, Err: fmt.Errorf("handler panicked: %v", cause)}
		}
	}()
	own := *ev
	return s.handle(ctx, &own)
}

// deadLetter publishes the record to the dead-letter topic, and waits for the broker as
// long as it takes.
func (s *subscription) deadLetter(ctx context.Context, rec *choreo.Record, cause error) error {
	letter := topics.DeadLetter(rec, s.names.DeadLetters(), s.group, cause)
	for attempt := 1; ; attempt++ {
		errs := s.log.Publish(ctx, []choreo.Record{letter})
		if errs == nil {
			s.outage.over("broker")
			s.cfg.Logger.Warn("record dead-lettered", zap.String("group", s.group), zap.String("topic", rec.Topic),
				zap.Int32("partition", rec.Partition), zap.Int64("offset", rec.Offset), zap.Error(cause))
			return nil
		}
		if err := stopping(ctx); err != nil {
			return err
		}
		if err := s.outage.wait(stoppable(ctx), "broker", errs[0], attempt, s.cfg.OutageBackoff); err != nil {
			return err
		}
	}
}

// EventPayload decodes the payload of an event: the saga's input of Started, the step's
// output of StepCompleted. Of the codecs, that of the payload's own media type is taken;
// none given is schema.JSON. The error is permanent: an [EventHandler] that returns it has
// the event dead-lettered at once.
func EventPayload[T any](ev *choreo.Event, among ...schema.Codec) (T, error) {
	if len(among) == 0 {
		among = []schema.Codec{schema.JSON{}}
	}
	var payload T
	err := newCodecs(among...).decode(choreo.Output{Step: ev.Step, ContentType: ev.ContentType, Data: ev.Payload}, &payload)
	if err != nil {
		return payload, obstacle(codeUndecodable, "payload of %s of saga %s %q: %w", ev.Type, ev.Saga, ev.SagaID, err)
	}
	return payload, nil
}
