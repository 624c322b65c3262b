package choreo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// effect is what a transaction did to the business data of a step.
type effect uint8

const (
	noEffect effect = iota
	executed
	compensated
)

// outcome is one way in which a row can answer an event or a timer.
type outcome struct {
	row     uint16
	changed bool
	emits   []uint8
	effect  effect
	gaveUp  bool // Compensate ran out of retries
	again   bool // the handler is due again
	command bool // it answers an operator's command
	retry   bool // it takes one of bounds.retries
	putOff  bool // it takes one of bounds.defers
	text    string
}

// ending is one way in which a handler can end.
type ending struct {
	text  string
	res   Result
	retry bool
}

// endings lists how a handler of a step can end, success first.
func (x *explorer) endings(step int, run Run) []ending {
	def := &x.def.Steps()[step]
	fail := func(text string, err error, retry bool) ending {
		return ending{text: text, res: Result{Err: Classify(err)}, retry: retry}
	}
	if run == RunCompensate {
		ends := []ending{{text: "Compensate succeeds"}, fail("Compensate fails for good", Permanent(errors.New("no")), false)}
		if def.UndoRetry.Attempts > 1 {
			ends = append(ends, fail("Compensate fails and may be retried", errors.New("later"), true))
		}
		return ends
	}
	ends := []ending{{text: "Execute succeeds"}}
	if slices.Contains(x.async, def.Name) {
		ends = append(ends, ending{text: "Execute begins it, and it goes on elsewhere", res: Result{Pending: true}})
	}
	if def.Condition != "" {
		ends = append(ends, ending{text: "its condition is false", res: Result{Bypassed: true}})
	}
	past := x.audit.past&(1<<step) != 0 // such a step is retried without end: bound it
	ends = append(ends, fail("Execute refuses", Refuse("refused", nil), past))
	if def.CompensateIf != "" {
		ends = append(ends, fail("Execute refuses, and nothing is to be undone", Refuse(keepCode, nil), past))
	}
	if def.Retry.Attempts > 1 {
		ends = append(ends, fail("Execute fails and may be retried", errors.New("later"), true))
	}
	return ends
}

// react returns how a row can answer an event, or with ev == resumed a timer.
func (x *explorer) react(step int, row uint16, ev uint8) []outcome {
	byRow := &x.outcomes[step<<8|int(ev)]
	for len(*byRow) <= int(row) {
		*byRow = append(*byRow, nil)
	}
	known := (*byRow)[row]
	if known == nil {
		known = x.ask(step, row, ev)
		(*byRow)[row] = known
	}
	return known
}

func (x *explorer) ask(step int, row uint16, ev uint8) []outcome {
	name, service := SagaRow, x.services[x.initiator]
	if step < len(x.def.Steps()) {
		name, service = x.def.Steps()[step].Name, x.def.Steps()[step].Owner
	}
	var decision Decision
	if ev == resumed && x.rows[row].State == RowPending {
		return x.askPending(step, row, service)
	}
	if ev == resumed {
		decision = x.rules.resume(x.def, name, x.rows[row])
	} else {
		decision = x.rules.react(x.def, name, x.rows[row], &x.events[ev])
	}
	if decision.Run == RunNothing {
		o := x.outcome(row, decision, service)
		o.command = ev != resumed && x.isCommand(ev)
		if o.command && decision.Changed { // what was done by hand counts as the handler's effect
			switch {
			case decision.Row.State == RowUndone && x.rows[row].State != RowUndone:
				o.effect = compensated
			case decision.Row.State == RowCompleted && x.rows[row].State != RowCompleted:
				o.effect = executed
			}
		}
		return []outcome{o}
	}
	var all []outcome
	for _, end := range x.endings(step, decision.Run) {
		concluded := x.rules.conclude(x.def, name, decision.Row, decision.Run, end.res)
		o := x.outcome(row, concluded, service)
		o.retry, o.text = end.retry, end.text
		o.command = ev != resumed && x.isCommand(ev)
		if end.res.Err == nil && !end.res.Bypassed && !end.res.Pending {
			o.effect = executed
			if decision.Run == RunCompensate {
				o.effect = compensated
			}
		}
		o.gaveUp = decision.Run == RunCompensate && end.res.Err != nil && !concluded.Again
		all = append(all, o)
	}
	o := x.outcome(row, x.rules.putOff(x.def, name, decision.Row, decision.Run), service)
	o.putOff, o.text = true, fmt.Sprintf("%s is put off", decision.Run)
	o.command = ev != resumed && x.isCommand(ev)
	return append(all, o)
}

