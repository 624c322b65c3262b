package tracker

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// Config configures a [Tracker]. The zero value of a field is its default.
type Config struct {
	// Namespace of the topics. Default: "choreo".
	Namespace string
	// Definitions that are known from the start. Default: none, those that services have
	// published in the topic of definitions are read from there.
	Definitions []choreo.AnySaga
	// Shard is which part of the partitions this tracker follows, and of how many: those whose
	// number leaves the remainder Shard.Index when it is divided by Shard.Count. Only one tracker
	// at a time may follow a part. Default: all of them.
	Shard Shard
	// KeepEnded is for how long sagas that have ended are kept. It should be longer than it
	// takes until nothing of a saga is delivered a second time. Default: 7 days; negative: without
	// end.
	KeepEnded time.Duration
	// MaxEnded bounds how many sagas that have ended are kept; those that ended first are
	// forgotten first. Default: 1,000,000; negative: no bound.
	MaxEnded int
	// FlushEvery is for how long changes are gathered before they go to the model, to the tracker topic
	// and to those who watch: a saga that changes several times meanwhile is written once.
	// Default: 200 ms.
	FlushEvery time.Duration
	// FlushBehind takes the place of FlushEvery while the tracker catches up. Default: 5 s.
	FlushBehind time.Duration
	// FlushMax is how many changed sagas are gathered at most. Default: 50,000.
	FlushMax int
	// RetryEvery is the pause before something that failed is tried again, and the period in
	// which missing topics are looked for, and the ends of the logs. Default: 2 s.
	RetryEvery time.Duration
	// SweepEvery is how often sagas that ended are looked through. Default: 1 min.
	SweepEvery time.Duration
	// Logger gets what goes wrong, and what the tracker waits for. Default: none.
	Logger *zap.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Shard is one of several equal parts. The zero value is the whole.
type Shard struct {
	Index int // from 0
	Count int // default: 1
}

// Has reports whether the part holds a partition.
func (s Shard) Has(partition int32) bool {
	return s.Count <= 1 || int(partition)%s.Count == s.Index
}

func (c *Config) withDefaults() (Config, topics.Names, error) {
	var cfg Config
	if c != nil {
		cfg = *c
	}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("tracker: Config."+format, args...))
	}
	if cfg.Namespace == "" {
		cfg.Namespace = "choreo"
	}
	names, err := topics.NewNames(cfg.Namespace)
	if err != nil {
		fault("Namespace: %w", err)
	}
	if cfg.Shard.Count == 0 {
		cfg.Shard.Count = 1
	}
	if cfg.Shard.Count < 0 || cfg.Shard.Index < 0 || cfg.Shard.Index >= cfg.Shard.Count {
		fault("Shard is %d of %d: count from 0, as 0 of 1 or 2 of 3", cfg.Shard.Index, cfg.Shard.Count)
	}
	period := func(name string, field *time.Duration, value time.Duration) {
		if *field < 0 {
			fault("%s is %s: use a positive duration, or 0 for %s", name, *field, value)
		} else if *field == 0 {
			*field = value
		}
	}
	period("FlushEvery", &cfg.FlushEvery, 200*time.Millisecond)
	period("FlushBehind", &cfg.FlushBehind, 5*time.Second)
	period("RetryEvery", &cfg.RetryEvery, 2*time.Second)
	period("SweepEvery", &cfg.SweepEvery, time.Minute)
	if cfg.FlushMax < 0 {
		fault("FlushMax is %d: use a positive number, or 0 for 50000", cfg.FlushMax)
	} else if cfg.FlushMax == 0 {
		cfg.FlushMax = 50_000
	}
	if cfg.KeepEnded == 0 {
		cfg.KeepEnded = 7 * 24 * time.Hour
	}
	if cfg.MaxEnded == 0 {
		cfg.MaxEnded = 1_000_000
	}
	if slices.Contains(cfg.Definitions, nil) {
		fault("Definitions holds a nil: leave it out")
	}
	cfg.Definitions = slices.Clone(cfg.Definitions)
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg, names, errors.Join(faults...)
}
