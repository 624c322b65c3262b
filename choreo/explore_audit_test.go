package choreo

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// The auditor shares no code with the rules. It looks at what an outsider could see:
// the business effects that transactions committed, the events that they committed,
// and the log; and it knows of a definition only what its author wrote into it.

// ledger is what the auditor remembers of a path. The masks are by step.
type ledger struct {
	executed, undone, gaveUp uint8 // effects
	bypassed, failed         uint8 // what was committed as an answer
	answered                 uint8 // Completed, Failed or Skipped was committed
	reverted                 uint8 // Compensated was committed
	told                     uint8 // Completed is in the log
	flags                    uint16
	cause                    uint8 // 1 + the step whose Failed turned the log
	lost                     uint8 // CompensationFailed was committed, whatever came later
	parked                   uint8 // services that have the saga parked, as the log tells
}

const (
	logStarted uint16 = 1 << iota
	logTurned         // Failed or Aborted is in the log
	logKept           // what came first was a Failed that keeps, and no abort by force came after it
	logAsked          // AbortRequested is in the log, unanswered
	saidAborted
	saidStarted
	saidForced
	saidKept  // the pivot's owner committed a Failed that keeps
	logForced // AbortRequested with Force is in the log at a time when the saga did not go backwards
	logInTime // AbortRequested is in the log at a time when nothing had decided the saga
)

func (l *ledger) append(b []byte) []byte {
	return append(b, l.executed, l.undone, l.gaveUp, l.bypassed, l.failed, l.answered, l.reverted, l.told,
		uint8(l.flags), uint8(l.flags>>8), l.cause, l.lost, l.parked)
}

type auditor struct {
	d          *Definition
	keeps      bool // a step's failure may keep what was done
	names      []string
	number     map[string]int
	services   []string
	after      []uint8 // by step: those that it waits for
	dependents []uint8
	undoAfter  []uint8
	sinks      uint8
	pivot      uint8 // mask, 0 without one
	past       uint8 // the steps past it
	noUndo     uint8 // the steps that say that there is nothing to undo
	all        uint8
}

func newAuditor(d *Definition) *auditor {
	steps := d.Steps()
	n := len(steps)
	a := &auditor{
		d: d, number: map[string]int{}, all: uint8(1<<n - 1),
		after: make([]uint8, n), dependents: make([]uint8, n), undoAfter: make([]uint8, n),
	}
	for i := range steps {
		a.names, a.number[steps[i].Name] = append(a.names, steps[i].Name), i
	}
	for i := range steps {
		for _, dep := range steps[i].After {
			a.after[i] |= 1 << a.number[dep]
			a.dependents[a.number[dep]] |= 1 << i
		}
		for _, u := range steps[i].UndoAfter {
			a.undoAfter[i] |= 1 << a.number[u]
		}
		if steps[i].NoCompensate {
			a.noUndo |= 1 << i
		}
		if steps[i].Pivot {
			a.pivot = 1 << i
		}
		a.keeps = a.keeps || steps[i].CompensateIf != ""
	}
	for i := range steps {
		if a.dependents[i] == 0 {
			a.sinks |= 1 << i
		}
	}
	for changed := true; changed; {
		changed = false
		for i := range steps {
			if bit := uint8(1 << i); a.past&bit == 0 && a.after[i]&(a.pivot|a.past) != 0 {
				a.past, changed = a.past|bit, true
			}
		}
	}
	return a
}

// list prints a mask of steps.
func (a *auditor) list(mask uint8) string {
	var names []string
	for i, n := range a.names {
		if mask&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", ")
}

// held are the steps whose effect stands and is yet to be undone.
func (a *auditor) held(l *ledger) uint8 {
	return l.executed &^ l.undone &^ (a.noUndo & l.reverted)
}