// askPending returns how a pending step can end: by an answer from outside, or because
// none came in time.
func (x *explorer) askPending(step int, row uint16, service string) []outcome {
	name := x.def.Steps()[step].Name
	past := x.audit.past&(1<<step) != 0 // such a step goes on waiting: bound it
	var all []outcome
	for _, end := range []struct {
		text     string
		decision Decision
		effect   effect
		retry    bool
	}{
		{"it is completed from outside", Answer(x.def, name, x.rows[row], Result{}), executed, false},
		{"it is refused from outside", Answer(x.def, name, x.rows[row], Result{Err: Classify(Refuse("refused", nil))}), noEffect, past},
		{"no answer comes in time", Expire(x.def, name, x.rows[row]), noEffect, past},
	} {
		o := x.outcome(row, end.decision, service)
		o.text, o.effect, o.retry = end.text, end.effect, end.retry
		all = append(all, o)
	}
	return all
}

func (x *explorer) outcome(before uint16, d Decision, service string) outcome {
	// A step that is pending after the decision waits for its answer, as one that is due
	// again waits for its timer.
	o := outcome{row: before, changed: d.Changed, again: d.Again || d.Changed && d.Row.State == RowPending}
	if d.Changed {
		o.row = x.internRow(d.Row)
	}
	for _, e := range d.Emit {
		o.emits = append(o.emits, x.internEvent(Event{
			Type: e.Type, Step: e.Step, Source: service, Attempt: e.Attempt,
			Bypassed: e.Bypassed, Keep: e.Keep, Force: e.Force, Failure: e.Failure, Carried: e.Carried,
			By: e.By, Note: e.Note,
		}))
	}
	return o
}

// move is an action with what comes of it.
type move struct {
	by     action
	next   state
	broken string   // a violation that the transaction itself is
	did    []string // filled where a story is told
}

// goesOn reports whether the move is what a world without further faults does: a
// state without such a move is at rest.
func (m *move) goesOn() bool {
	switch m.by.kind {
	case actStart, actAdmit, actRead, actTimer, actPublish, actRelease:
		return true
	default:
		return false
	}
}

// moves calls visit for each action that is possible in a state, in a fixed order.
func (x *explorer) moves(s *state, visit func(*move)) {
	if !s.started {
		m := move{by: action{kind: actStart}, next: *s}
		m.next.started = true
		if x.queued {
			m.next.rows[len(x.def.Steps())] = x.internRow(Row{State: RowQueued})
		} else {
			m.next.rows[len(x.def.Steps())] = x.internRow(Row{State: RowOpen})
			m.broken = x.emit(&m.next, x.initiator, x.evStarted)
		}
		visit(&m)
	}
	x.admits(s, visit)
	for v := range x.services {
		if s.parked&(1<<v) != 0 {
			x.publishes(s, v, visit)
			x.parks(s, v, visit)
			continue
		}
		if s.off[v] < s.log.n {
			next := *s
			next.off[v]++
			t := transaction{x: x, ev: s.log.at[s.off[v]], by: action{kind: actRead, who: uint8(v)}, visit: visit}
			t.run(next, x.reactors(v), v, progress{})
		}
		for _, step := range x.owned[v] {
			if s.timers&(1<<step) != 0 {
				next := *s
				next.timers &^= 1 << step
				t := transaction{x: x, ev: resumed, by: action{kind: actTimer, who: uint8(step)}, visit: visit}
				t.run(next, []int{step}, v, progress{})
			}
		}
		x.publishes(s, v, visit)
	}
	x.faults(s, visit)
}

