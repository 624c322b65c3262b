package tracker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// follower follows the events of one saga. It lives until anything fails; the next one begins with
// what the tracker topic holds, as after a crash: there is one way to begin.
//
// The position of a partition goes into the tracker topic only after all snapshots that hold
// what stands before it. After a crash the events between are read again, and each saga leaves
// out those that its snapshot holds already: those up to its offset.
type follower struct {
	t       *Tracker
	saga    string
	logger  *zap.Logger
	events  string // topics
	topic   string
	decoder topics.Decoder
	full    chan struct{} // takes a turn of the flusher's
	readers sync.Pool     // of *jsonReader

	mu       sync.Mutex
	courses  map[int]*course
	parts    map[int32]*part
	dirty    []*entry
	gone     []*entry
	unknown  map[*entry]struct{} // those whose definition is not known, and those to be folded anew
	rewind   bool
	caughtUp bool
	warned   bool
}

func (t *Tracker) newFollower(saga string) *follower {
	return &follower{
		t: t, saga: saga, events: t.names.Events(saga), topic: t.names.Tracker(saga),
		logger: t.config.Logger.With(zap.String("saga", saga)), full: make(chan struct{}),
		courses: map[int]*course{}, parts: map[int32]*part{}, unknown: map[*entry]struct{}{},
		readers: sync.Pool{New: func() any { return newJSONReader() }},
	}
}

// run follows until something fails, or ctx ends.
func (f *follower) run(ctx context.Context) error {
	if err := f.load(ctx); err != nil {
		return err
	}
	if err := f.fillModel(ctx); err != nil {
		return err
	}
	f.t.enter(f)
	defer f.t.leave(f)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.flusher(ctx) })
	group.Go(func() error { return f.reader(ctx) })
	return group.Wait()
}

// reader reads the events, from further back again where a definition has become known.
func (f *follower) reader(ctx context.Context) error {
	for ctx.Err() == nil {
		_, changed := f.t.defs.sagas()
		from := f.begins()
		reading, stop := context.WithCancel(ctx)
		go func() {
			for {
				select {
				case <-reading.Done():
					return
				case <-changed:
				}
				if _, changed = f.t.defs.sagas(); f.resolvable() {
					stop()
				}
			}
		}()
		err := f.t.log.Read(reading, topics.ReadConfig{
			Topic: f.events, From: from, Partitions: f.t.config.Shard.Has,
			OnCaughtUp: func() { f.mu.Lock(); f.caughtUp = true; f.mu.Unlock() },
			OnState: func(s topics.ConsumeState) {
				if s.Err != nil {
					f.logger.Warn("cannot read the events now", zap.Error(s.Err))
				}
			},
		}, f.handle)
		stop()
		if err != nil && !errors.Is(err, errRewind) {
			return fmt.Errorf("tracker: following %s: %w", f.events, err)
		}
	}
	return nil
}

var errRewind = errors.New("to be read again from further back")

func (f *follower) handle(ctx context.Context, batch []choreo.Record) error {
	f.foldBatch(batch)
	f.mu.Lock()
	dirty, rewind := len(f.dirty), f.rewind
	f.mu.Unlock()
	if dirty >= f.t.config.FlushMax {
		select {
		case f.full <- struct{}{}:
		case <-ctx.Done():
		}
	}
	if rewind {
		return errRewind
	}
	return nil
}

// resolvable reports whether there is a saga whose definition has become known.
func (f *follower) resolvable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := range f.unknown {
		if !e.is(isAnew) && f.course(int(e.unknown)) != nil {
			return true
		}
	}
	return false
}

// begins returns from where each partition is to be read: from the first event of a saga that has
// to be folded anew, where there is one. Others leave out what they hold.
func (f *follower) begins() map[int32]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rewind = false
	for e := range f.unknown {
		// One that was to be folded anew before, and was not, has lost its first event.
		if e.is(isAnew) || e.unknown != 0 && f.course(int(e.unknown)) == nil {
			continue
		}
		e.flags |= isAnew
		e.part.next = min(e.part.next, e.first)
	}
	from := make(map[int32]int64, len(f.parts))
	for number, p := range f.parts {
		from[number] = p.next
	}
	return from
}