// effect is called when a handler's effect commits.
func (a *auditor) effect(l *ledger, step int, e effect) string {
	bit, name := uint8(1<<step), a.names[step]
	if e == executed {
		defer func() { l.executed |= bit }()
		switch {
		case l.executed&bit != 0:
			return "G2: Execute of " + name + " committed twice"
		case a.after[step]&^(l.executed|l.bypassed) != 0:
			return fmt.Sprintf("G4: %s ran before %s had", name, a.list(a.after[step]&^(l.executed|l.bypassed)))
		case a.reverse() && a.after[step]&(l.undone|l.reverted) != 0:
			return fmt.Sprintf("G4: %s ran although %s was undone already", name, a.list(a.after[step]&(l.undone|l.reverted)))
		}
		for i, u := range a.undoAfter {
			if a.d.Strategy() == CustomOrder && u&bit != 0 && (l.undone|l.reverted)&(1<<i) != 0 {
				return fmt.Sprintf("G4: %s ran although %s, which is undone after it, was undone already", name, a.names[i])
			}
		}
		return ""
	}
	defer func() { l.undone |= bit }()
	switch {
	case l.executed&bit == 0:
		return "G2: Compensate of " + name + " committed without an Execute"
	case l.undone&bit != 0:
		return "G2: Compensate of " + name + " committed twice"
	case l.gaveUp&bit != 0:
		return "G2: Compensate of " + name + " committed after it was given up"
	case l.executed&a.pivot != 0:
		return "G5: " + name + " was undone although the pivot had completed"
	}
	return a.inOrder(l, step)
}

func (a *auditor) reverse() bool {
	return a.d.Strategy() == ReverseOrder || a.d.Strategy() == BestEffort
}

// inOrder demands that a step that is being undone is not undone too early.
func (a *auditor) inOrder(l *ledger, step int) string {
	held := a.held(l)
	switch a.d.Strategy() {
	case BestEffort:
		held &^= l.lost
		fallthrough
	case ReverseOrder:
		held &= a.dependents[step]
	case CustomOrder:
		held &= a.undoAfter[step]
	default:
		held = 0
	}
	if held != 0 {
		return fmt.Sprintf("G4: %s was undone while the effect of %s stood", a.names[step], a.list(held))
	}
	return ""
}

// committed is called when an event enters an outbox.
func (a *auditor) committed(l *ledger, ev *Event) string {
	i, ofStep := a.number[ev.Step]
	bit := uint8(0)
	if ofStep {
		bit = 1 << i
	}
	switch ev.Type {
	case StepCompleted, StepFailed, StepSkipped:
		if l.answered&bit != 0 {
			return fmt.Sprintf("G6: %s gave a second answer: %s", a.names[i], ev.short())
		}
		l.answered |= bit
		switch {
		case ev.Type == StepFailed:
			l.failed |= bit
			if ev.Keep && bit == a.pivot {
				l.flags |= saidKept
			}
		case ev.Bypassed:
			l.bypassed |= bit
		}
	case StepCompensated:
		if l.reverted&bit != 0 {
			return fmt.Sprintf("G6: %s was announced a second time", ev.short())
		}
		l.reverted |= bit
		if a.reverse() {
			if broken := a.inOrder(l, i); broken != "" {
				return broken
			}
		}
	case CompensationFailed:
		l.lost |= bit
	case Started:
		if l.flags&saidStarted != 0 {
			return "G6: the saga was started twice"
		}
		if a.pivot == 0 && l.flags&saidAborted != 0 { // a pivot's owner needs not know of the start
			return "G6: the saga was started although it had been aborted"
		}
		l.flags |= saidStarted
	case Aborted, AbortRejected:
		if broken := a.answers(l, ev); broken != "" {
			return broken
		}
	}
	if past := ev.Type == Aborted || ev.Type == StepFailed || ev.Type == StepSkipped; past && l.executed&a.pivot != 0 {
		return fmt.Sprintf("G5: %s was emitted although the pivot had completed", ev.short())
	}
	return ""
}

// answers is called when an arbiter's answer to a request enters an outbox.
func (a *auditor) answers(l *ledger, ev *Event) string {
	aborted, forced := l.flags&saidAborted != 0, l.flags&saidForced != 0
	switch {
	case ev.Type == Aborted && ev.Force:
		l.flags |= saidForced
		if forced || aborted && !a.keeps {
			return "G6: the saga was aborted twice"
		}
		if l.flags&logForced == 0 {
			return "G6: an abort by force was granted to a saga that went backwards already"
		}
	case ev.Type == Aborted:
		l.flags |= saidAborted
		if aborted || forced {
			return "G6: the saga was aborted twice"
		}
	case l.flags&logInTime != 0 && !aborted && !forced:
		return fmt.Sprintf("a cancel came in time and was rejected as %q", ev.Failure.Code)
	default:
		why := a.refusal(l)
		// While it is not known which came first, an arbiter goes by its own word.
		first := why == "kept" && ev.Failure.Code == "aborted" && aborted
		if ev.Failure.Code != why && !first {
			return fmt.Sprintf("G6: a request was rejected as %q, and the saga is %s", ev.Failure.Code, why)
		}
	}
	return ""
}