// admits starts a saga that was queued. One that was closed is asked for, too.
func (x *explorer) admits(s *state, visit func(*move)) {
	if !x.queued || !s.started {
		return
	}
	row := &s.rows[len(x.def.Steps())]
	admitted := x.rules.admit(x.def, x.rows[*row])
	if !admitted.Changed {
		return
	}
	m := move{by: action{kind: actAdmit}, next: *s}
	m.next.rows[len(x.def.Steps())] = x.internRow(admitted.Row)
	for _, e := range admitted.Emit {
		ev := x.internEvent(Event{Type: e.Type, Source: x.services[x.initiator]})
		if b := x.emit(&m.next, x.initiator, ev); m.broken == "" {
			m.broken = b
		}
	}
	visit(&m)
}

// publishes lets the relay of a service publish the head of its outbox.
func (x *explorer) publishes(s *state, v int, visit func(*move)) {
	if s.out[v].n == 0 {
		return
	}
	ev := s.out[v].at[0]
	again := s.twice&(1<<v) != 0
	m := move{by: action{kind: actPublish, who: uint8(v)}, next: *s}
	q := &m.next.out[v]
	copy(q.at[:], q.at[1:q.n])
	q.n--
	q.at[q.n] = 0
	m.next.twice &^= 1 << v
	m.broken = x.append(&m.next, ev, again)
	visit(&m)
	if s.left.forgets > 0 && !again {
		m := move{by: action{kind: actForget, who: uint8(v)}, next: *s}
		m.next.left.forgets--
		m.next.twice |= 1 << v
		m.broken = x.append(&m.next, ev, false)
		visit(&m)
	}
}

func (x *explorer) faults(s *state, visit func(*move)) {
	if s.left.cancels > 0 && s.started { // see AbortRequested
		m := move{by: action{kind: actCancel}, next: *s}
		m.next.left.cancels--
		m.broken = x.append(&m.next, x.evCancel, false)
		visit(&m)
	}
	if s.left.forces > 0 && s.started {
		m := move{by: action{kind: actForce}, next: *s}
		m.next.left.forces--
		m.broken = x.append(&m.next, x.evForce, false)
		visit(&m)
	}
	if s.left.commands > 0 && s.started {
		for i, ev := range x.commands {
			m := move{by: action{kind: actCommand, who: uint8(i)}, next: *s}
			m.next.left.commands--
			m.broken = x.append(&m.next, ev, false)
			visit(&m)
		}
	}
	if s.left.parks > 0 && s.started {
		for v := range x.services {
			if s.parked&(1<<v) == 0 {
				x.parks(s, v, visit)
			}
		}
	}
	if s.left.crashes > 0 {
		for v := range x.services {
			for to := range s.off[v] {
				m := move{by: action{kind: actCrash, who: uint8(v), what: to}, next: *s}
				m.next.left.crashes--
				m.next.off[v] = to
				visit(&m)
			}
		}
	}
	if s.left.dups > 0 {
		for ev := range x.events {
			if s.seen[ev/64]&(1<<(ev%64)) != 0 {
				m := move{by: action{kind: actAgain, who: uint8(ev)}, next: *s}
				m.next.left.dups--
				m.broken = x.append(&m.next, uint8(ev), true)
				visit(&m)
			}
		}
	}
}

// parks lets a service park the saga, or release it where it has.
func (x *explorer) parks(s *state, v int, visit func(*move)) {
	m := move{by: action{kind: actPark, who: uint8(v)}, next: *s}
	ev := Event{Type: SagaParked, Source: x.services[v]}
	if s.parked&(1<<v) != 0 {
		m.by.kind, ev.Type = actRelease, SagaReleased
	} else {
		m.next.left.parks--
	}
	m.next.parked ^= 1 << v
	ev.ID = fmt.Sprint(ev.Type, ev.Source, s.left.parks)
	m.broken = x.emit(&m.next, v, x.internEvent(ev))
	visit(&m)
}

