package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// auditor checks the guarantees from what the handlers did, from what was committed, and from
// the raw records of the log. It has its own reading of all of these, and takes nothing from
// package choreo but the type of a record.
type auditor struct {
	w       *world
	sagas   map[string]*story
	ids     map[string]string   // event id → its saga, of all that was committed
	seen    map[string]bool     // event ids that are in the log
	left    map[outlet][]string // committed and not yet in the log, in commit order
	reading map[string]int      // topic → records that were read
	garbage int
	pruned  int
	late    bool // rows may have been pruned
}

// outlet is a service's events of one saga.
type outlet struct{ service, saga string }

// story is what is known of one saga.
type story struct {
	id        string
	shape     *shape // nil until it is known
	acts      []act  // by step: what was done
	marks     []mark // by step: what the log says
	turned    string // the type of the first event that turned it back
	kept      bool   // that undid nothing
	asked     int    // deadlines that asked for an abort
	home      int32  // the partition of its events
	initiator string
	begun     time.Duration
	decided   time.Duration // when it turned back, or nothing could turn it back any more; 0: not yet
	aborts    []request
	answers   map[string]int  // causation → how many answers
	parked    map[string]bool // services that cannot go on with it
}

// request asks for an abort.
type request struct {
	id    string
	early bool // it stands before the saga was closed, or that cannot be told
}

// act is what committed of one step: effects, and events that were put into an outbox.
type act struct {
	executed, begun, undone int
	byHand                  bool // an operator has said so
	undoFailed              bool
}

// mark is what the log has of one step.
type mark struct {
	done, bypassed, failed, skipped, undone, undoFailed, stuck bool
}

func newAuditor(w *world) *auditor {
	return &auditor{
		w: w, sagas: make(map[string]*story), ids: make(map[string]string), seen: make(map[string]bool),
		left: make(map[outlet][]string), reading: make(map[string]int),
	}
}

// record is an event as it is on the wire.
type record struct {
	typ, id, saga, sagaID, step, source string
	version, attempt                    int
	bypassed, keep, by, force           bool
	code, causation                     string
	partition                           int32
}

func parse(r *choreo.Record) record {
	e := record{partition: r.Partition}
	for _, h := range r.Headers {
		v := string(h.Value)
		switch h.Key {
		case "ce_type":
			e.typ = v
		case "ce_id":
			e.id = v
		case "ce_saga":
			e.saga = v
		case "ce_sagaversion":
			e.version, _ = strconv.Atoi(v) // 0 names no version
		case "ce_subject":
			e.sagaID = v
		case "ce_step":
			e.step = v
		case "ce_source":
			e.source = v
		case "ce_bypassed":
			e.bypassed = v == "true"
		case "ce_undo":
			e.keep = v == "none"
		case "ce_by":
			e.by = v != ""
		case "ce_attempt":
			e.attempt, _ = strconv.Atoi(v) // 0: no handler ran
		case "ce_errorcode":
			e.code = v
		case "ce_force":
			e.force = v == "true"
		case "ce_causationid":
			e.causation = v
		}
	}
	return e
}

const (
	evStarted      = "choreo.saga.started"
	evParked       = "choreo.saga.parked"
	evReleased     = "choreo.saga.released"
	evRequested    = "choreo.saga.abort-requested"
	evAborted      = "choreo.saga.aborted"
	evAbortNo      = "choreo.saga.abort-rejected"
	evCommandNo    = "choreo.step.command-rejected"
	evRelease      = "choreo.saga.release-requested"
	evReleaseNo    = "choreo.saga.release-rejected"
	evRetry        = "choreo.step.retry-requested"
	evResolve      = "choreo.step.resolve-requested"
	evCompleted    = "choreo.step.completed"
	evFailed       = "choreo.step.failed"
	evSkipped      = "choreo.step.skipped"
	evStuck        = "choreo.step.stuck"
	evCompensated  = "choreo.step.compensated"
	evUndoFailed   = "choreo.step.compensation-failed"
	deadlineReason = "deadline"
)

func (a *auditor) story(id string) *story {
	if a.sagas[id] == nil {
		a.sagas[id] = &story{id: id}
	}
	return a.sagas[id]
}