// load reads the tracker topic.
func (f *follower) load(ctx context.Context) error {
	err := f.t.log.Read(ctx, topics.ReadConfig{Topic: f.topic, ToEnd: true, Partitions: f.t.config.Shard.Has},
		func(_ context.Context, batch []choreo.Record) error {
			f.loadBatch(batch)
			return nil
		})
	if err != nil {
		return fmt.Errorf("tracker: reading %s: %w", f.topic, err)
	}
	for _, p := range f.parts {
		for _, e := range p.entries {
			if e.unknown != 0 {
				f.unknown[e] = struct{}{}
			}
			if e.packed == nil {
				p.unstarted = append(p.unstarted, e)
			}
		}
		slices.SortFunc(p.unstarted, func(a, b *entry) int { return int(a.first - b.first) })
	}
	return nil
}

// loaded is what a record of the tracker topic holds.
type loaded struct {
	entry    *entry
	err      error
	position int64
}

// loadBatch takes in records of one partition.
func (f *follower) loadBatch(batch []choreo.Record) {
	p := f.part(batch[0].Partition)
	all := make([]loaded, len(batch))
	var group errgroup.Group
	size := len(batch)/runtime.GOMAXPROCS(0) + 1
	for from := 0; from < len(batch); from += size {
		group.Go(func() error {
			r := f.readers.Get().(*jsonReader)
			defer f.readers.Put(r)
			for i := from; i < min(from+size, len(batch)); i++ {
				all[i] = f.read(p, &batch[i], r)
			}
			return nil
		})
	}
	_ = group.Wait()
	for i := range batch {
		f.take(p, &batch[i], &all[i])
	}
}

func (f *follower) read(p *part, rec *choreo.Record, r *jsonReader) loaded {
	key := string(rec.Key)
	switch {
	case rec.Value == nil:
		return loaded{}
	case key == positionKey:
		var v positionValue
		err := json.Unmarshal(rec.Value, &v)
		return loaded{position: v.Position.Next, err: err}
	case strings.HasPrefix(key, beforeKey):
		var v beforeValue
		if err := json.Unmarshal(rec.Value, &v); err != nil || len(v.BeforeStart) == 0 {
			return loaded{err: errors.Join(err, errNotSnapshot)}
		}
		id := strings.TrimPrefix(key, beforeKey)
		events := v.events(f.saga, id, p.number)
		first, last := events[0].Offset, events[len(events)-1].Offset
		return loaded{entry: &entry{
			id: id, part: p, first: first, offset: last, flags: hasBefore,
			open: &folding{told: &told{first: first}, before: events},
		}}
	}
	s, err := r.read(rec.Value)
	if err != nil {
		return loaded{err: err}
	}
	if s.ID != key || s.Saga != f.saga || s.Fold == nil || s.Version < 1 || s.Status == "" {
		return loaded{err: errNotSnapshot}
	}
	return loaded{entry: f.entryOf(p, s)}
}

var errNotSnapshot = errors.New("no snapshot of this saga that a tracker wrote")

func (f *follower) entryOf(p *part, s *Snapshot) *entry {
	e := &entry{
		id: s.ID, packed: slices.Clip(f.t.packer.Pack(nil, s)), offset: s.Offset, first: s.Fold.First,
		ended: endedAt(timeAt(s.EndedAt)), part: p, flags: isMeasured,
	}
	if s.Unknown {
		e.unknown = int32(s.Version)
	}
	return e
}