// emit puts an event into a service's outbox.
func (x *explorer) emit(s *state, service int, ev uint8) string {
	q := &s.out[service]
	if q.n == maxOutbox {
		return "an outbox grows without end"
	}
	q.at[q.n] = ev
	q.n++
	// The answer to a cancel or a command may come after the end, and changes nothing then.
	// So may the word of a service that cannot read any more what it need not.
	late := []EventType{AbortRejected, Aborted, CommandRejected, SagaParked, SagaReleased}
	if x.folds[s.fold].Status.Ended() && !slices.Contains(late, x.events[ev].Type) {
		return fmt.Sprintf("G6: the log told that the saga had ended as %s, and then %s was emitted",
			x.folds[s.fold].Status, x.events[ev].short())
	}
	return x.audit.committed(&s.ledger, &x.events[ev])
}

// append writes an event to the log.
func (x *explorer) append(s *state, ev uint8, again bool) string {
	if s.base+s.log.n == x.endless {
		return "the saga does not come to rest: its log grows without end"
	}
	s.log.at[s.log.n] = ev
	s.log.n++
	s.seen[ev/64] |= 1 << (ev % 64)
	ended := x.folds[s.fold].Status
	s.fold = x.applied(s.fold, ev)
	if !again {
		s.plain = x.applied(s.plain, ev)
	}
	if s.fold != s.plain {
		return fmt.Sprintf("G6: the instance differs with duplicates and without:\n     %s\n     %s",
			instanceText(x.folds[s.fold]), instanceText(x.folds[s.plain]))
	}
	reopened := x.events[ev].Force && x.events[ev].Type == Aborted && (ended == StatusCompleted || ended == StatusFailed)
	if now := x.folds[s.fold].Status; ended.Ended() && now != ended && !reopened {
		return fmt.Sprintf("G6: an instance that had ended as %s became %s", ended, now)
	}
	if !again {
		x.audit.parking(&s.ledger, &x.events[ev])
	}
	if broken := x.audit.showsParked(&s.ledger, x.folds[s.fold]); broken != "" {
		return broken
	}
	return x.audit.logged(&s.ledger, &x.events[ev])
}

// transaction lets the rows of one service answer an event together, in every
// combination of outcomes.
type transaction struct {
	x     *explorer
	ev    uint8
	by    action
	visit func(*move)
	tell  bool // collect what was done
}

// progress is how far a transaction has come.
type progress struct {
	broken  string
	did     []string
	ran     bool // a handler ran
	another bool // and another one has to wait, as only one is run in a unit of work
}

func (t *transaction) run(s state, rows []int, service int, p progress) {
	if len(rows) == 0 {
		if p.another {
			s.off[service]--
		}
		t.visit(&move{by: t.by, next: s, broken: p.broken, did: p.did})
		t.by.what++
		return
	}
	step := rows[0]
	all := t.x.react(step, s.rows[step], t.ev)
	if all[0].text != "" {
		if p.another = p.ran && t.x.oneByOne; p.another {
			t.run(s, rows[1:], service, p)
			return
		}
		p.ran = true
	}
	for i := range all {
		o := &all[i]
		if o.retry && s.left.retries == 0 || o.gaveUp && s.left.undoFails == 0 || o.putOff && s.left.defers == 0 {
			continue
		}
		next, now := s, p
		if o.retry {
			next.left.retries--
		}
		if o.gaveUp {
			next.left.undoFails--
		}
		if o.putOff {
			next.left.defers--
		}
		if b := t.commit(&next, step, service, o); now.broken == "" {
			now.broken = b
		}
		if t.tell {
			now.did = append(slices.Clip(p.did), t.tale(step, s.rows[step], o)...)
		}
		t.run(next, rows[1:], service, now)
	}
}

// commit applies one row's outcome to a state.
func (t *transaction) commit(s *state, step, service int, o *outcome) string {
	s.rows[step] = o.row
	if o.again {
		s.timers |= 1 << step
	}
	broken := ""
	if o.command && t.x.rows[o.row].State != RowUndoFailed {
		s.ledger.gaveUp &^= 1 << step // it is tried again, or was undone by hand
	}
	if o.effect != noEffect && t.x.folds[s.fold].Status.Ended() {
		broken = fmt.Sprintf("G6: the log told that the saga had ended as %s, and then a handler of %s ran",
			t.x.folds[s.fold].Status, t.x.def.Steps()[step].Name)
	}
	if o.effect != noEffect && broken == "" {
		broken = t.x.audit.effect(&s.ledger, step, o.effect)
	}
	if o.gaveUp {
		s.ledger.gaveUp |= 1 << step
	}
	for _, ev := range o.emits {
		if b := t.x.emit(s, service, ev); broken == "" {
			broken = b
		}
	}
	return broken
}