// of makes sure that the story knows its shape. Until the saga starts that is a guess: who asks
// for something may name another version.
func (a *auditor) of(e *record) *story {
	s := a.story(e.sagaID)
	if s.shape != nil && (s.begun > 0 || e.typ != evStarted || s.shape.version == e.version) {
		return s
	}
	for _, sh := range a.w.shapes {
		if sh.name == e.saga && sh.version == e.version {
			s.shape = sh
			s.acts, s.marks = make([]act, len(sh.steps)), make([]mark, len(sh.steps))
		}
	}
	if s.answers == nil {
		s.home, s.answers, s.parked = homeUnknown, make(map[string]int), make(map[string]bool)
	}
	return s
}

// index returns the place of a step, or -1.
func (s *shape) index(name string) int {
	return slices.IndexFunc(s.steps, func(st step) bool { return st.name == name })
}

// commit is told what a transaction did and what it put into the outbox.
func (a *auditor) commit(p *process, t *tx) {
	var events []record
	for i := range t.entries {
		e := parse(&t.entries[i].Record)
		events = append(events, e)
		a.ids[e.id] = e.sagaID
		a.w.detail(p.name, "emits", "%s %s %s (%s)", e.sagaID, e.typ, e.step, e.id[30:])
		at := outlet{p.svc.name, e.sagaID}
		a.left[at] = append(a.left[at], e.id)
		s := a.of(&e)
		if s.shape == nil {
			a.w.fail("G1 atomic", e.sagaID, "an event of no known saga was committed")
			return
		}
		a.committedEvent(s, &e, t)
	}
	for i := range t.effects {
		a.committedEffect(&t.effects[i], events)
	}
}

// committedEvent checks an event against the effects of its transaction.
func (a *auditor) committedEvent(s *story, e *record, t *tx) {
	if e.typ == evRequested && e.code == deadlineReason {
		if s.asked++; s.asked > 1 {
			a.w.fail("G2 once", s.id, "its deadline fired twice")
		}
	}
	i := s.shape.index(e.step)
	if i < 0 {
		return
	}
	st, does := &s.shape.steps[i], &s.acts[i]
	has := func(kind effectKind) bool { return slices.Contains(t.effects, effect{s.id, st.name, kind}) }
	switch {
	case e.typ == evCompleted && !e.bypassed && !e.by && !has(executed):
		a.w.fail("G1 atomic", s.id, st.name+" is told to have completed, and its effect did not commit with that")
	case e.typ == evCompensated && !e.by && does.executed > 0 && st.undoable() && !has(undone):
		a.w.fail("G1 atomic", s.id, st.name+" is told to be compensated, and its effect was not undone with that")
	case e.by && (e.typ == evCompleted || e.typ == evCompensated):
		does.byHand = true
	case e.typ == evUndoFailed:
		does.undoFailed = true
	}
}

// committedEffect checks an effect against the events of its transaction, and against all
// effects before.
func (a *auditor) committedEffect(e *effect, events []record) {
	s := a.story(e.saga)
	if s.shape == nil {
		a.w.fail("G1 atomic", e.saga, "an effect of a saga that was never started")
		return
	}
	i := s.shape.index(e.step)
	told := func(typ string) bool {
		return slices.ContainsFunc(events, func(r record) bool { return r.typ == typ && r.step == e.step && r.sagaID == e.saga })
	}
	switch does := &s.acts[i]; e.kind {
	case executed:
		does.executed++
		if !told(evCompleted) {
			a.w.fail("G1 atomic", s.id, e.step+" has an effect, and no event that says so")
		}
		if does.executed > 1 {
			a.w.fail("G2 once", s.id, e.step+" was executed twice")
		}
		a.executedInOrder(s, i)
	case begun:
		// Past the pivot a no is asked again.
		if does.begun++; does.begun > 1 && !s.shape.steps[i].past {
			a.w.fail("G2 once", s.id, e.step+" was begun twice")
		}
	case undone:
		does.undone++
		if !told(evCompensated) {
			a.w.fail("G1 atomic", s.id, e.step+" was undone, and no event says so")
		}
		if does.undone > 1 {
			a.w.fail("G2 once", s.id, e.step+" was undone twice")
		}
		if does.executed == 0 {
			a.w.fail("G2 once", s.id, e.step+" was undone, and never executed")
		}
		a.undoneInOrder(s, i)
	}
}

