package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
)

var (
	sent   = sagaID{delivery.Name(), "o-1"} // completes; a cancel came too late
	turned = sagaID{pickup.Name(), "o-2"}   // is turned back by its deadline, while the bank is silent
)

// sample is what a run with these two orders leaves.
func sample() *remains {
	r := &remains{
		orders: map[sagaID]*accepted{
			sent: {cancelled: 1, errand: &errand{
				order:   order{sent.saga, sent.id, purchase{Customer: "customer-050", SKU: "sku-50", Quantity: 2, Cents: 900, Answer: approves}},
				Cancels: []time.Duration{time.Second},
			}},
			turned: {errand: &errand{
				order: order{turned.saga, turned.id, purchase{Customer: "customer-051", SKU: "sku-51", Quantity: 1, Cents: 500, Answer: silent}},
			}},
		},
		events:   make(map[sagaID][]*choreo.Event),
		backlog:  map[string]int{orders: 0, stock: 0, payments: 0, shipping: 0},
		receipts: map[sagaID]bool{sent: true, turned: true},
		sagaRows: map[sagaID]sagaRow{sent: {orders, choreo.RowClosed, false}, turned: {orders, choreo.RowClosed, false}},
		stepRows: make(map[stepID]stepRow),
		deeds:    make(map[deed]int),
		purchases: map[sagaID]entry{
			sent: {"confirmed", "customer-050", 900}, turned: {"cancelled", "customer-051", 500},
		},
		reservations: map[sagaID]entry{sent: {"reserved", "sku-50", 2}, turned: {"released", "sku-51", 1}},
		holds:        map[sagaID]entry{sent: {"charged", "customer-050", 900}},
		shipments:    map[sagaID]entry{sent: {"sent", "sku-50", 2}},
		bank:         map[sagaID]string{sent: "answered", turned: "open"},
		carrier:      map[sagaID]string{sent: "answered"},
		stock:        map[string]level{"sku-50": {10, 8, 2}, "sku-51": {10, 10, 0}},
		accounts:     map[string]level{"customer-050": {1000, 100, 900}, "customer-051": {1000, 1000, 0}},
	}
	r.add(sent, orders, choreo.Started, "", "")
	for _, s := range []struct{ service, step string }{
		{orders, "place-order"}, {stock, "reserve-stock"}, {payments, "authorise"}, {payments, "charge"}, {shipping, "ship"}, {orders, "confirm"},
	} {
		r.add(sent, s.service, choreo.StepCompleted, s.step, "")
		r.row(sent, s.service, s.step, choreo.RowCompleted, "execute")
	}
	r.deeds[deed{stepID{sent.saga, sent.id, "authorise"}, "answer"}]++
	r.deeds[deed{stepID{sent.saga, sent.id, "ship"}, "answer"}]++
	request := r.add(sent, stock, choreo.AbortRequested, "", "cancelled")
	passed := r.add(sent, orders, choreo.AbortRequested, "", "cancelled")
	passed.CausationID, request = request.ID, passed
	r.add(sent, payments, choreo.AbortRejected, "", "cancelled").CausationID = request.ID

	r.add(turned, orders, choreo.Started, "", "")
	r.add(turned, orders, choreo.StepCompleted, "place-order", "")
	r.add(turned, stock, choreo.StepCompleted, "reserve-stock", "")
	request = r.add(turned, orders, choreo.AbortRequested, "", "deadline")
	r.add(turned, orders, choreo.Aborted, "", "deadline").CausationID = request.ID
	r.add(turned, payments, choreo.StepSkipped, "authorise", "")
	r.add(turned, shipping, choreo.StepSkipped, "hand-out", "")
	r.add(turned, stock, choreo.StepCompensated, "reserve-stock", "")
	r.add(turned, orders, choreo.StepCompensated, "place-order", "")
	r.row(turned, orders, "place-order", choreo.RowUndone, "execute", "compensate")
	r.row(turned, stock, "reserve-stock", choreo.RowUndone, "execute", "compensate")
	r.row(turned, payments, "authorise", choreo.RowSkipped, "execute")
	r.row(turned, shipping, "hand-out", choreo.RowSkipped)
	return r
}

// add adds the next event of a saga, a minute after the one before.
func (r *remains) add(id sagaID, source string, t choreo.EventType, step, code string) *choreo.Event {
	n := len(r.events[id])
	ev := &choreo.Event{
		ID: fmt.Sprint(id, n), Type: t, Saga: id.saga, Version: 1, SagaID: id.id, Step: step, Source: source, Initiator: orders,
		Time: time.Date(2026, 1, 1, 0, n, 0, 0, time.UTC), Partition: 3, Offset: int64(n), Attempt: 1,
	}
	if code != "" {
		ev.Failure = &choreo.Failure{Class: choreo.ClassRefused, Code: code}
	}
	r.events[id] = append(r.events[id], ev)
	return ev
}

