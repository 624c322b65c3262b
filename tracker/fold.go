package tracker

import (
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

const (
	// maxBefore bounds the events that are kept of a saga before its start: there are an
	// abort's request and answer, and what services say of parking.
	maxBefore = 64
	// maxUnstarted bounds the sagas of a partition of which there is no start yet.
	maxUnstarted = 10_000
)

// part is the fold of one partition of a saga's events. A saga whose events stand in two, as a
// request that was sent elsewhere does, is told by that in which its start stands.
type part struct {
	number  int32
	entries map[string]*entry
	next    int64 // the offset to read next
	written int64 // the position that the tracker topic holds
	last    time.Time
	// unstarted are the sagas without a start, in the order in which they were first named.
	unstarted []*entry
}

// entry is what is kept of one saga: packed, or open since its last write.
type entry struct {
	id      string
	packed  []byte
	open    *folding
	offset  int64 // of the last event that changed it
	first   int64
	ended   int64 // seconds since 1970; 0: it has not
	unknown int32 // the version whose definition is not known; 0: it is
	part    *part
	flags   entryFlags
}

type entryFlags uint8

const (
	isDirty    entryFlags = 1 << iota
	isGone                // forgotten
	isAnew                // to be folded anew from its first event
	hasBefore             // there is a record of what stands before its start
	isMeasured            // it was counted among those that started
)

func (e *entry) is(f entryFlags) bool { return e.flags&f != 0 }

// folding is a saga while it changes.
type folding struct {
	in     *choreo.Instance // nil: see unknown and before
	course *course
	told   *told
	// unknown is the saga while its definition is not known.
	unknown *Snapshot
	// before are events that count and stand before the start, while there is no start.
	before []*choreo.Event
}

func (f *follower) part(number int32) *part {
	p := f.parts[number]
	if p == nil {
		p = &part{number: number, entries: map[string]*entry{}, written: -1}
		f.parts[number] = p
	}
	return p
}

// foldBatch folds records of one partition in.
func (f *follower) foldBatch(batch []choreo.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.part(batch[0].Partition)
	for i := range batch {
		rec := &batch[i]
		if rec.Offset < p.next {
			continue // a duplicate of the reader's
		}
		p.next, p.last = rec.Offset+1, rec.Time
		ev, err := f.decoder.Decode(rec)
		switch {
		case err == nil && ev.Saga == f.saga:
			f.fold(p, ev)
		case err != nil && !errors.Is(err, topics.ErrUnknownType) && !f.warned:
			f.warned = true
			f.logger.Warn("left out a record that is no event, as all that follow: look at who writes to the topic",
				zap.Int32("partition", rec.Partition), zap.Int64("offset", rec.Offset), zap.Error(err))
		}
	}
}

// fold folds one event in.
func (f *follower) fold(p *part, ev *choreo.Event) {
	e := p.entries[ev.SagaID]
	switch {
	case e == nil:
		if e = f.begin(p, ev); e == nil {
			return
		}
	case e.is(isAnew) && ev.Offset == e.first:
		e.flags &^= isAnew
		e.offset, e.packed, e.unknown, e.ended = ev.Offset-1, nil, 0, 0
		e.open = &folding{told: &told{first: e.first}}
		delete(f.unknown, e)
	case ev.Offset <= e.offset:
		return
	}
	if e.open == nil && !f.unpack(e) {
		return
	}
	if f.apply(p, e, ev) {
		e.offset = ev.Offset
		f.touch(e)
	}
}

// begin returns a new entry where the event can be the first that counts. Others are those of a
// saga that is forgotten.
func (f *follower) begin(p *part, ev *choreo.Event) *entry {
	switch ev.Type {
	case choreo.Started:
	case choreo.AbortRequested, choreo.Aborted, choreo.SagaParked:
		f.bound(p)
	default:
		return nil
	}
	e := &entry{id: ev.SagaID, offset: ev.Offset - 1, first: ev.Offset, part: p, open: &folding{told: &told{first: ev.Offset}}}
	p.entries[e.id] = e
	if ev.Type != choreo.Started {
		p.unstarted = append(p.unstarted, e)
	}
	return e
}

// bound forgets the oldest of too many sagas that have no start.
func (f *follower) bound(p *part) {
	for len(p.unstarted) >= maxUnstarted {
		e := p.unstarted[0]
		p.unstarted = p.unstarted[1:]
		if e.open != nil && e.open.in == nil && e.open.unknown == nil {
			f.forget(e)
		}
	}
}

// apply folds an event into a saga that is open, and reports whether that changed it.
func (f *follower) apply(p *part, e *entry, ev *choreo.Event) bool {
	o := e.open
	switch {
	case o.in != nil:
		return f.applyKnown(e, o, ev)
	case o.unknown != nil:
		foldUnknown(o.unknown, ev)
		o.unknown.Offset = ev.Offset
		o.unknown.Events++
		return true
	case ev.Type == choreo.Started:
		f.start(p, e, ev)
		return true
	}
	return o.note(ev)
}

// note keeps an event that stands before the start, if it counts there.
func (o *folding) note(ev *choreo.Event) bool {
	switch ev.Type {
	case choreo.AbortRequested, choreo.AbortRejected, choreo.Aborted, choreo.SagaParked, choreo.SagaReleased:
	default:
		return false
	}
	if len(o.before) == maxBefore {
		return false
	}
	kept := *ev
	kept.Payload, kept.Carried, kept.TraceParent, kept.TraceState = nil, nil, "", ""
	o.before = append(o.before, &kept)
	return true
}

// start begins the fold of a saga: its definition is that of its start.
func (f *follower) start(p *part, e *entry, ev *choreo.Event) {
	o := e.open
	o.told.tags, o.told.traceID = ev.Tags, traceOf(ev.TraceParent)
	if !e.is(isMeasured) {
		e.flags |= isMeasured
		f.t.figures.started(f.saga, ev.Time)
	}
	p.unstarted = slices.DeleteFunc(p.unstarted, func(u *entry) bool { return u == e })
	before := o.before
	o.before = nil
	c := f.course(ev.Version)
	if c == nil {
		o.unknown = &Snapshot{Tags: o.told.tags, TraceID: o.told.traceID, Fold: &Fold{First: e.first}, Steps: []Step{}}
		for _, early := range before {
			foldUnknown(o.unknown, early)
		}
		foldUnknown(o.unknown, ev)
		o.unknown.Offset, o.unknown.Events = ev.Offset, int64(len(before)+1)
		e.unknown = int32(ev.Version)
		f.unknown[e] = struct{}{}
		return
	}
	o.course, o.in = c, choreo.NewInstance(c.def)
	for _, early := range before {
		f.applyKnown(e, o, early)
	}
	f.applyKnown(e, o, ev)
}

func (f *follower) applyKnown(e *entry, o *folding, ev *choreo.Event) bool {
	was := o.in.Status
	if !o.in.Apply(ev) {
		return false
	}
	o.told.offset = ev.Offset
	o.told.events++
	switch ev.Type {
	case choreo.Aborted:
		o.told.by, o.told.note = ev.By, ev.Note
	case choreo.StepCompleted, choreo.StepFailed:
		if ev.Type == choreo.StepFailed && o.in.CauseStep == ev.Step {
			o.told.by, o.told.note = "", ""
		}
		i := slices.IndexFunc(o.in.Steps, func(s choreo.StepInstance) bool { return s.Name == ev.Step })
		if s := &o.in.Steps[i]; !s.ReadyAt.IsZero() && !ev.Bypassed {
			f.t.figures.took(stepKey{f.saga, o.in.Version, s.Name}, s.Owner, s.EndedAt.Sub(s.ReadyAt))
		}
	default:
	}
	if o.in.Status.Ended() && !was.Ended() {
		f.t.figures.ended(f.saga, o.in.EndedAt, o.in.Status)
	}
	e.ended = endedAt(o.in.EndedAt)
	return true
}

// endedAt is never 0 for a time.
func endedAt(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if s := t.Unix(); s != 0 {
		return s
	}
	return 1
}

// traceOf returns the trace id of a W3C traceparent.
func traceOf(parent string) string {
	if len(parent) < 55 || parent[2] != '-' || parent[35] != '-' {
		return ""
	}
	for _, c := range []byte(parent[3:35]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	return parent[3:35]
}

// touch notes that a saga is to be written.
func (f *follower) touch(e *entry) {
	if !e.is(isDirty) {
		e.flags |= isDirty
		f.dirty = append(f.dirty, e)
	}
}

// unpack opens a saga. It reports false for one that cannot go on: it waits for being folded anew.
func (f *follower) unpack(e *entry) bool {
	s, err := f.t.packer.Unpack(e.id, e.packed)
	if err != nil {
		f.logger.Error("dropped a saga that cannot be unpacked", zap.String("id", e.id), zap.Error(err))
		f.forget(e)
		return false
	}
	if s.Unknown {
		e.open = &folding{unknown: s, told: toldOf(s)}
		return true
	}
	c := f.course(s.Version)
	if c == nil {
		return false
	}
	in, told, err := c.restore(s)
	if err != nil { // another definition with the same version
		if !e.is(isAnew) {
			f.unknown[e] = struct{}{}
			f.rewind = true
		}
		return false
	}
	e.open = &folding{in: in, told: told, course: c}
	return true
}

// forget drops a saga, here and from the tracker topic.
func (f *follower) forget(e *entry) {
	e.flags |= isGone
	delete(e.part.entries, e.id)
	delete(f.unknown, e)
	f.gone = append(f.gone, e)
}

// course returns what the definition of a version tells, nil while it is not known.
func (f *follower) course(version int) *course {
	c := f.courses[version]
	if c == nil {
		d := f.t.defs.get(f.saga, version)
		if d == nil {
			return nil
		}
		c = newCourse(d)
		f.courses[version] = c
	}
	return c
}

// snapshot returns an open saga that has started as a snapshot, nil where it has not.
func (e *entry) snapshot() *Snapshot {
	switch o := e.open; {
	case o.in != nil:
		return o.course.snapshot(o.in, o.told)
	case o.unknown != nil:
		s := *o.unknown
		s.Steps, s.Parked = slices.Clone(s.Steps), slices.Clone(s.Parked)
		fold := *s.Fold
		s.Fold = &fold
		return &s
	}
	return nil
}
