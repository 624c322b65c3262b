package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// Consume implements [topics.Log].
func (l *Log) Consume(ctx context.Context, config topics.ConsumeConfig, handle topics.Handler) error {
	config, err := config.WithDefaults()
	if err != nil {
		return err
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.calls.Done()

	m := l.newMember(ctx, &config)
	defer l.leave(m)
	tell := teller(config.OnState)
	for {
		if err := l.share(m, tell); err != nil {
			return endOf(ctx, err)
		}
		s := &session{log: l, member: m, next: make(map[lanes.Partition]int64)}
		tell(l.begin(s))
		err := s.run(&config, handle)
		tell(topics.ConsumeState{})
		if err != nil || ctx.Err() != nil {
			return endOf(ctx, err)
		}
	}
}

// endOf returns how Consume ends: an end of its context is no error.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// teller returns a function that tells the callback about states that are new.
func teller(callback func(topics.ConsumeState)) func(topics.ConsumeState) {
	var last topics.ConsumeState
	return func(s topics.ConsumeState) {
		same := s.Partitions == last.Partitions && (s.Err == nil) == (last.Err == nil) &&
			(s.Err == nil || s.Err.Error() == last.Err.Error())
		if callback != nil && !same {
			last = s
			callback(s)
		}
	}
}

func (l *Log) newMember(ctx context.Context, config *topics.ConsumeConfig) *member {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.group(config.Group)
	for _, name := range config.Topics {
		g.topics[name] = true
		l.topic(name)
	}
	return &member{group: g, ctx: ctx, topics: slices.Clone(config.Topics), timeout: config.SessionTimeout}
}

// session is a member's time with one share of the partitions.
type session struct {
	log    *Log
	member *member
	ctx    context.Context // ends with the share
	lanes  *lanes.Lanes

	mu   sync.Mutex
	next map[lanes.Partition]int64 // the next offset to read
	done map[lanes.Partition]int64 // the next offset to commit
}

// begin sets the session to the committed offsets and returns how the consumer stands.
func (l *Log) begin(s *session) topics.ConsumeState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.ctx = s.member.session
	for _, p := range s.member.assigned {
		s.next[p] = s.member.group.committed[p]
	}
	s.done = maps.Clone(s.next)
	state := topics.ConsumeState{Partitions: len(s.next)}
	for _, name := range s.member.topics {
		if l.topics[name] == nil {
			state.Err = fmt.Errorf("topic %q: %w", name, topics.ErrUnknownTopic)
			break
		}
	}
	return state
}

// run reads until the share is taken away or a handler fails, which is its error.
func (s *session) run(config *topics.ConsumeConfig, handle topics.Handler) error {
	s.lanes = lanes.New(s.ctx, lanes.Config{
		Lanes: config.Lanes, BatchMax: config.BatchMax, InFlight: config.InFlight,
		Keep: config.Keep, Handle: handle,
	})
	submitted, ended := make(chan struct{}, 1), make(chan struct{})
	var committer sync.WaitGroup
	committer.Go(func() { s.commitEvery(config.CommitEvery, submitted, ended) })

	err := s.read(submitted)
	s.lanes.Close()
	close(ended)
	committer.Wait()
	s.commit()
	if err == nil {
		select {
		case err = <-s.lanes.Err():
		default:
		}
	}
	return err
}

// read hands the records of the share to the lanes.
func (s *session) read(submitted chan<- struct{}) error {
	for s.ctx.Err() == nil {
		records, changed := s.fetch()
		if len(records) > 0 {
			if s.lanes.Submit(s.ctx, records) != nil {
				return nil // the share is gone, or a handler failed and run will see it
			}
			select {
			case submitted <- struct{}{}:
			default:
			}
			continue
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
		case err := <-s.lanes.Err():
			return err
		}
	}
	return nil
}

// fetchMax is how many records of a partition are read before the next one's turn.
const fetchMax = 128

// fetch returns the next records of each partition of the share, or a channel that is
// closed when there may be some.
func (s *session) fetch() ([]choreo.Record, <-chan struct{}) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	var records []choreo.Record
	for _, p := range s.member.assigned {
		written := s.log.topics[p.Topic].partitions[p.Partition]
		from := min(s.next[p], int64(len(written)))
		to := min(from+fetchMax, int64(len(written)))
		records = append(records, written[from:to]...)
		s.next[p] = to
	}
	if len(records) > 0 {
		return records, nil
	}
	return nil, s.log.change()
}

// commitEvery commits at intervals while records are in flight; it rests when none is,
// so that an idle log keeps no timer.
func (s *session) commitEvery(interval time.Duration, submitted, ended <-chan struct{}) {
	for {
		select {
		case <-submitted:
		case <-ended:
			return
		}
		for s.behind() {
			timer := time.NewTimer(interval)
			select {
			case <-timer.C:
				s.commit()
			case <-ended:
				timer.Stop()
				return
			}
		}
	}
}

func (s *session) behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, next := range s.next {
		if s.done[p] < next {
			return true
		}
	}
	return false
}

// commit commits what is handled.
func (s *session) commit() {
	offsets := s.lanes.Offsets()
	if len(offsets) == 0 {
		return
	}
	s.mu.Lock()
	maps.Copy(s.done, offsets)
	s.mu.Unlock()
	s.log.commit(s.member, offsets)
}