func (r *remains) row(id sagaID, service, step string, state choreo.RowState, deeds ...string) {
	key := stepID{id.saga, id.id, step}
	r.stepRows[key] = stepRow{service: service, state: state, announced: state == choreo.RowSkipped}
	for _, what := range deeds {
		r.deeds[deed{key, what}]++
	}
}

// drop takes the events of a type away, and change changes the first.
func (r *remains) drop(id sagaID, t choreo.EventType, step string) {
	r.events[id] = slices.DeleteFunc(r.events[id], func(ev *choreo.Event) bool { return ev.Type == t && ev.Step == step })
}

func (r *remains) first(id sagaID, t choreo.EventType, step string) *choreo.Event {
	i := slices.IndexFunc(r.events[id], func(ev *choreo.Event) bool { return ev.Type == t && ev.Step == step })
	return r.events[id][i]
}

// set changes a value of a map of structs.
func set[K comparable, V any](in map[K]V, key K, change func(*V)) {
	v := in[key]
	change(&v)
	in[key] = v
}

func TestTheAuditFindsNothingInAGoodRun(t *testing.T) {
	findings, tally := sample().check()
	require.Empty(t, findings)
	require.Equal(t, 1, tally.completed)
	require.Equal(t, map[string]int{"deadline": 1}, tally.causes)
	require.Equal(t, 1, tally.rejectedDone)

	r := sample() // repetitions, also stale ones, are what readers have to bear
	r.events[sent] = append(r.events[sent], r.events[sent][:4]...)
	findings, tally = r.check()
	require.Empty(t, findings)
	require.Equal(t, 4, tally.repetitions)
}