// closers are the steps whose completion closes the saga.
func (a *auditor) closers() uint8 {
	if a.pivot != 0 {
		return a.pivot
	}
	return a.sinks
}

// refusal is why a request is rejected by an arbiter that has read all of the log.
func (a *auditor) refusal(l *ledger) string {
	said := l.flags&(saidAborted|saidForced) != 0
	switch {
	case l.executed&a.pivot != 0:
		return "committed"
	case a.pivot == 0 && a.sinks&^l.told == 0 && !said && l.flags&logTurned == 0:
		return "completed"
	case l.flags&(logKept|saidKept) != 0 && l.flags&saidForced == 0:
		return "kept"
	default:
		return "aborted"
	}
}

// logged is called when an event enters the log.
func (a *auditor) logged(l *ledger, ev *Event) string {
	switch ev.Type {
	case Started:
		l.flags |= logStarted
	case AbortRequested:
		l.flags |= logAsked
		if ev.Force && (l.flags&logTurned == 0 || l.flags&logKept != 0) {
			l.flags |= logForced
		}
		// A pivot decides with its owner, which the log tells only later.
		if a.pivot == 0 && l.flags&logTurned == 0 && a.sinks&^l.told != 0 {
			l.flags |= logInTime
		}
	case StepCompleted:
		l.told |= 1 << a.number[ev.Step]
	case AbortRejected:
		l.flags &^= logAsked
	case Aborted, StepFailed:
		if ev.Type == Aborted {
			l.flags &^= logAsked
		}
		if ev.Type == Aborted && ev.Force && l.flags&logKept != 0 {
			l.flags &^= logKept
			l.cause = 0
		}
		if l.flags&logTurned == 0 {
			l.flags |= logTurned
			if ev.Keep {
				l.flags |= logKept
			}
			if ev.Type == StepFailed {
				l.cause = uint8(a.number[ev.Step] + 1)
			}
		}
	}
	return ""
}

// parking is called when an event of parking enters the log for the first time.
func (a *auditor) parking(l *ledger, ev *Event) {
	if ev.Type == SagaParked || ev.Type == SagaReleased {
		l.parked ^= 1 << slices.Index(a.services, ev.Source)
	}
}

// showsParked demands that an instance names who has the saga parked, and says so in its
// status unless that says more.
func (a *auditor) showsParked(l *ledger, in *Instance) string {
	shown := uint8(0)
	for _, p := range in.Parked {
		shown |= 1 << slices.Index(a.services, p.Service)
	}
	more := in.Status == "" || in.Status == StatusStuck || in.Status.Ended()
	if shown != l.parked || !more && (in.Status == StatusParked) != (l.parked != 0) {
		return fmt.Sprintf("G6: parked by services %b, and the instance says %s", l.parked, instanceText(in))
	}
	return ""
}

// rest is called for each state in which nothing can happen any more.
func (a *auditor) rest(x *explorer, s *state) string {
	l := &s.ledger
	turned, kept := l.flags&logTurned != 0, l.flags&logKept != 0
	want := StatusCompleted
	switch {
	case l.flags&logAsked != 0:
		return "a cancel was never answered"
	case l.flags&logInTime != 0 && l.flags&(saidAborted|saidForced) == 0:
		return "a cancel came in time and was not heeded"
	case l.flags&logForced != 0 && l.executed&a.pivot == 0 && (!turned || kept):
		return "an abort by force came in time, and what was done stands"
	case !turned && (l.executed|l.bypassed) != a.all:
		return fmt.Sprintf("G3: nothing turned the saga back, and %s never ran", a.list(a.all&^(l.executed|l.bypassed)))
	case (!turned || kept) && l.undone|l.gaveUp != 0:
		return "G3: nothing was to be undone, but this was: " + a.list(l.undone|l.gaveUp)
	case kept:
		want = StatusFailed
	case turned && l.gaveUp != 0:
		want = StatusStuck
	case turned && l.flags&logStarted == 0:
		want = "" // it was queued, and never started
	case turned:
		want = StatusCompensated
	}
	if turned && !kept {
		if left := a.held(l) &^ a.excused(l); left != 0 {
			return fmt.Sprintf("G3: the saga was turned back, and the effect of %s stands at rest", a.list(left))
		}
	}
	fold := x.folds[s.fold]
	if fold.Status != want {
		return fmt.Sprintf("G6: the effects at rest are those of a saga that is %s, its instance says %s", want, fold.Status)
	}
	if cause := l.cause; cause > 0 && fold.CauseStep != a.names[cause-1] || cause == 0 && fold.CauseStep != "" {
		return fmt.Sprintf("G6: the instance blames %q", fold.CauseStep)
	}
	saga := &x.rows[s.rows[len(a.names)]]
	completed := bits.OnesCount8(a.closers()) == len(saga.Noted)
	if saga.State != RowClosed || saga.Kept != kept || completed != !turned {
		return fmt.Sprintf("G6: the saga ended as %s and the initiator's saga row is %s", want, rowText(saga))
	}
	for i := range a.names {
		if broken := a.agrees(x, s, i, turned, kept); broken != "" {
			return broken
		}
	}
	return ""
}