// take takes one record of the tracker topic in, in the order of the topic.
func (f *follower) take(p *part, rec *choreo.Record, l *loaded) {
	key := string(rec.Key)
	id, isBefore := strings.CutPrefix(key, beforeKey)
	was := p.entries[id]
	switch {
	case l.err != nil:
		if !f.warned {
			f.warned = true
			f.logger.Warn("left out a record of the tracker topic, as all that follow: look at who writes to it",
				zap.Int32("partition", rec.Partition), zap.Int64("offset", rec.Offset), zap.Error(l.err))
		}
	case key == positionKey:
		p.next, p.written = max(l.position, 0), l.position
	case l.entry == nil && isBefore:
		if was != nil {
			was.flags &^= hasBefore
			if was.packed == nil {
				delete(p.entries, id)
			}
		}
	case l.entry == nil:
		delete(p.entries, id)
	case isBefore:
		if was == nil || was.packed == nil {
			p.entries[id] = l.entry
		}
	default:
		if was != nil {
			l.entry.flags |= was.flags & hasBefore
		}
		p.entries[id] = l.entry
		// Another tracker of this part may have written it, which has not come so far.
		if p.next > l.entry.offset+1 {
			p.next, p.written = l.entry.offset+1, -1
		}
	}
}

// fillModel gives the model what it does not hold of the tracker topic.
func (f *follower) fillModel(ctx context.Context) error {
	positions, err := f.t.model.Positions(ctx, f.events)
	if err != nil {
		return fmt.Errorf("tracker: asking the model for its positions: %w", err)
	}
	holds := map[int32]int64{}
	for _, p := range positions {
		holds[p.Partition] = p.Next
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range f.parts {
		group.Go(func() error { return f.fillPart(ctx, p, holds[p.number]) })
	}
	return group.Wait()
}

// fillPart gives the model what it does not hold of a part: what changed from an offset on.
func (f *follower) fillPart(ctx context.Context, p *part, from int64) error {
	var snapshots []*Snapshot
	put := func(at ...Position) error {
		if err := f.t.model.Put(ctx, snapshots, at); err != nil {
			return fmt.Errorf("tracker: filling the model: %w", err)
		}
		snapshots = snapshots[:0:0]
		return nil
	}
	for _, e := range p.entries {
		if e.packed == nil {
			continue
		}
		s, err := f.t.packer.Unpack(e.id, e.packed)
		if err != nil {
			return err
		}
		f.t.figures.restored(s)
		if e.offset < from {
			continue
		}
		if snapshots = append(snapshots, s); len(snapshots) == 500 {
			if err := put(); err != nil {
				return err
			}
		}
	}
	if p.next > 0 { // once all is put
		return put(Position{Topic: f.events, Partition: p.number, Next: p.next})
	}
	return put()
}

// flusher writes what has changed, at its times.
func (f *follower) flusher(ctx context.Context) error {
	for {
		every := f.t.config.FlushEvery
		if f.behind() {
			every = f.t.config.FlushBehind
		}
		pause := time.NewTimer(every)
		wait := func() bool {
			tick := time.NewTicker(f.t.config.FlushEvery)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return false
				case <-f.full:
					return true
				case <-pause.C:
					return true
				case <-tick.C:
					if every != f.t.config.FlushEvery && !f.behind() {
						return true // it has caught up
					}
				}
			}
		}
		going := wait()
		pause.Stop()
		if !going {
			return nil
		}
		if err := f.flush(ctx); err != nil {
			return err
		}
	}
}

// manyBehind is from how many events on the changes of a saga are gathered for longer.
const manyBehind = 20_000

func (f *follower) behind() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.caughtUp || f.t.ends.behind(f) > manyBehind
}

// flush writes all that has changed: to the model, to the tracker topic, to those who watch.
func (f *follower) flush(ctx context.Context) error {
	w := f.gather()
	if len(w.records) == 0 && len(w.ends) == 0 {
		return nil
	}
	if err := f.t.retry(ctx, "write to the model", func() error { return f.t.model.Put(ctx, w.snapshots, w.positions) }); err != nil {
		return nil // ctx has ended
	}
	f.t.watchers.tell(w.snapshots)
	for i := range w.snapshots {
		w.records[i].Value = AppendJSON(make([]byte, 0, 512+192*len(w.snapshots[i].Steps)), w.snapshots[i])
	}
	if f.publish(ctx, w.records) {
		f.publish(ctx, w.ends)
	}
	return nil
}