// Each of these is what a fault would leave; the audit must find it.
func TestTheAuditFinds(t *testing.T) {
	authoriseSent := stepID{sent.saga, sent.id, "authorise"}
	reserveSent := stepID{sent.saga, sent.id, "reserve-stock"}
	undoPlace := deed{stepID{turned.saga, turned.id, "place-order"}, "compensate"}
	for name, c := range map[string]struct {
		spoil func(*remains)
		text  string
	}{
		"an order that got lost":             {func(r *remains) { delete(r.events, sent) }, "not in the log"},
		"a saga that has not ended":          {func(r *remains) { r.drop(sent, choreo.StepCompleted, "confirm") }, "has not ended: it is running"},
		"a saga that stops on its way back":  {func(r *remains) { r.drop(turned, choreo.StepCompensated, "place-order") }, "it is compensating"},
		"a saga of nobody":                   {func(r *remains) { r.add(sagaID{"pickup", "o-9"}, orders, choreo.Started, "", "") }, "never accepted"},
		"a saga row of nobody":               {func(r *remains) { r.sagaRows[sagaID{"pickup", "o-9"}] = sagaRow{} }, "never accepted"},
		"a step row of nobody":               {func(r *remains) { r.stepRows[stepID{"pickup", "o-9", "authorise"}] = stepRow{} }, "never accepted"},
		"a deed of nobody":                   {func(r *remains) { r.deeds[deed{stepID{"pickup", "o-9", "authorise"}, "execute"}]++ }, "never accepted"},
		"a row of no step":                   {func(r *remains) { r.stepRows[stepID{sent.saga, sent.id, "hand-out"}] = stepRow{} }, "does not have"},
		"a deed of no step":                  {func(r *remains) { r.deeds[deed{stepID{sent.saga, sent.id, "hand-out"}, "execute"}]++ }, "does not have"},
		"a purchase of nobody":               {func(r *remains) { r.purchases[sagaID{"pickup", "o-9"}] = entry{} }, "never accepted"},
		"a receipt of nobody":                {func(r *remains) { r.receipts[sagaID{"pickup", "o-9"}] = true }, "never accepted"},
		"no receipt":                         {func(r *remains) { delete(r.receipts, sent) }, "there is no receipt"},
		"a dead letter":                      {func(r *remains) { r.letters = append(r.letters, "dead letter of o-1") }, "dead letter"},
		"an entry in an outbox":              {func(r *remains) { r.backlog[stock] = 1 }, "outbox of stock"},
		"a parked record":                    {func(r *remains) { r.parked = map[string]int{stock: 1} }, "parked in stock"},
		"an open saga row":                   {func(r *remains) { set(r.sagaRows, sent, func(s *sagaRow) { s.state = choreo.RowOpen }) }, "its row should be"},
		"a deadline that is left":            {func(r *remains) { set(r.sagaRows, sent, func(s *sagaRow) { s.due = true }) }, "its row should be"},
		"a retry that is left":               {func(r *remains) { set(r.stepRows, reserveSent, func(s *stepRow) { s.due = true }) }, "reserve-stock is completed"},
		"a row that went on":                 {func(r *remains) { set(r.stepRows, reserveSent, func(s *stepRow) { s.state = choreo.RowUndone }) }, "reserve-stock is completed"},
		"a row that is missing":              {func(r *remains) { delete(r.stepRows, reserveSent) }, "reserve-stock is completed"},
		"a row in the wrong service":         {func(r *remains) { set(r.stepRows, reserveSent, func(s *stepRow) { s.service = shipping }) }, "reserve-stock is completed"},
		"a step that was executed twice":     {func(r *remains) { r.deeds[deed{reserveSent, "execute"}]++ }, "execute committed 2 times"},
		"a step that never was":              {func(r *remains) { r.deeds[deed{reserveSent, "execute"}] = 0 }, "execute committed 0 times"},
		"a step that was undone twice":       {func(r *remains) { r.deeds[undoPlace]++ }, "compensate committed 2 times"},
		"a step that was undone for nothing": {func(r *remains) { r.deeds[deed{reserveSent, "compensate"}]++ }, "compensate committed 1 times"},
		"a step that was answered twice":     {func(r *remains) { r.deeds[deed{authoriseSent, "answer"}]++ }, "answer committed 2 times"},
		"an answer that got lost":            {func(r *remains) { r.bank[sent] = "open" }, `should be "answered", but it is "open"`},
		"two completions":                    {func(r *remains) { r.add(sent, stock, choreo.StepCompleted, "reserve-stock", "") }, "2 different events say"},
		"an event in another partition":      {func(r *remains) { r.first(sent, choreo.StepCompleted, "ship").Partition = 4 }, "stands in partition 4"},
		"events in the wrong order": {func(r *remains) {
			r.first(sent, choreo.StepCompleted, "place-order").Time = r.first(sent, choreo.StepCompleted, "confirm").Time.Add(time.Second)
		}, "but stands before it"},
		"a request without an answer": {func(r *remains) { r.drop(sent, choreo.AbortRejected, "") }, "has no answer"},
		"a request that was not passed on": {func(r *remains) {
			r.drop(sent, choreo.AbortRejected, "")
			r.drop(sent, choreo.AbortRequested, "")
			r.add(sent, stock, choreo.AbortRequested, "", "cancelled")
		}, "has no answer"},
		"a cancel that got lost": {func(r *remains) { r.orders[sent].cancelled = 2 }, "2 cancels were accepted, 1 are in the log"},
		"a deadline that came early": {func(r *remains) {
			r.first(turned, choreo.Started, "").Time = r.first(turned, choreo.AbortRequested, "").Time
		}, "was passed after 0s"},
		"a deadline that fired twice":   {func(r *remains) { r.add(turned, orders, choreo.AbortRequested, "", "deadline") }, "was passed 2 times"},
		"a step undone too early":       {undoTooEarly, "was undone before authorise"},
		"a pivot that does not commit":  {func(r *remains) { r.add(sent, payments, choreo.Aborted, "", "cancelled") }, "although its pivot has completed"},
		"a saga that outran its answer": {func(r *remains) { r.orders[sent].Purchase.Answer = silent }, "it completed, though silent"},
		"an outage taken for a failure": {func(r *remains) { r.first(turned, choreo.Aborted, "").Failure.Code = "panic" }, `"panic"`},
		"goods that got lost":           {func(r *remains) { set(r.stock, "sku-51", func(l *level) { l.free-- }) }, "sku-51: there were 10, now 9"},
		"goods reserved for nobody":     {func(r *remains) { r.stock["sku-51"] = level{10, 9, 1} }, "9 are on hand and 1 reserved"},
		"money that got lost":           {func(r *remains) { set(r.accounts, "customer-050", func(l *level) { l.free-- }) }, "customer-050: there were 1000 cents"},
		"money that was not charged":    {func(r *remains) { set(r.holds, sent, func(e *entry) { e.status = "held" }) }, "its hold should be"},
		"money of somebody else":        {func(r *remains) { set(r.holds, sent, func(e *entry) { e.of = "customer-051" }) }, "its hold should be"},
		"a parcel that was not sent":    {func(r *remains) { delete(r.shipments, sent) }, "its shipment should be"},
		"a parcel for nobody":           {func(r *remains) { r.shipments[turned] = entry{"handed-out", "sku-51", 1} }, "its shipment should be"},
		"an order still placed":         {func(r *remains) { set(r.purchases, turned, func(e *entry) { e.status = "placed" }) }, "its purchase should be"},
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			c.spoil(r)
			findings, _ := r.check()
			var texts string
			for _, f := range findings {
				texts += f.String() + "\n"
			}
			require.Contains(t, texts, c.text)
		})
	}
}

// undoTooEarly has the bank answer, so that authorise is undone, but after place-order.
func undoTooEarly(r *remains) {
	id := stepID{turned.saga, turned.id, "authorise"}
	r.first(turned, choreo.StepSkipped, "authorise").Type = choreo.StepCompleted
	r.add(turned, payments, choreo.StepCompensated, "authorise", "")
	set(r.stepRows, id, func(s *stepRow) { s.state, s.announced = choreo.RowUndone, false })
	r.deeds[deed{id, "answer"}]++
	r.deeds[deed{id, "compensate"}]++
	r.bank[turned] = "answered"
	r.holds[turned] = entry{"released", "customer-051", 500}
	r.orders[turned].Purchase.Answer = approves
}