// excused are the steps whose effect may stand because a compensation gave up: that
// step itself, and those that have to wait for it.
func (a *auditor) excused(l *ledger) uint8 {
	excused := l.gaveUp
	for changed := true; changed; {
		changed = false
		for i := range a.names {
			waits := uint8(0)
			switch a.d.Strategy() {
			case ReverseOrder:
				waits = a.dependents[i]
			case CustomOrder:
				waits = a.undoAfter[i]
			}
			if bit := uint8(1 << i); waits&excused != 0 && excused&bit == 0 && (l.executed|l.bypassed)&bit != 0 {
				excused, changed = excused|bit, true
			}
		}
	}
	return excused
}

// agrees demands that a step's row at rest, the instance's view of it and its effects
// tell the same.
func (a *auditor) agrees(x *explorer, s *state, i int, turned, kept bool) string {
	l, bit := &s.ledger, uint8(1<<i)
	ran := (l.executed|l.bypassed)&bit != 0
	row := &x.rows[s.rows[i]]
	var wantRow RowState
	var wantStep StepStatus
	switch {
	case l.failed&bit != 0:
		wantRow, wantStep = RowFailed, StepFailing
	case !ran && l.answered&bit != 0:
		wantRow, wantStep = RowSkipped, StepNotRun
	case !ran:
		wantRow, wantStep = RowSkipped, StepIdle
	case !turned || kept:
		wantRow, wantStep = RowCompleted, StepDone
		if l.bypassed&bit != 0 {
			wantStep = StepBypassed
		}
	case l.gaveUp&bit != 0:
		wantRow, wantStep = RowUndoFailed, StepUndoFailed
	case l.reverted&bit != 0:
		wantRow, wantStep = RowUndone, StepUndone
	default: // it waits for a compensation that gave up
		wantRow, wantStep = RowUndoing, StepUndoing
		if a.excused(l)&bit == 0 {
			return fmt.Sprintf("G3: the saga is at rest and %s was never undone, its row is %s", a.names[i], rowText(row))
		}
	}
	step := x.folds[s.fold].Steps[i]
	if row.State != wantRow || step.Status != wantStep {
		return fmt.Sprintf("G6: at rest %s should be %s with its owner and %s in its instance; they say %s and %s",
			a.names[i], wantRow, wantStep, rowText(row), step.Status)
	}
	if row.Kept != (kept && (ran || bit == a.pivot)) {
		return fmt.Sprintf("G6: at rest the row of %s is %s", a.names[i], rowText(row))
	}
	return ""
}

// instanceText prints all that an instance holds except its times.
func instanceText(in *Instance) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s cause=%q", in.Status, in.CauseStep)
	for _, f := range []struct {
		set  bool
		name string
	}{{in.requested, "requested"}, {in.turned, "turned"}, {in.kept, "kept"}} {
		if f.set {
			b.WriteString(" " + f.name)
		}
	}
	if in.Cause != nil {
		b.WriteString(" why=" + in.Cause.Code)
	}
	for _, p := range in.Parked {
		b.WriteString(" parked by " + p.Service)
	}
	if len(in.parkings) > 0 {
		fmt.Fprintf(&b, " after %q", in.parkings)
	}
	for _, s := range in.Steps {
		fmt.Fprintf(&b, "; %s %s", s.Name, s.Status)
		if s.Attempts > 0 {
			fmt.Fprintf(&b, " attempts=%d", s.Attempts)
		}
		if s.Failure != nil {
			b.WriteString(" failure=" + s.Failure.Code)
		}
	}
	return b.String()
}