// write is what goes out at once.
type write struct {
	snapshots []*Snapshot
	positions []Position
	records   []choreo.Record // the first are those of the snapshots
	ends      []choreo.Record // are written once those are there
}

func (f *follower) gather() *write {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &write{}
	record := func(p *part, key string, value []byte) choreo.Record {
		return choreo.Record{Topic: f.topic, Partition: p.number, Key: []byte(key), Value: value}
	}
	var rest []choreo.Record
	for _, e := range f.dirty {
		e.flags &^= isDirty
		if e.is(isGone) {
			continue
		}
		s := e.snapshot()
		if s == nil {
			value, err := beforeOf(e.open.before)
			if err == nil {
				e.flags |= hasBefore
				rest = append(rest, record(e.part, beforeKey+e.id, value))
			}
			continue
		}
		e.packed = slices.Clip(f.t.packer.Pack(e.packed[:0:0], s))
		e.open = nil
		w.snapshots = append(w.snapshots, s)
		w.records = append(w.records, record(e.part, e.id, nil))
		if e.is(hasBefore) {
			e.flags &^= hasBefore
			w.ends = append(w.ends, record(e.part, beforeKey+e.id, nil))
		}
	}
	for _, e := range f.gone {
		if e.part.entries[e.id] != nil {
			continue // it has begun again
		}
		rest = append(rest, record(e.part, e.id, nil))
		if e.is(hasBefore) {
			rest = append(rest, record(e.part, beforeKey+e.id, nil))
		}
	}
	f.dirty, f.gone = f.dirty[:0], nil
	w.records = append(w.records, rest...)
	for _, number := range slices.Sorted(maps.Keys(f.parts)) {
		p := f.parts[number]
		if p.next == p.written {
			continue
		}
		p.written = p.next
		var v positionValue
		v.Position.Partition, v.Position.Next = number, p.next
		value, _ := json.Marshal(v) // numbers alone
		w.ends = append(w.ends, record(p, positionKey, value))
		w.positions = append(w.positions, Position{Topic: f.events, Partition: number, Next: p.next})
	}
	return w
}

// publish writes records until all are written, and reports false where ctx ended before.
func (f *follower) publish(ctx context.Context, records []choreo.Record) bool {
	if len(records) == 0 {
		return true
	}
	err := f.t.retry(ctx, "write to the tracker topic "+f.topic, func() error {
		errs := f.t.log.Publish(ctx, records)
		var left []choreo.Record
		var first error
		for i, err := range errs {
			switch {
			case err == nil:
			case errors.Is(err, topics.ErrRecordTooLarge):
				f.logger.Error("a snapshot is not in the tracker topic: raise its max.message.bytes",
					zap.String("id", string(records[i].Key)), zap.Error(err))
			default:
				left, first = append(left, records[i]), err
			}
		}
		records = left
		return first
	})
	return err == nil
}

// endings returns when the sagas that have ended did.
func (f *follower) endings(list []int64) []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		for _, e := range p.entries {
			if e.ended != 0 {
				list = append(list, e.ended)
			}
		}
	}
	return list
}

// sweep forgets sagas that ended before, and those whose start never came.
func (f *follower) sweep(before int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		for _, e := range p.entries {
			if e.ended != 0 && e.ended < before {
				f.forget(e)
			}
		}
		p.unstarted = slices.DeleteFunc(p.unstarted, func(e *entry) bool {
			over := e.open != nil && len(e.open.before) > 0 && e.open.before[len(e.open.before)-1].Time.Unix() < before
			if over {
				f.forget(e)
			}
			return over
		})
	}
}
