package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// remains is what a run has left behind.
type remains struct {
	orders map[sagaID]*accepted // those that the run had accepted

	events  map[sagaID][]*choreo.Event // in the order of the log, with repetitions
	letters []string                   // dead letters, and records that are no events

	backlog  map[string]int // of each service's outbox
	parked   map[string]int // records that each service has parked
	sagaRows map[sagaID]sagaRow
	stepRows map[stepID]stepRow
	deeds    map[deed]int

	receipts     map[sagaID]bool
	purchases    map[sagaID]entry
	reservations map[sagaID]entry
	holds        map[sagaID]entry
	shipments    map[sagaID]entry
	bank         map[sagaID]string // statuses of requests
	carrier      map[sagaID]string
	stock        map[string]level // by sku
	accounts     map[string]level // by customer
}

type (
	stepID  struct{ saga, id, step string }
	sagaRow struct {
		service string
		state   choreo.RowState
		due     bool
	}
	stepRow struct {
		service             string
		state               choreo.RowState
		bypassed, announced bool
		due                 bool
	}
	// deed is one that a handler or a desk noted.
	deed struct {
		stepID
		what string
	}
	// entry is what a book says of an order: of what, and how much.
	entry struct {
		status, of string
		amount     int64
	}
	// level is what there was of something, and where it is now.
	level struct{ initial, free, taken int64 }
)

// finding is something that does not agree.
type finding struct {
	saga sagaID // zero where no single one is meant
	text string
}

func (f finding) String() string {
	if f.saga == (sagaID{}) {
		return f.text
	}
	return f.saga.String() + ": " + f.text
}

// audit compares the remains with each other.
type audit struct {
	*remains
	findings []finding
	tally    tally
}

// tally is what an audit counted and compared.
type tally struct {
	completed, compensated int
	causes                 map[string]int // of sagas that were turned back, by code
	events, repetitions    int
	rows, deeds, entries   int
	requests               int // for an abort
	aborted, rejected      int // answers to them
	rejectedDone           int // of the latter, of sagas that completed
	deadlines              int // that were passed
	stuck, retried         int // steps that were shown as stuck, and that took several attempts
	answered               int // pending steps that were completed from outside
}

// check returns the findings, those of single sagas in their order.
func (r *remains) check() ([]finding, tally) {
	a := &audit{remains: r, tally: tally{causes: make(map[string]int)}}
	a.checkWhole()
	for _, id := range slices.SortedFunc(maps.Keys(r.orders), func(x, y sagaID) int {
		return cmp.Or(cmp.Compare(x.id, y.id), cmp.Compare(x.saga, y.saga))
	}) {
		s := &sagaAudit{audit: a, sagaID: id, order: r.orders[id], def: sagas[id.saga].Definition}
		s.check()
	}
	a.checkForeign()
	return a.findings, a.tally
}

// checkForeign looks for what belongs to no order: all else was compared with its saga.
func (a *audit) checkForeign() {
	foreign := func(what string, id sagaID) {
		if a.orders[id] == nil {
			a.find(id, "there is %s of an order that was never accepted", what)
		}
	}
	for id := range a.events {
		foreign("an event", id)
	}
	for id := range a.sagaRows {
		foreign("a saga row", id)
	}
	for id := range a.receipts {
		foreign("a receipt", id)
	}
	for name, book := range map[string]map[sagaID]entry{
		"purchase": a.purchases, "reservation": a.reservations, "hold": a.holds, "shipment": a.shipments,
	} {
		a.tally.entries += len(book)
		for id := range book {
			foreign("a "+name, id)
		}
	}
	ofStep := func(what string, id stepID) {
		order := sagaID{id.saga, id.id}
		foreign(what, order)
		if a.orders[order] != nil && sagas[id.saga].Step(id.step) == nil {
			a.find(order, "there is %s of %q, which it does not have", what, id.step)
		}
	}
	a.tally.rows = len(a.stepRows) + len(a.sagaRows)
	for id := range a.stepRows {
		ofStep("a row", id)
	}
	for d, n := range a.remains.deeds {
		a.tally.deeds += n
		ofStep("a deed", d.stepID)
	}
}

func (a *audit) find(id sagaID, format string, args ...any) {
	a.findings = append(a.findings, finding{id, fmt.Sprintf(format, args...)})
}

