package participant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

// Participant takes part in sagas for one service. Make it with [New], register
// handlers with [Handle], then call [Participant.Run]. [Start] may be called at any
// time, also before Run.
type Participant[Tx any] struct {
	cfg     *Config
	world   drive.World
	log     topics.Log
	store   outbox.Store[Tx]
	names   topics.Names
	roles   map[version]*role[Tx]
	topicOf map[string]string // by name of the saga, of those that have a role
	codecs  *codecs
	relay   *outbox.Relay
	homes   homes
	outage  outage
	clock   clock
	limits  *limits
	gate    gate
	groups  *groups[Tx]
	starts  *groups[Tx] // of sagas that are started
	members atomic.Pointer[topics.ConsumeState]
	running atomic.Bool
	// hastened: this process has made parked sagas due.
	hastened atomic.Bool
	horizon  time.Duration // see Config.Horizon; 0: none. Set before anything is read
	faults   []error       // of Handle, reported by Run
	// told: the topic of statuses exists.
	told bool
	// definitions: the topic of contracts exists. compare finds contradictions between them.
	definitions bool
	compare     func(definition.Contract, []definition.Contract) []definition.Finding
}

// version names one version of a saga.
type version struct {
	saga   string
	number int
}

// role is what this service has to do in one version of a saga.
type role[Tx any] struct {
	saga  choreo.AnySaga // as Config.Sagas has it: maybe a document, with schemas
	def   *choreo.Definition
	owned []string
	bound map[string]*binding[Tx] // by step
	local []string                // the steps whose handlers are, see Local
}

// New returns a participant of the service. The error names every fault of config.
// The caller keeps log and store and closes them after Run has returned.
func New[Tx any](log topics.Log, store outbox.Store[Tx], config *Config) (*Participant[Tx], error) {
	cfg, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	names, err := topics.NewNames(cfg.Namespace)
	if err != nil {
		return nil, fmt.Errorf("participant: Config.Namespace: %w", err)
	}
	p := &Participant[Tx]{
		cfg: cfg, log: log, store: store, names: names,
		roles: make(map[version]*role[Tx], len(cfg.Sagas)), topicOf: make(map[string]string, len(cfg.Sagas)),
	}
	p.codecs = newCodecs(append([]schema.Codec{cfg.Codec}, cfg.Codecs...)...)
	p.compare = definition.Compare
	p.limits = newLimits(cfg.StepLimits, cfg.Service, cfg.Sagas)
	p.groups, p.starts = newGroups(p), newGroups(p)
	p.inWorld(drive.Real())
	for _, s := range cfg.Sagas {
		d := s.Def()
		p.topicOf[d.Name()] = names.Events(d.Name())
		p.roles[version{d.Name(), d.Version()}] = &role[Tx]{
			saga: s, def: d, owned: d.StepsOf(cfg.Service), bound: make(map[string]*binding[Tx]),
		}
	}
	p.relay = outbox.NewRelay(store, log, &outbox.RelayConfig{
		Poll: cfg.RelayPoll, MaxBackoff: cfg.OutageBackoff,
		StopTimeout: cfg.StopTimeout, Logger: cfg.Logger,
	})
	return p, nil
}

// inWorld takes time and chance from w.
func (p *Participant[Tx]) inWorld(w drive.World) {
	p.world = w
	p.outage = outage{log: p.cfg.Logger, world: w}
	p.clock = newClock(w.Now)
}

// Drive gets ready as Run does, and hands out what Run would go through. Only this module can make
// its argument: it is for the simulator.
func (p *Participant[Tx]) Drive(ctx context.Context, w drive.World) (*drive.Steps, error) {
	p.inWorld(w)
	if err := p.prepare(ctx, false); err != nil {
		return nil, err
	}
	return &drive.Steps{
		Keep: p.concerns, Handle: p.handle, Look: p.look, Act: p.actOn, Prune: p.prune, Relay: p.relay,
		Homes: func(ctx context.Context) error { return p.homes.lookUp(ctx, p.log, p.topics()) },
	}, nil
}

// prepare checks that the participant is set up, waits for the broker, looks at the topics,
// agrees with other services if it is to, and has the codecs get ready. What a contract forbids
// leaves nothing in a registry, and what a registry refuses no contract.
func (p *Participant[Tx]) prepare(ctx context.Context, agrees bool) error {
	if p.running.Swap(true) {
		return errors.New("participant: Run was called before: make a new participant")
	}
	if err := p.checkHandlers(); err != nil {
		return err
	}
	if err := p.checkTopics(ctx); err != nil {
		return err
	}
	var contract *agreement
	if agrees {
		var err error
		if contract, err = p.propose(ctx); err != nil {
			return err
		}
	}
	if err := p.prepareCodecs(ctx); err != nil {
		return err
	}
	return p.publishContract(ctx, contract)
}