// executedInOrder: nothing is executed on top of what was undone, nor before its time.
func (a *auditor) executedInOrder(s *story, i int) {
	st := &s.shape.steps[i]
	for _, d := range st.after {
		if does := &s.acts[d]; does.executed == 0 && !does.byHand && !s.marks[d].bypassed {
			a.w.fail("G4 reverse", s.id, fmt.Sprintf("%s was executed before %s", st.name, s.shape.steps[d].name))
		}
	}
	for k := range s.shape.steps {
		if s.acts[k].undone > 0 && slices.Contains(s.mustSettle(k), i) {
			a.w.fail("G4 reverse", s.id, fmt.Sprintf("%s was executed after %s was undone", st.name, s.shape.steps[k].name))
		}
		if st.pivot && s.acts[k].undone > 0 {
			a.w.fail("G5 pivot", s.id, fmt.Sprintf("the pivot %s was executed after %s was undone", st.name, s.shape.steps[k].name))
		}
	}
}

// undoneInOrder: what holds on to a step is undone before it, and past the pivot nothing is.
func (a *auditor) undoneInOrder(s *story, i int) {
	st := &s.shape.steps[i]
	for _, k := range s.mustSettle(i) {
		does := &s.acts[k]
		excused := does.byHand || s.shape.strategy == bestEffort && does.undoFailed || !s.shape.steps[k].undoable()
		if does.executed > 0 && does.undone == 0 && !excused {
			a.w.fail("G4 reverse", s.id, fmt.Sprintf("%s was undone before %s", st.name, s.shape.steps[k].name))
		}
	}
	for k := range s.shape.steps {
		if s.shape.steps[k].pivot && s.acts[k].executed > 0 {
			a.w.fail("G5 pivot", s.id, fmt.Sprintf("%s was undone after the pivot %s", st.name, s.shape.steps[k].name))
		}
	}
}

const (
	parallel   = "parallel"
	bestEffort = "best-effort"
	custom     = "custom"
)

// mustSettle returns the steps that must be settled before step i is undone.
func (s *story) mustSettle(i int) []int {
	switch s.shape.strategy {
	case parallel:
		return nil
	case custom:
		return s.shape.steps[i].undoAfter
	}
	var list []int
	for k := range s.shape.steps {
		if slices.Contains(s.shape.steps[k].after, i) {
			list = append(list, k)
		}
	}
	return list
}

// read reads on in a topic.
func (a *auditor) read(topic string) {
	if !slices.Contains(a.w.topicSet, topic) {
		return
	}
	records := a.w.log.RecordsSince(topic, a.reading[topic])
	a.reading[topic] += len(records)
	for i := range records {
		e := parse(&records[i])
		switch {
		case e.id == "": // garbage
		case a.ids[e.id] == "":
			a.w.fail("G1 atomic", e.sagaID, "the log has an event that nobody has committed: "+e.typ+" "+e.step)
		case !a.seen[e.id]:
			a.seen[e.id] = true
			a.w.detail("log", "has", "%s %s %s (%s) in partition %d", e.sagaID, e.typ, e.step, e.id[30:], e.partition)
			a.published(&e)
			a.atHome(&e)
		default:
			a.atHome(&e)
		}
	}
}

const homeUnknown = -1

// atHome: every event of a saga is in its home partition, but for what asks for something, and
// may not know it.
func (a *auditor) atHome(e *record) {
	switch s := a.story(e.sagaID); {
	case e.typ == evRequested, e.typ == evRetry, e.typ == evResolve, e.typ == evCommandNo, s.shape == nil:
	case e.typ == evParked, e.typ == evReleased, e.typ == evRelease, e.typ == evReleaseNo: // who parks it may know nothing else of it
	case s.home == homeUnknown:
		s.home = e.partition
	case e.partition != s.home:
		a.w.fail("G9 order", s.id, fmt.Sprintf("%s %s is in partition %d, its home is %d", e.typ, e.step, e.partition, s.home))
	}
}