func (t *transaction) tale(step int, before uint16, o *outcome) []string {
	var did []string
	x := t.x
	name := "saga row"
	if step < len(x.def.Steps()) {
		name = x.def.Steps()[step].Name
	}
	if o.text != "" {
		did = append(did, name+": "+o.text)
	}
	if o.row != before {
		did = append(did, fmt.Sprintf("%s: row %s → %s", name, rowText(&x.rows[before]), rowText(&x.rows[o.row])))
	}
	for _, ev := range o.emits {
		did = append(did, "commits "+x.events[ev].short())
	}
	return did
}

// story retells the path to a node. Reads that changed nothing are left out.
func (x *explorer) story(to int32, b bounds) string {
	var path []action
	for n := to; x.nodes[n].parent >= 0; n = x.nodes[n].parent {
		path = append([]action{x.nodes[n].by}, path...)
	}
	var out strings.Builder
	s := state{left: b}
	for i, by := range path {
		before := s
		var told *move
		x.moves(&before, func(m *move) {
			if m.by == by {
				s, told = m.next, m
			}
		})
		fmt.Fprintf(&out, "%3d. %s\n", i+1, x.line(&before, by))
		for _, did := range x.retell(&before, told) {
			fmt.Fprintf(&out, "       %s\n", did)
		}
		x.tidy(&s)
	}
	return out.String()
}

// retell runs a read or a timer again to hear what it did.
func (x *explorer) retell(before *state, m *move) []string {
	t := transaction{x: x, tell: true, by: action{kind: m.by.kind, who: m.by.who}}
	var did []string
	t.visit = func(again *move) {
		if again.by == m.by {
			did = again.did
		}
	}
	switch m.by.kind {
	case actRead:
		t.ev = before.log.at[before.off[m.by.who]]
		t.run(*before, x.reactors(int(m.by.who)), int(m.by.who), progress{})
	case actTimer:
		t.ev = resumed
		step := int(m.by.who)
		t.run(*before, []int{step}, x.ownerOf(step), progress{})
	}
	return did
}

func (x *explorer) line(s *state, by action) string {
	if by.kind == actStart {
		if x.queued {
			return x.services[x.initiator] + " queues the saga"
		}
		return x.services[x.initiator] + " starts the saga, which commits Started"
	}
	if by.kind == actAdmit {
		return x.services[x.initiator] + " admits the saga, which commits Started"
	}
	who := ""
	if int(by.who) < len(x.services) {
		who = x.services[by.who]
	}
	switch by.kind {
	case actRead:
		return fmt.Sprintf("%s reads %s", who, x.events[s.log.at[s.off[by.who]]].short())
	case actTimer:
		return fmt.Sprintf("the timer of %s fires", x.def.Steps()[by.who].Name)
	case actPublish:
		return fmt.Sprintf("the relay of %s publishes %s", who, x.events[s.out[by.who].at[0]].short())
	case actForget:
		return fmt.Sprintf("the relay of %s publishes %s and dies before it deletes it", who, x.events[s.out[by.who].at[0]].short())
	case actCrash:
		return fmt.Sprintf("%s crashes and reads again from %s on", who, x.events[s.log.at[by.what]].short())
	case actAgain:
		return fmt.Sprintf("a stale duplicate of %s is appended", x.events[by.who].short())
	case actPark:
		return who + " parks the saga"
	case actRelease:
		return who + " releases the saga"
	case actCommand:
		return fmt.Sprintf("an operator appends %s", x.events[x.commands[by.who]].short())
	case actForce:
		return "an operator aborts by force: AbortRequested force is appended"
	default:
		return "somebody cancels: AbortRequested is appended"
	}
}
