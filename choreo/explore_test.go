package choreo

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// The explorer is an explicit-state model checker over the real functions React,
// Conclude, Resume and Instance.Apply. A state is one saga: the rows of its steps,
// the initiator's saga row, an outbox a service, the shared log (one partition, as
// all events of a saga are in one) and each service's read offset. From a state it
// takes every action that the world may take: a service reads its next event, a
// handler ends in each way it can, a relay publishes, a timer fires; and the faults,
// each within a bound. It goes breadth first, so that the first violation that it
// meets has the shortest path, which it prints.
//
// What prunes the search: rows, events and instances are interned by what the rules
// can see of them; reads that change nothing are taken at once (they commute with
// all else as long as the service has no timer due); and what of the log nobody can
// read again is forgotten. The real functions are pure, so that each is asked once
// for the same arguments.

const (
	maxSteps    = 6
	maxServices = 6
	maxLog      = 64
	maxOutbox   = 16
)

// bounds are how often each fault may still happen on a path.
type bounds struct {
	cancels   uint8 // AbortRequested is appended, at any moment
	forces    uint8 // the same with Force
	crashes   uint8 // a service's offset falls back to any earlier one
	forgets   uint8 // an outbox entry is published, not deleted, and so published again
	dups      uint8 // an earlier event of the log is appended once more
	retries   uint8 // Execute or Compensate fails in a way that is retried
	undoFails uint8 // Compensate is out of retries
	commands  uint8 // an operator commands a step, any one and at any moment
	defers    uint8 // a handler finds no place and is put off
	parks     uint8 // a service parks the saga: until it releases it, it reads nothing
}

func (b bounds) String() string {
	var some []string
	for _, of := range []struct {
		kind string
		n    uint8
	}{
		{"cancels", b.cancels}, {"forced aborts", b.forces}, {"crashes", b.crashes}, {"forgotten deletes", b.forgets}, {"duplicates", b.dups},
		{"retries", b.retries}, {"lost compensations", b.undoFails}, {"commands", b.commands}, {"deferrals", b.defers},
		{"parkings", b.parks},
	} {
		if of.n > 0 {
			some = append(some, fmt.Sprintf("%s %d", of.kind, of.n))
		}
	}
	return strings.Join(some, ", ")
}

// queue is a short list of events, comparable and free of pointers.
type queue[A [maxLog]uint8 | [maxOutbox]uint8] struct {
	n  uint8
	at A
}

type state struct {
	rows    [maxSteps + 1]uint16 // by step; after the last step the saga row
	off     [maxServices]uint8   // read offset, counted from base
	timers  uint8                // steps whose handler is due again
	started bool
	twice   uint8 // services whose outbox head was published already
	parked  uint8 // services that have parked the saga
	left    bounds
	fold    uint16 // the instance of the whole log
	plain   uint16 // the instance of the log without duplicates
	ledger  ledger
	base    uint8     // how much of the log was forgotten
	seen    [4]uint64 // events that the log holds or held, while one may come again
	log     queue[[maxLog]uint8]
	out     [maxServices]queue[[maxOutbox]uint8]
}

// kind of an action.
type kind uint8

const (
	actStart kind = iota
	actRead
	actTimer
	actPublish
	actForget
	actCrash
	actAgain
	actCancel
	actForce
	actCommand
	actAdmit
	actPark
	actRelease
)

// action is one edge: who acts, and which of the ways in which it can go.
type action struct {
	kind      kind
	who, what uint8
}

type node struct {
	parent int32
	by     action
}

// rules are the functions under test: the real ones or planted faults.
type rules struct {
	react    func(d *Definition, step string, row Row, ev *Event) Decision
	conclude func(d *Definition, step string, row Row, run Run, res Result) Decision
	resume   func(d *Definition, step string, row Row) Decision
	putOff   func(d *Definition, step string, row Row, run Run) Decision
	admit    func(d *Definition, row Row) Decision
	apply    func(in *Instance, ev *Event) bool
}

func realRules() rules {
	return rules{react: React, conclude: Conclude, resume: Resume, putOff: Defer, admit: Admit, apply: (*Instance).Apply}
}

type explorer struct {
	def       *Definition
	initiator int
	services  []string
	endless   uint8    // a log of that length means that the saga does not come to rest
	keepLog   bool     // forget nothing of the log
	owned     [][]int  // steps by service
	commands  []uint8  // events by which an operator commands a step
	async     []string // steps whose Execute may leave the end to somebody else
	queued    bool     // the saga is queued first, and started later
	oneByOne  bool     // a unit of work runs one handler, and the event is gone through again for more
	rules     rules
	audit     *auditor

	rowIDs    map[string]uint16
	rows      []Row
	eventIDs  map[string]uint8
	events    []Event
	foldIDs   map[string]uint16
	folds     []*Instance
	outcomes  [][][]outcome // by step and event, then by row
	foldMemo  map[uint32]uint16
	seeds     [2]maphash.Seed
	nodes     []node
	visited   map[[2]uint64]struct{}
	rests     int
	evStarted uint8
	evCancel  uint8
	evForce   uint8
}