// checkWhole checks what concerns no single saga.
func (a *audit) checkWhole() {
	for _, letter := range a.letters {
		a.find(sagaID{}, "%s", letter)
	}
	for service, n := range a.backlog {
		if n != 0 {
			a.find(sagaID{}, "%d entries are left in the outbox of %s", n, service)
		}
	}
	for service, n := range a.parked {
		if n != 0 {
			a.find(sagaID{}, "%d records are parked in %s", n, service)
		}
	}
	taken := make(map[string]int64)
	for _, e := range a.reservations {
		if e.status == "reserved" {
			taken[e.of] += e.amount
		}
	}
	for _, e := range a.holds {
		if e.status == "held" || e.status == "charged" {
			taken[e.of] += e.amount
		}
	}
	for sku, l := range a.stock {
		if l.free+l.taken != l.initial || l.taken != taken[sku] {
			a.find(sagaID{}, "%s: there were %d, now %d are on hand and %d reserved; the reservations add up to %d",
				sku, l.initial, l.free, l.taken, taken[sku])
		}
	}
	for customer, l := range a.accounts {
		if l.free+taken[customer] != l.initial {
			a.find(sagaID{}, "%s: there were %d cents, now %d are left; what is held and charged adds up to %d",
				customer, l.initial, l.free, taken[customer])
		}
	}
}

// sagaAudit is the audit of one saga.
type sagaAudit struct {
	*audit
	sagaID
	order *accepted
	def   *choreo.Definition

	story []*choreo.Event // without repetitions
	in    *choreo.Instance
}

func (s *sagaAudit) wrong(format string, args ...any) { s.find(s.sagaID, format, args...) }

func (s *sagaAudit) check() {
	s.in = choreo.NewInstance(s.def)
	seen := make(map[string]bool)
	for _, ev := range s.events[s.sagaID] {
		s.tally.events++
		s.in.Apply(ev) // also the repetitions: they must not matter
		if seen[ev.ID] {
			s.tally.repetitions++
			continue
		}
		seen[ev.ID] = true
		s.story = append(s.story, ev)
	}
	s.checkOrder()
	s.checkOnce()
	s.checkUndo()
	s.checkAborts()
	if !s.in.Status.Ended() {
		s.wrong("its saga has not ended: it is %s", cmp.Or(string(s.in.Status), "not in the log"))
		return
	}
	switch s.in.Status {
	case choreo.StatusCompleted:
		s.tally.completed++
	default:
		s.tally.compensated++
		s.tally.causes[s.in.Cause.Code]++
	}
	s.checkCauses()
	s.checkSagaRow()
	for i := range s.in.Steps {
		s.checkStep(&s.in.Steps[i])
	}
	s.checkBooks()
}

// checkOrder is G9: one partition, and the events of a service in the order in which they
// were made. All processes go by the clock of one machine.
func (s *sagaAudit) checkOrder() {
	last := make(map[string]*choreo.Event)
	for _, ev := range s.story {
		if home := s.story[0].Partition; ev.Partition != home {
			s.wrong("%s stands in partition %d, its saga in %d", line(ev), ev.Partition, home)
		}
		if before := last[ev.Source]; before != nil && before.Time.After(ev.Time) {
			s.wrong("%s was made after %s, but stands before it", line(before), line(ev))
		}
		last[ev.Source] = ev
	}
}

// checkOnce is G2 as the log shows it.
func (s *sagaAudit) checkOnce() {
	type what struct {
		choreo.EventType
		step string
	}
	count := make(map[what]int)
	for _, ev := range s.story {
		count[what{ev.Type, ev.Step}]++
		switch ev.Type {
		case choreo.StepStuck:
			s.tally.stuck++
		case choreo.StepCompleted, choreo.StepCompensated:
			if ev.Attempt > 1 {
				s.tally.retried++
			}
		default:
		}
	}
	for w, n := range count {
		again := w.EventType == choreo.AbortRequested || w.EventType == choreo.AbortRejected
		if n > 1 && !again {
			s.wrong("%d different events say %s %s", n, w.EventType, w.step)
		}
	}
}

