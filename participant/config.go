package participant

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// Config configures a [Participant]. Fields left zero get their default.
type Config struct {
	// Service is the name under which this service owns steps. Required.
	Service string
	// Sagas are the definitions that this service takes part in: it owns a step of
	// them, or starts them. Several versions of one saga may stand here, and all should that
	// are in use: a saga of another version is parked. Required.
	Sagas []choreo.AnySaga
	// Namespace is the first part of the topic names. Default: "choreo".
	Namespace string
	// Logger gets one line for each fact worth knowing, never a payload.
	// Default: none.
	Logger *zap.Logger
	// Codec writes the payloads for which no definition names an encoding, and reads those of its
	// media type. Where a codec is a schema.Preparer, Run has it prepared for all that this
	// service writes before anything is read, and waits for a registry that does not answer;
	// what Start and the like write before Run is prepared then. Default: schema.JSON.
	Codec schema.Codec
	// Codecs are further ones, each for a media type of its own: they write what a definition
	// says is encoded so (see choreo.Encoding), and read what says so of itself. All
	// encodings that definitions name for what this service's steps write or read must
	// be among Codec and these.
	Codecs []schema.Codec

	// Lanes is how many sagas are worked on side by side. Default: 32.
	Lanes int
	// InFlight bounds the events that were fetched and are not yet handled; fetching
	// pauses above it. Default: 4096.
	InFlight int
	// Groups is how many transactions that sagas share are under way at once. What comes while they
	// are waits, and then shares the next one: events that need no handler, and steps whose
	// handler says Local. Others have a transaction of their own, with their lane. With two groups
	// one uses the processors while another one waits for the disk, but they may wait for each
	// other's rows. Default: 1; negative: nothing is shared.
	Groups int
	// GroupMax is how many sagas at most share a transaction. Default: 256.
	GroupMax int
	// StepLimits bounds how many handlers of a step, Execute and Compensate together, run at
	// once in this process, by the step's name. What is over the bound waits in the
	// database, as a retry does, and neither fails nor holds up its lane. Default: as many as
	// there are lanes, and as many again of what is due.
	StepLimits map[string]int
	// MaxOpenSagas bounds how many sagas of each definition that this service has started are
	// open at once, over all its processes. What is over the bound waits in the database,
	// in the order in which it was started, until an open one closes: nothing of it is
	// in the log yet, and its deadline counts from its admission. It need not be the same in
	// all processes: each goes by its own. With a bound, every saga passes through the queue,
	// which takes it another commit. Default: 0, no bound.
	MaxOpenSagas int
	// ParkUnhandled allows for steps of this service without a handler: a saga that comes to
	// one is parked, see the package's documentation. Default: Run returns an error that names
	// such steps.
	ParkUnhandled bool
	// RetryInPlace is the longest delay of a retry that is waited for on the spot, with
	// the saga's lane: it needs no commit. A longer one is a row with a due time, which
	// outlives the process, and the lane goes on. Default: 50 ms; negative: none is
	// waited for.
	RetryInPlace time.Duration
	// ClockPoll is how often due rows are looked for that this process does not know of:
	// retries of a process that died, deadlines, answers that did not come. Default: 1 s.
	ClockPoll time.Duration
	// Horizon is how long rows of sagas that have ended for this service are kept at least,
	// and how old a trigger may be to be acted on: an older one, whose row may be gone,
	// goes to the dead-letter topic, for it may be a duplicate. It must not be below the
	// retention of an events topic, nor below the deadline of a saga, and should be above
	// the longest life of any: a step can be undone as long as its row is there. To
	// raise it later does not bring back rows that have gone. Clocks may be off by up to an
	// hour, by which rows outlive the horizon.
	//
	// Default: the longest of these retentions and deadlines plus a day. Where a topic keeps
	// events without end, the default is to keep all rows, too; with a Horizon set, events
	// that such a topic still has from before it are not acted on. Negative: all rows
	// are kept, and triggers of any age acted on.
	Horizon time.Duration
	// PruneEvery is how often rows are looked for that are past the horizon. Default: 1 min.
	PruneEvery time.Duration
	// StopTimeout is how long Run goes on, once its context has ended, to let the
	// handlers that are under way finish and the outbox drain. Default: 10 s;
	// negative: does not wait.
	StopTimeout time.Duration
	// SessionTimeout is how long a process may be silent before the consumer group
	// gives its partitions to another. Default: 10 s.
	SessionTimeout time.Duration
	// OutageBackoff bounds the wait between attempts while the database or the broker
	// is away; it starts at 10 ms and doubles. Default: 5 s.
	OutageBackoff time.Duration
	// RelayPoll is how often the relay looks for entries that it was not woken for,
	// such as those of a process that died. Default: 1 s.
	RelayPoll time.Duration
	// NoRelay leaves the outbox to somebody else: another process or a Debezium
	// connector. Default: the participant runs a relay.
	NoRelay bool
	// StatusEvery is how often this process tells in the topic topics.Names.Participants how it
	// stands: what it reads, what waits in its database and why (see topics.Status). It is for
	// people and their tools; no saga waits for it. Where there is no such topic it tells
	// nothing. Default: 10 s; negative: never.
	StatusEvery time.Duration
	// Build names this build of the program to people, in the contract that the service publishes.
	// Default: the version that the Go toolchain has put into the program, or else its revision.
	Build string
	// IgnoreContracts lets Run go on where the contract of this service contradicts what other
	// services have published, or cannot be made or published: what is found stands in
	// the log. Default: Run returns an error that names each contradiction, and publishes
	// nothing.
	IgnoreContracts bool
	// Intercept, if set, is called in place of every handler, by the goroutine and in the
	// transaction in which it is due; next calls the handler. The context that next
	// gets is the handler's, and what Intercept returns counts as the handler's error.
	// It must call next once at most, and cannot return nil without. A step that its
	// condition bypasses, or whose input does not decode, has no call. Default: none.
	Intercept Interceptor
}

