package choreo_test

import (
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

type (
	OrderPlaced  struct{ Customer string }
	OrderCreated struct{ OrderID string }
	Receipt      struct{ PaymentID string }
)

// The contract: what every service imports.
var (
	CreateOrder = choreo.NewStep[OrderPlaced, OrderCreated]("create-order")
	ChargeCard  = choreo.NewStep[OrderCreated, Receipt]("charge-card")

	Order = choreo.MustDefine[OrderPlaced]("order", 1,
		CreateOrder.OwnedBy("orders"),
		ChargeCard.OwnedBy("payments").After(CreateOrder).Timeout(10*time.Second),
		choreo.Deadline(30*time.Minute),
	)
)

func Example() {
	fmt.Println(Order, "within", Order.Deadline())
	for _, step := range Order.Steps() {
		fmt.Println(step.Name, "by", step.Owner, "after", step.After)
	}
	// Output:
	// order/1 within 30m0s
	// create-order by orders after []
	// charge-card by payments after [create-order]
}

func ExampleDefine() {
	_, err := choreo.Define[OrderPlaced]("order", 0,
		CreateOrder.OwnedBy("orders").UndoAfter(ChargeCard),
		ChargeCard.OwnedBy(""),
	)
	fmt.Println(err)
	// Output:
	// saga order/0 has 4 fault(s):
	//   - version 0: versions start at 1 [version]
	//   - step "charge-card": nobody owns it: name a service in OwnedBy [no-owner]
	//   - step "create-order": UndoAfter needs choreo.Compensation(choreo.CustomOrder) [undo-after]
	//   - step "charge-card": its input is choreo_test.OrderCreated but it waits for nothing and so gets the saga's input: make it choreo_test.OrderPlaced [type]
}

// The orders service reads two events of one saga: the start, and the refusal of the
// payment. What a decision says belongs into one transaction.
func ExampleReact() {
	var row choreo.Row // as the database has it: none yet
	show := func(d choreo.Decision) {
		row = d.Row
		fmt.Print("row ", row.State)
		for _, e := range d.Emit {
			fmt.Print(", emit ", e.Type)
		}
		fmt.Println()
	}

	started := &choreo.Event{Type: choreo.Started, Payload: []byte(`{"Customer":"ann"}`)}
	decision := choreo.React(Order.Def(), "create-order", row, started)
	fmt.Println("run", decision.Run)
	show(choreo.Conclude(Order.Def(), "create-order", decision.Row, decision.Run, choreo.Result{
		Output: choreo.Output{ContentType: "application/json", Data: []byte(`{"OrderID":"17"}`)},
	}))

	refused := &choreo.Event{Type: choreo.StepFailed, Step: "charge-card"}
	decision = choreo.React(Order.Def(), "create-order", row, refused)
	fmt.Println("run", decision.Run)
	show(choreo.Conclude(Order.Def(), "create-order", decision.Row, decision.Run, choreo.Result{}))

	show(choreo.React(Order.Def(), "create-order", row, refused)) // a duplicate
	// Output:
	// run execute
	// row completed, emit choreo.step.completed
	// run compensate
	// row undone, emit choreo.step.compensated
	// row undone
}

func ExampleInstance_Apply() {
	saga := choreo.NewInstance(Order.Def())
	for _, ev := range []choreo.Event{
		{Type: choreo.Started, SagaID: "order-17"},
		{Type: choreo.StepCompleted, Step: "create-order"},
		{Type: choreo.StepFailed, Step: "charge-card", Failure: &choreo.Failure{Code: "card-declined"}},
		{Type: choreo.StepFailed, Step: "charge-card", Failure: &choreo.Failure{Code: "card-declined"}},
		{Type: choreo.StepCompensated, Step: "create-order"},
	} {
		changed := saga.Apply(&ev)
		fmt.Println(ev.Type, changed, saga.Status)
	}
	fmt.Println(saga.ID, "turned back by", saga.CauseStep, saga.Cause.Code)
	// Output:
	// choreo.saga.started true running
	// choreo.step.completed true running
	// choreo.step.failed true compensating
	// choreo.step.failed false compensating
	// choreo.step.compensated true compensated
	// order-17 turned back by charge-card card-declined
}

func ExampleRetryPolicy_Delay() {
	policy := choreo.ExponentialRetry(5, time.Second, 5*time.Second)
	for attempt := 1; !policy.Exhausted(attempt); attempt++ {
		fmt.Println(policy.Delay(attempt, 0.5)) // a random number in [0, 1)
	}
	// Output:
	// 750ms
	// 1.5s
	// 3s
	// 5s
}

func ExampleClassify() {
	err := fmt.Errorf("charge: %w", choreo.Refusef("card-declined", "limit of %d reached", 500))
	failure := choreo.Classify(err)
	fmt.Println(failure.Class, failure.Code, failure.Class.Retried())
	// Output:
	// refused card-declined false
}