// Run takes part until ctx ends, then stops gracefully within Config.StopTimeout:
// it reads nothing new, lets handlers that are under way finish, commits their
// offsets and drains the outbox. It returns nil after such a stop, and an error where
// the participant is not set up rightly (a handler or a topic is missing, a schema is
// refused, its contract contradicts those of other services) or the consumer group refuses it for good. It may be called once.
func (p *Participant[Tx]) Run(ctx context.Context) error {
	if err := p.prepare(ctx, true); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	relayCtx, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRelay()
	relayDone := make(chan error, 1)
	if p.cfg.NoRelay {
		relayDone <- nil
	} else {
		go func() { relayDone <- p.relay.Run(relayCtx) }()
	}

	go p.homes.refresh(relayCtx, p.log, p.topics())

	p.cfg.Logger.Info("participant runs", zap.String("service", p.cfg.Service), zap.Strings("topics", p.topics()))
	var loops sync.WaitGroup
	loops.Go(func() { p.runClock(ctx) })
	loops.Go(func() { p.runPrune(ctx) })
	loops.Go(func() { p.runStatus(ctx) })
	err := p.log.Consume(ctx, topics.ConsumeConfig{
		Group:          p.names.Group(p.cfg.Service),
		Topics:         p.topics(),
		Keep:           p.keep,
		Lanes:          p.cfg.Lanes,
		InFlight:       p.cfg.InFlight,
		Hold:           p.groups.busy,
		SessionTimeout: p.cfg.SessionTimeout,
		OnState:        p.consumeState,
	}, p.handle)
	if err != nil {
		err = fmt.Errorf("participant %s: reading stopped: %w", p.cfg.Service, err)
	}
	stop()
	loops.Wait()
	stopRelay()
	return errors.Join(err, <-relayDone)
}

// topics returns the topics of all roles, sorted.
func (p *Participant[Tx]) topics() []string { return slices.Sorted(maps.Values(p.topicOf)) }

// checkTopics waits for the broker and makes sure that the topics exist.
func (p *Participant[Tx]) checkTopics(ctx context.Context) error {
	definitions, participants := p.names.Definitions(), p.names.Participants()
	have, err := awaitTopics(ctx, p.log, append(p.topics(), p.names.DeadLetters()), []string{definitions, participants}, &p.outage, p.cfg.OutageBackoff)
	if err != nil {
		return fmt.Errorf("participant %s: %w", p.cfg.Service, err)
	}
	_, p.definitions = have[definitions]
	_, p.told = have[participants]
	delete(have, definitions)
	delete(have, participants)
	p.homes.set(have)
	return p.setHorizon(have)
}

// awaitTopics waits for the broker and returns how the topics are, of which those that are
// wanted must exist.
func awaitTopics(ctx context.Context, log topics.Admin, want, also []string, away *outage, backoff time.Duration) (map[string]topics.TopicState, error) {
	for attempt := 1; ; attempt++ {
		have, err := log.DescribeTopics(ctx, slices.Concat(want, also)...)
		if err == nil {
			away.over("broker")
			missing := slices.DeleteFunc(want, func(t string) bool { _, ok := have[t]; return ok })
			if len(missing) > 0 {
				return nil, fmt.Errorf("topics %q do not exist: create them with topics.NewPlan and Plan.Apply", missing)
			}
			return have, nil
		}
		if errors.Is(err, topics.ErrClosed) {
			return nil, err
		}
		if err := away.wait(ctx, "broker", err, attempt, backoff); err != nil {
			return nil, err
		}
	}
}

func (p *Participant[Tx]) consumeState(s topics.ConsumeState) {
	before := p.members.Swap(&s)
	switch {
	case s.Err != nil && (before == nil || before.Err == nil):
		p.cfg.Logger.Warn("reading is interrupted", zap.Error(s.Err))
	case s.Err == nil && (before == nil || before.Err != nil || before.Partitions != s.Partitions):
		p.cfg.Logger.Info("reading", zap.Int("partitions", s.Partitions))
	}
}

// Health is how a participant stands. See [Participant.Health].
type Health struct {
	// Ready: partitions may be assigned or not (there can be more processes than
	// partitions), but the broker and the database answer.
	Ready      bool
	Partitions int            // assigned to this process
	Log        error          // why the log cannot be read, or nil
	Store      error          // why the database does not answer, or nil
	Backlog    outbox.Backlog // events that were committed and are not yet in the log
	Relay      outbox.RelayStats
}

// Health asks the database and reports how the participant stands. It returns within
// a second or when ctx ends.
func (p *Participant[Tx]) Health(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	h := Health{Relay: p.relay.Stats()}
	if h.Store = p.store.Ping(ctx); h.Store == nil {
		h.Backlog, h.Store = p.store.Backlog(ctx)
	}
	if s := p.members.Load(); s != nil {
		h.Partitions, h.Log = s.Partitions, s.Err
	} else {
		h.Log = errors.New("has not joined its consumer group yet")
	}
	h.Ready = h.Log == nil && h.Store == nil
	return h
}