// withDefaults returns a checked copy with every default filled in.
func (c *Config) withDefaults() (*Config, error) {
	var cfg Config
	if c != nil {
		cfg = *c
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("participant: Config."+format, args...))
	}
	if cfg.Service == "" {
		fault("Service is empty: name the service as the definitions do in OwnedBy")
	}
	if len(cfg.Sagas) == 0 {
		fault("Sagas is empty: list the definitions that this service takes part in")
	}
	seen := make(map[string]*choreo.Definition)
	for i, s := range cfg.Sagas {
		if s == nil || s.Def() == nil {
			fault("Sagas[%d] is nil", i)
			continue
		}
		if seen[s.Def().String()] != nil {
			fault("Sagas[%d]: %s stands here twice", i, s.Def())
		}
		seen[s.Def().String()] = s.Def()
	}
	positive := func(name string, n int) {
		if n < 0 {
			fault("%s is %d: use a positive number, or 0 for the default", name, n)
		}
	}
	for _, step := range slices.Sorted(maps.Keys(cfg.StepLimits)) {
		if cfg.StepLimits[step] < 1 {
			fault("StepLimits[%q] is %d: use a number of at least 1, or leave the step out", step, cfg.StepLimits[step])
		}
		if !slices.ContainsFunc(cfg.Sagas, func(s choreo.AnySaga) bool {
			return s != nil && s.Def() != nil && slices.Contains(s.Def().StepsOf(cfg.Service), step)
		}) {
			fault("StepLimits[%q]: service %q owns no such step in its sagas", step, cfg.Service)
		}
	}
	if cfg.Codec == nil {
		cfg.Codec = schema.JSON{}
	}
	cfg.Codecs = slices.Clone(cfg.Codecs)
	cfg.checkCodecs(fault)
	positive("MaxOpenSagas", cfg.MaxOpenSagas)
	positive("Lanes", cfg.Lanes)
	positive("GroupMax", cfg.GroupMax)
	positive("InFlight", cfg.InFlight)
	positive("SessionTimeout", int(cfg.SessionTimeout))
	positive("OutageBackoff", int(cfg.OutageBackoff))
	positive("RelayPoll", int(cfg.RelayPoll))
	positive("ClockPoll", int(cfg.ClockPoll))
	positive("PruneEvery", int(cfg.PruneEvery))
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	cfg.fill()
	return &cfg, nil
}

// fill fills in the defaults that need no check.
func (c *Config) fill() {
	setDefault(&c.Namespace, "choreo")
	if c.Build == "" {
		c.Build = buildVersion()
	}
	setDefault(&c.Lanes, 32)
	setDefault(&c.InFlight, 4096)
	setDefault(&c.Groups, 1)
	setDefault(&c.GroupMax, 256)
	setDefault(&c.StopTimeout, 10*time.Second)
	setDefault(&c.SessionTimeout, 10*time.Second)
	setDefault(&c.OutageBackoff, 5*time.Second)
	setDefault(&c.RelayPoll, time.Second)
	setDefault(&c.ClockPoll, time.Second)
	setDefault(&c.PruneEvery, time.Minute)
	setDefault(&c.StatusEvery, 10*time.Second)
	setDefault(&c.RetryInPlace, 50*time.Millisecond)
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
}

// checkCodecs looks whether each media type has one codec, and each payload of the
// service's steps has one.
func (c *Config) checkCodecs(fault func(format string, args ...any)) {
	all := []schema.Codec{c.Codec}
	seen := map[string]string{c.Codec.ContentType(): "Codec"}
	for i, codec := range c.Codecs {
		if codec == nil {
			fault("Codecs[%d] is nil: leave it out", i)
			continue
		}
		name := fmt.Sprintf("Codecs[%d]", i)
		if other := seen[codec.ContentType()]; other != "" {
			fault("%s is a second codec for %q, which %s is for: leave one out", name, codec.ContentType(), other)
			continue
		}
		seen[codec.ContentType()] = name
		all = append(all, codec)
	}
	set := newCodecs(all...)
	for _, s := range c.Sagas {
		if s == nil || s.Def() == nil {
			continue
		}
		for _, err := range set.check(c.Service, s.Def()) {
			fault("Codecs: %w", err)
		}
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