// published is told of the first appearance of an event in the log.
func (a *auditor) published(e *record) {
	at := outlet{e.source, e.sagaID}
	if left := a.left[at]; len(left) == 0 || left[0] != e.id {
		a.w.fail("G9 order", e.sagaID, fmt.Sprintf("%s %s of %s came before what was committed earlier", e.typ, e.step, e.source))
		return
	}
	a.left[at] = a.left[at][1:]
	s := a.of(e)
	a.publishedSaga(s, e)
	i := s.shape.index(e.step)
	if i < 0 {
		return
	}
	a.publishedStep(s, i, e)
	if s.decided == 0 && s.closed() {
		s.decided = a.w.now()
	}
}

// publishedSaga notes what an event says of the whole saga.
func (a *auditor) publishedSaga(s *story, e *record) {
	switch e.typ {
	case evStarted:
		s.begun, s.initiator = a.w.now(), e.source
	case evRequested:
		s.aborts = append(s.aborts, request{e.id, !s.closed() || e.partition != s.home})
		if e.causation != "" { // it is passed on
			s.answers[e.causation]++
		}
	case evParked:
		s.parked[e.source] = true
	case evReleased:
		delete(s.parked, e.source)
	case evAborted:
		early := slices.ContainsFunc(s.aborts, func(r request) bool { return r.early })
		if s.closed() && !early && !e.force {
			a.w.fail("G6 agreement", s.id, "it was closed, and an abort that was asked for later took effect")
		}
	}
	if e.typ == evAborted && e.force {
		s.kept = false
	}
	if (e.typ == evFailed || e.typ == evAborted) && s.turned == "" {
		s.turned, s.kept = e.typ, e.keep
		if s.decided == 0 {
			s.decided = a.w.now()
		}
	}
	if no := e.typ == evCommandNo || e.typ == evReleaseNo; no || e.typ == evAborted || e.typ == evAbortNo {
		if s.answers[e.causation]++; no && s.answers[e.causation] > 1 && !a.late {
			a.w.fail("G2 once", s.id, "a command was rejected twice")
		}
	}
}

// closed reports whether nothing can turn the saga back any more, as far as the log shows.
func (s *story) closed() bool {
	if i := slices.IndexFunc(s.shape.steps, func(st step) bool { return st.pivot }); i >= 0 {
		return s.marks[i].done
	}
	return !slices.ContainsFunc(s.marks, func(m mark) bool { return !m.done })
}

// publishedStep notes what an event says of a step.
func (a *auditor) publishedStep(s *story, i int, e *record) {
	m := &s.marks[i]
	switch e.typ {
	case evCompleted:
		// What fails for ever may have been mended, and a pending step is begun again after a no.
		f := a.w.fateOf(s.id, &s.shape.steps[i])
		if most := f.failures + 1; !e.by && !e.bypassed && f.pending == 0 && f.failures != endless && e.attempt > most {
			a.w.fail("outage", s.id, fmt.Sprintf("%s took %d attempts, of which its handler fails %d", e.step, e.attempt, f.failures))
		}
		m.done, m.bypassed, m.stuck = true, e.bypassed, false
	case evFailed:
		m.failed = true
		if f := a.w.fateOf(s.id, &s.shape.steps[i]); f.failures == 0 && f.pending == 0 {
			a.w.fail("outage", s.id, e.step+" failed, though its handler never does: "+e.code)
		}
	case evSkipped:
		m.skipped = true
	case evStuck:
		m.stuck = true
	case evCompensated:
		m.undone, m.undoFailed = true, false
	case evUndoFailed:
		m.undoFailed = true
	}
}

// over reports whether a step needs no answer any more.
func (a *auditor) over(id string, i int) bool {
	s := a.sagas[id]
	return s != nil && s.shape != nil && (s.marks[i].done || s.marks[i].failed || s.marks[i].skipped)
}

// stepOf names a step of a saga.
type stepOf struct {
	saga *story
	step int
}

// stuck returns the steps that wait for somebody.
func (a *auditor) stuck() []stepOf {
	var list []stepOf
	for _, id := range slices.Sorted(maps.Keys(a.sagas)) {
		s := a.sagas[id]
		for i := range s.marks {
			if s.marks[i].undoFailed || s.marks[i].stuck {
				list = append(list, stepOf{s, i})
			}
		}
	}
	return list
}