// checkUndo is G4 and G5.
func (s *sagaAudit) checkUndo() {
	at := make(map[string]int)
	for i, ev := range s.story {
		at[string(ev.Type)+ev.Step] = i + 1
	}
	for step := range s.in.Steps {
		name := s.in.Steps[step].Name
		undone := at[string(choreo.StepCompensated)+name]
		for _, d := range s.def.Dependents(name) {
			settled := at[string(choreo.StepCompensated)+d]
			if undone > 0 && at[string(choreo.StepCompleted)+d] > 0 && (settled == 0 || settled > undone) {
				s.wrong("%s was undone before %s, which depends on it", name, d)
			}
		}
	}
	if pivot := s.def.Pivot(); pivot == "" || at[string(choreo.StepCompleted)+pivot] == 0 {
		return
	}
	for _, ev := range s.story {
		if ev.Type == choreo.Aborted || ev.Type == choreo.StepFailed || ev.Type == choreo.StepCompensated {
			s.wrong("%s, although its pivot has completed", line(ev))
		}
	}
}

// checkAborts is R8: every request for an abort is answered, every cancel that was
// accepted asks for one, and a deadline does so once and in its time.
func (s *sagaAudit) checkAborts() {
	answered := make(map[string]bool)
	cancels, deadlines := 0, 0
	for _, ev := range s.story {
		switch ev.Type {
		case choreo.Aborted:
			answered[ev.CausationID] = true
			s.tally.aborted++
		case choreo.AbortRequested:
			if passedOn(ev) {
				answered[ev.CausationID] = true
			}
		case choreo.AbortRejected:
			answered[ev.CausationID] = true
			s.tally.rejected++
			if s.in.Status == choreo.StatusCompleted {
				s.tally.rejectedDone++
			}
		default:
		}
	}
	for _, ev := range s.story {
		if ev.Type != choreo.AbortRequested {
			continue
		}
		if !answered[ev.ID] {
			s.wrong("%s has no answer", line(ev))
		}
		if passedOn(ev) {
			continue
		}
		s.tally.requests++
		if ev.Failure.Code == "deadline" {
			deadlines++
			if after := ev.Time.Sub(s.in.StartedAt); after < deadline-time.Millisecond {
				s.wrong("its deadline of %v was passed after %v", deadline, after)
			}
		} else {
			cancels++
		}
	}
	s.tally.deadlines += deadlines
	if deadlines > 1 {
		s.wrong("its deadline was passed %d times", deadlines)
	}
	if cancels < s.order.cancelled {
		s.wrong("%d cancels were accepted, %d are in the log", s.order.cancelled, cancels)
	}
}

// passedOn reports whether a request is that of somebody who did not know the saga's home
// partition: the initiator says it again there, and is answered.
func passedOn(ev *choreo.Event) bool { return ev.Type == choreo.AbortRequested && ev.CausationID != "" }

// checkCauses checks that the saga ended as it did for a reason that was drawn for it:
// an outage, a kill or a stop is none.
func (s *sagaAudit) checkCauses() {
	o := &s.order.Purchase
	if s.in.Status == choreo.StatusCompleted {
		if o.Answer != approves || o.ReserveFails == endlessly {
			s.wrong("it completed, though %s and reserve-stock fails %d times", o.Answer, o.ReserveFails)
		}
		return
	}
	causes := map[string]bool{
		"deadline":  true, // outages may take as long
		"cancelled": len(s.order.Cancels) > 0,
		outOfStock:  s.in.CauseStep == reserveStock.Name() && slices.Contains(scarceNames(), o.SKU),
		noCredit:    s.in.CauseStep == authorise.Name() && slices.Contains(poorNames(), o.Customer),
		declined:    s.in.CauseStep == authorise.Name() && o.Answer == declines,
		"timeout":   s.in.CauseStep == authorise.Name(),
	}
	if !causes[s.in.Cause.Code] {
		s.wrong("it was turned back by %s %q: %s", s.in.CauseStep, s.in.Cause.Code, s.in.Cause.Message)
	}
}

func scarceNames() (names []string) {
	for i := range scarceSKUs {
		names = append(names, skuName(i))
	}
	return names
}

func poorNames() (names []string) {
	for i := range poorCustomers {
		names = append(names, customerName(i))
	}
	return names
}

// checkSagaRow checks what the initiator keeps of the saga.
func (s *sagaAudit) checkSagaRow() {
	if !s.receipts[s.sagaID] {
		s.wrong("it was accepted, but there is no receipt")
	}
	row, ok := s.sagaRows[s.sagaID]
	if want := (sagaRow{orders, choreo.RowClosed, false}); !ok || row != want {
		s.wrong("its saga has ended, so that its row should be %+v, but it is %+v", want, row)
	}
}

