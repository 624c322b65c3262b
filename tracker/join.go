package tracker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Part is one of several trackers that [Join] asks.
type Part struct {
	// Name tells it from the others, in what says that it lags or is away.
	Name   string
	Source PartSource
}

// PartSource is a tracker with a part of the partitions, in this process ([Own]) or in another one.
type PartSource interface {
	Reader
	Overview(ctx context.Context) (Overview, error)
	// Freshness tells how far the tracker is behind: each partition where asked.
	Freshness(ctx context.Context, partitions bool) (Freshness, error)
	// Watch returns changes from now on until ctx ends: then the channel is closed. Where some may be
	// lost, since the tracker was away, it sends a Reset once it has come back.
	Watch(ctx context.Context, f Filter) <-chan Change
}

// Own is the tracker of this process as a part.
func Own(name string, t *Tracker) Part { return Part{Name: name, Source: own{t}} }

type own struct{ *Tracker }

func (o own) Freshness(_ context.Context, partitions bool) (Freshness, error) {
	return o.Tracker.Freshness(partitions), nil
}

func (o own) Watch(ctx context.Context, f Filter) <-chan Change { return o.Tracker.Watch(ctx, f, 0) }

// JoinConfig configures [Join]. The zero value of a field is its default.
type JoinConfig struct {
	// Shared says that the parts share one model, so that each of them knows all sagas: the first is
	// asked for those. What is counted while folding, live changes and how fresh all is are of all
	// parts still.
	Shared bool
	// Timeout bounds the answer of a part that is in another process. Default: 5 s.
	Timeout time.Duration
	// Every is how often the parts are asked how far they are behind. Default: 1 s.
	Every time.Duration
	// Logger gets which parts go away, and why, and which come back. Default: none.
	Logger *zap.Logger
}

// PartialError says which parts were away when a question was answered. What comes with it is good,
// and lacks what they know.
type PartialError struct {
	Parts []string // their names, sorted
	Err   error    // why
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("tracker: %s away: %v", strings.Join(e.Parts, ", "), e.Err)
}

// Unwrap returns why they were away.
func (e *PartialError) Unwrap() error { return e.Err }

// Joined is several trackers as one. It is safe for concurrent use.
type Joined struct {
	parts  []*joinedPart
	config JoinConfig
}

// rest is how long a part that let a question wait for too long is left alone: each further question
// would wait as long.
const rest = 2 * time.Second

// joinedPart is a part, and how it stands.
type joinedPart struct {
	Part
	mu    sync.Mutex
	fresh Freshness // with its partitions
	err   error     // why it is away
	until time.Time // it is left alone
}

// Join returns several trackers, each with its part of the partitions, as one that answers for all: it
// asks each, and merges. Where some are away, the others answer, and the error is a
// [*PartialError]. config may be nil.
func Join(parts []Part, config *JoinConfig) *Joined {
	j := &Joined{}
	if config != nil {
		j.config = *config
	}
	if j.config.Timeout <= 0 {
		j.config.Timeout = 5 * time.Second
	}
	if j.config.Every <= 0 {
		j.config.Every = time.Second
	}
	if j.config.Logger == nil {
		j.config.Logger = zap.NewNop()
	}
	for _, p := range parts {
		j.parts = append(j.parts, &joinedPart{Part: p})
	}
	return j
}

// ask asks one part.
func (j *Joined) ask(ctx context.Context, p *joinedPart, do func(ctx context.Context, s PartSource) error) error {
	if _, here := p.Source.(own); here {
		return do(ctx, p.Source)
	}
	p.mu.Lock()
	resting, err := time.Now().Before(p.until), p.err
	p.mu.Unlock()
	if resting {
		return err
	}
	return j.askNow(ctx, p, do)
}

// askNow asks a part also where it is left alone, and notes how it stands.
func (j *Joined) askNow(ctx context.Context, p *joinedPart, do func(ctx context.Context, s PartSource) error) error {
	bounded, cancel := context.WithTimeout(ctx, j.config.Timeout)
	defer cancel()
	err := do(bounded, p.Source)
	away := err
	switch {
	case ctx.Err() != nil:
		return err // nobody waits any more, which says nothing of the part
	case errors.Is(err, ErrNotFound) || errors.Is(err, ErrBadCursor):
		away = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case away != nil && p.err == nil:
		j.config.Logger.Warn("a tracker of another part is away", zap.String("part", p.Name), zap.Error(err))
	case away == nil && p.err != nil:
		j.config.Logger.Info("a tracker of another part is back", zap.String("part", p.Name))
	}
	if p.err, p.until = away, (time.Time{}); bounded.Err() != nil {
		p.until = time.Now().Add(rest)
	}
	return err
}

// each asks all parts at once. Where some do not answer and some do, the error is a [*PartialError].
func (j *Joined) each(ctx context.Context, ask func(ctx context.Context, i int, s PartSource) error) error {
	errs := make([]error, len(j.parts))
	var asking sync.WaitGroup
	for i, p := range j.parts {
		asking.Go(func() {
			errs[i] = j.ask(ctx, p, func(ctx context.Context, s PartSource) error { return ask(ctx, i, s) })
		})
	}
	asking.Wait()
	var partial PartialError
	for i, err := range errs {
		if errors.Is(err, ErrBadCursor) {
			return err // which is the fault of who asks
		}
		if err != nil {
			partial.Parts = append(partial.Parts, j.parts[i].Name)
			partial.Err = errors.Join(partial.Err, fmt.Errorf("%s: %w", j.parts[i].Name, err))
		}
	}
	switch {
	case len(partial.Parts) == 0:
		return nil
	case ctx.Err() != nil || len(partial.Parts) == len(j.parts):
		return partial.Err
	}
	slices.Sort(partial.Parts)
	return &partial
}

// Get returns a saga. The error wraps [ErrNotFound] where no part has it, and is a [*PartialError]
// where one is away that may.
func (j *Joined) Get(ctx context.Context, saga, id string) (*Snapshot, error) {
	if j.config.Shared {
		return j.parts[0].Source.Get(ctx, saga, id)
	}
	found := make([]*Snapshot, len(j.parts))
	err := j.each(ctx, func(ctx context.Context, i int, p PartSource) error {
		s, err := p.Get(ctx, saga, id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		found[i] = s
		return err
	})
	for _, s := range found {
		if s != nil { // also where another one does not answer
			return s, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("tracker: saga %s of %s: %w", id, saga, ErrNotFound)
	}
	return nil, err
}

// Run asks the parts how far they are behind, again and again, until ctx ends, and returns nil then.
func (j *Joined) Run(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, p := range j.parts {
		asking.Go(func() {
			every := time.NewTicker(j.config.Every)
			defer every.Stop()
			for {
				j.refresh(ctx, p)
				select {
				case <-ctx.Done():
					return
				case <-every.C:
				}
			}
		})
	}
	return nil
}

func (j *Joined) refresh(ctx context.Context, p *joinedPart) {
	var fresh Freshness
	err := j.askNow(ctx, p, func(ctx context.Context, s PartSource) (err error) {
		fresh, err = s.Freshness(ctx, true)
		return err
	})
	if err == nil {
		p.mu.Lock()
		p.fresh = fresh
		p.mu.Unlock()
	}
}