// resumed stands for a timer in the place of an event.
const resumed = 255

// storyTime is when all happens: the rules know no clock.
var storyTime = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func newExplorer(d *Definition, initiator string, r rules) *explorer {
	x := &explorer{
		def: d, rules: r, audit: newAuditor(d), endless: 32,
		rowIDs: map[string]uint16{}, eventIDs: map[string]uint8{}, foldIDs: map[string]uint16{},
		outcomes: make([][][]outcome, (len(d.Steps())+1)<<8), foldMemo: map[uint32]uint16{},
		seeds:   [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		visited: map[[2]uint64]struct{}{},
	}
	x.services = slices.Compact(slices.Sorted(slices.Values(append(d.Services(), initiator))))
	x.initiator, x.audit.services = slices.Index(x.services, initiator), x.services
	for _, s := range x.services {
		var owned []int
		for i := range d.Steps() {
			if d.Steps()[i].Owner == s {
				owned = append(owned, i)
			}
		}
		x.owned = append(x.owned, owned)
	}
	x.internRow(Row{})
	x.internFold(NewInstance(d))
	x.evStarted = x.internEvent(Event{Type: Started, Source: initiator})
	for i := range d.Steps() {
		step := d.Steps()[i].Name
		for _, ev := range []Event{
			{Type: RetryRequested, ID: "retry-" + step},
			{Type: ResolveRequested, Resolve: ResolveUndone, ID: "undone-" + step},
			{Type: ResolveRequested, Resolve: ResolveDone, ID: "done-" + step},
		} {
			ev.Step, ev.Source, ev.By = step, "operator", "ada"
			x.commands = append(x.commands, x.internEvent(ev))
		}
	}
	x.evCancel = x.internEvent(Event{
		Type: AbortRequested, Source: "operator",
		Failure: &Failure{Class: ClassCancelled, Code: "cancelled"},
	})
	x.evForce = x.internEvent(Event{
		Type: AbortRequested, Source: "operator", Force: true, By: "ada", Note: "a mistake",
		Failure: &Failure{Class: ClassCancelled, Code: "forced"},
	})
	return x
}

func (x *explorer) isCommand(ev uint8) bool { return slices.Contains(x.commands, ev) }

func (x *explorer) internRow(r Row) uint16 {
	key := rowText(&r)
	id, ok := x.rowIDs[key]
	if !ok {
		id = uint16(len(x.rows))
		x.rowIDs[key], x.rows = id, append(x.rows, r)
	}
	return id
}

func (x *explorer) internEvent(ev Event) uint8 {
	code := ""
	if ev.Failure != nil {
		code = ev.Failure.Code
	}
	key := fmt.Sprint(ev.short(), ev.Source, ev.Attempt, code, ev.ID)
	id, ok := x.eventIDs[key]
	if !ok {
		if len(x.events) == resumed {
			panic("too many different events: raise the width of event ids")
		}
		ev.Saga, ev.Version, ev.SagaID = x.def.Name(), x.def.Version(), "saga"
		ev.Initiator, ev.Time, ev.Payload = x.services[x.initiator], storyTime, []byte{}
		id = uint8(len(x.events))
		x.eventIDs[key], x.events = id, append(x.events, ev)
	}
	return id
}

func (x *explorer) internFold(in *Instance) uint16 {
	key := instanceText(in)
	id, ok := x.foldIDs[key]
	if !ok {
		id = uint16(len(x.folds))
		x.foldIDs[key], x.folds = id, append(x.folds, in)
	}
	return id
}

func (x *explorer) applied(fold uint16, ev uint8) uint16 {
	key := uint32(fold)<<8 | uint32(ev)
	id, ok := x.foldMemo[key]
	if !ok {
		next := *x.folds[fold]
		next.Steps = slices.Clone(next.Steps)
		x.rules.apply(&next, &x.events[ev])
		id = x.internFold(&next)
		x.foldMemo[key] = id
	}
	return id
}

// hash returns 128 bits of a state: with a million states the chance that two of
// them share them is below 1e-26.
func (x *explorer) hash(s *state) [2]uint64 {
	var buf [256]byte
	b := buf[:0]
	n := len(x.def.Steps())
	for _, r := range s.rows[:n+1] {
		b = binary.LittleEndian.AppendUint16(b, r)
	}
	flags := s.twice << 1
	if s.started {
		flags |= 1
	}
	b = append(b, flags, s.timers, s.parked, s.base, s.left.cancels, s.left.forces, s.left.crashes, s.left.forgets, s.left.dups,
		s.left.retries, s.left.undoFails, s.left.commands, s.left.defers, s.left.parks)
	b = append(b, s.off[:len(x.services)]...)
	b = binary.LittleEndian.AppendUint16(b, s.fold)
	b = binary.LittleEndian.AppendUint16(b, s.plain)
	b = s.ledger.append(b)
	for _, w := range s.seen {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	b = append(append(b, s.log.n), s.log.at[:s.log.n]...)
	for i := range x.services {
		q := &s.out[i]
		b = append(append(b, q.n), q.at[:q.n]...)
	}
	return [2]uint64{maphash.Bytes(x.seeds[0], b), maphash.Bytes(x.seeds[1], b)}
}

// finding is what the explorer has to say about a run.
type finding struct {
	states, rests int
	violation     string // empty: all holds
	story         string // the shortest path to the violation
}

// explore walks all states within the bounds.
func (x *explorer) explore(b bounds) finding {
	first := state{left: b}
	x.nodes = append(x.nodes[:0], node{parent: -1})
	clear(x.visited)
	x.visited[x.hash(&first)] = struct{}{}
	x.rests = 0
	level, next := []state{first}, []state(nil)
	for from := 0; len(level) > 0; level, next = next, level[:0] {
		for i := range level {
			parent := int32(from + i)
			broken := ""
			moves := 0
			x.moves(&level[i], func(m *move) {
				if m.goesOn() {
					moves++
				}
				if broken != "" {
					return
				}
				if m.broken == "" {
					m.broken = x.reread(&m.next, m.by)
				}
				x.tidy(&m.next)
				h := x.hash(&m.next)
				if _, known := x.visited[h]; known && m.broken == "" {
					return
				}
				x.visited[h] = struct{}{}
				x.nodes = append(x.nodes, node{parent: parent, by: m.by})
				if broken = m.broken; broken != "" {
					parent = int32(len(x.nodes) - 1)
					return
				}
				next = append(next, m.next)
			})
			if moves == 0 && broken == "" {
				x.rests++
				broken = x.audit.rest(x, &level[i])
			}
			if broken != "" {
				return finding{states: len(x.nodes), rests: x.rests, violation: broken, story: x.story(parent, b)}
			}
		}
		from += len(level)
	}
	return finding{states: len(x.nodes), rests: x.rests}
}

// tidy brings a state into its canonical form.
func (x *explorer) tidy(s *state) {
	low := s.log.n
	for v := range x.services {
		for s.off[v] < s.log.n && !x.timerOf(s, v) && x.idle(s, v, s.log.at[s.off[v]]) {
			s.off[v]++
		}
		low = min(low, s.off[v])
	}
	if s.left.dups == 0 {
		s.seen = [4]uint64{}
	}
	if s.left.crashes > 0 || x.keepLog || low == 0 {
		return
	}
	copy(s.log.at[:], s.log.at[low:s.log.n])
	clear(s.log.at[s.log.n-low:])
	s.log.n -= low
	s.base += low
	for v := range x.services {
		s.off[v] -= low
	}
}

// reread demands that an event which a service has read changes nothing when it
// comes once more. It proves for all numbers of duplicates what the explored faults
// show for a few. Only who has just acted needs to be asked.
func (x *explorer) reread(s *state, by action) string {
	service := int(by.who)
	switch by.kind {
	case actRead:
	case actTimer:
		service = x.ownerOf(service)
	default:
		return ""
	}
	for _, ev := range s.log.at[:s.off[service]] {
		for _, step := range x.owned[service] {
			o := x.react(step, s.rows[step], ev)
			answer := x.events[ev].Type == AbortRequested // each is answered anew
			if len(o) > 1 || o[0].changed || len(o[0].emits) > 0 && !answer {
				return fmt.Sprintf("G2: reading %s once more does something to %s, whose row is %s",
					x.events[ev].short(), x.def.Steps()[step].Name, rowText(&x.rows[s.rows[step]]))
			}
		}
	}
	return ""
}

func (x *explorer) ownerOf(step int) int {
	return slices.Index(x.services, x.def.Steps()[step].Owner)
}

func (x *explorer) timerOf(s *state, service int) bool {
	for _, step := range x.owned[service] {
		if s.timers&(1<<step) != 0 {
			return true
		}
	}
	return false
}

// idle reports whether an event does nothing at a service.
func (x *explorer) idle(s *state, service int, ev uint8) bool {
	for _, step := range x.reactors(service) {
		if o := x.react(step, s.rows[step], ev); len(o) != 1 || o[0].changed || len(o[0].emits) > 0 {
			return false
		}
	}
	return true
}

// reactors returns the rows of a service that an event may change.
func (x *explorer) reactors(service int) []int {
	if service == x.initiator {
		return append(slices.Clip(x.owned[service]), len(x.def.Steps()))
	}
	return x.owned[service]
}