// checkStep compares a step of the folded log with its row and with its deeds.
func (s *sagaAudit) checkStep(step *choreo.StepInstance) {
	id := stepID{s.saga, s.id, step.Name}
	row := s.stepRows[id]
	want := stepRow{service: step.Owner, announced: row.announced}
	done, undone := false, false
	switch step.Status {
	case choreo.StepDone:
		want.state, done = choreo.RowCompleted, true
	case choreo.StepUndone:
		want.state, done, undone = choreo.RowUndone, true, true
	case choreo.StepFailing:
		want.state = choreo.RowFailed
	case choreo.StepNotRun:
		want.state, want.announced = choreo.RowSkipped, true
	case choreo.StepIdle:
		want.state, want.announced = choreo.RowSkipped, false
	default:
		s.wrong("%s is %s", step.Name, step.Status)
	}
	if row != want {
		s.wrong("the log says that %s is %s, so that its row should be %+v, but it is %+v", step.Name, step.Status, want, row)
	}
	s.checkDeeds(id, step, done, undone)
}

// checkDeeds is G2 as the books show it: each effect once, and undone once.
func (s *sagaAudit) checkDeeds(id stepID, step *choreo.StepInstance, done, undone bool) {
	once := map[bool]int{true: 1}
	want := map[string]int{"execute": once[done], "compensate": once[undone], "answer": 0, "refuse": 0}
	requests := map[string]map[sagaID]string{authorise.Name(): s.bank, ship.Name(): s.carrier}[step.Name]
	if requests != nil {
		request, asked := requests[s.sagaID]
		refused := step.Status == choreo.StepFailing && (step.Failure.Code == declined || step.Failure.Code == noCredit)
		want["execute"], want["answer"], want["refuse"] = once[asked], once[done], once[refused]
		s.tally.answered += once[done]
		status := "open or void"
		switch {
		case done:
			status = "answered"
		case refused:
			status = "refused"
		case !asked, request == "open", request == "void":
			status = request
		}
		if request != status {
			s.wrong("%s is %s, so that the request for it should be %q, but it is %q", step.Name, step.Status, status, request)
		}
	}
	for what, n := range want {
		if got := s.deeds[deed{id, what}]; got != n {
			s.wrong("%s is %s, but %s committed %d times", step.Name, step.Status, what, got)
		}
	}
}

// checkBooks compares what the books say of the order with the folded log.
func (s *sagaAudit) checkBooks() {
	o := &s.order.Purchase
	status := make(map[string]choreo.StepStatus)
	for i := range s.in.Steps {
		status[s.in.Steps[i].Name] = s.in.Steps[i].Status
	}
	left := func(step choreo.StepRef, done, undone string) string {
		switch status[step.Name()] {
		case choreo.StepDone:
			return done
		case choreo.StepUndone:
			return undone
		default:
			return ""
		}
	}
	expect := func(book string, entries map[sagaID]entry, status, of string, amount int64) {
		want := entry{status, of, amount}
		if status == "" {
			want = entry{}
		}
		if got := entries[s.sagaID]; got != want {
			s.wrong("its saga is %s, so that its %s should be %+v, but it is %+v", s.in.Status, book, want, got)
		}
	}
	purchase := cmp.Or(left(confirm, "confirmed", ""), left(placeOrder, "placed", "cancelled"))
	expect("purchase", s.purchases, purchase, o.Customer, o.Cents)
	expect("reservation", s.reservations, left(reserveStock, "reserved", "released"), o.SKU, int64(o.Quantity))
	expect("hold", s.holds, cmp.Or(left(charge, "charged", ""), left(authorise, "held", "released")), o.Customer, o.Cents)
	shipment := cmp.Or(left(ship, "sent", ""), left(handOut, "handed-out", "taken-back"))
	expect("shipment", s.shipments, shipment, o.SKU, int64(o.Quantity))
}

// line tells an event in a few words.
func line(ev *choreo.Event) string {
	text := string(ev.Type)
	if ev.Step != "" {
		text += " " + ev.Step
	}
	if ev.Failure != nil {
		text += fmt.Sprintf(" (%s %s)", ev.Failure.Class, ev.Failure.Code)
	}
	return text
}
