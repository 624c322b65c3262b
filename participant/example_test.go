package participant_test

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// The contract, which every service imports.
type (
	Parcel  struct{ To string }
	Label   struct{ Number string }
	Receipt struct{ Cents int }
)

var (
	printLabel = choreo.NewStep[Parcel, Label]("print-label")
	takeMoney  = choreo.NewStep[Label, Receipt]("take-money")

	shipment = choreo.MustDefine[Parcel]("shipment", 1,
		printLabel.OwnedBy("depot"),
		takeMoney.OwnedBy("till").After(printLabel).NoCompensation(),
	)
)

// printer is the depot's handler. Its transaction type is that of the depot's store.
type printer struct{}

func (printer) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[Parcel]) (Label, error) {
	return Label{Number: "L-1"}, tx.Put("labels", call.SagaID, call.Input.To)
}

func (printer) Compensate(_ context.Context, tx *memory.Tx, call *participant.Call[Parcel], label Label) error {
	fmt.Println("the depot takes back", label.Number)
	return tx.Delete("labels", call.SagaID)
}

// Two services in one process: the till refuses a parcel, and the depot takes its label
// back.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	log := memorylog.New(memorylog.Options{Partitions: 1})
	sagas := []choreo.AnySaga{shipment}

	depot, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{Service: "depot", Sagas: sagas})
	if err != nil {
		panic(err)
	}
	participant.Handle(depot, printLabel, printer{})

	till, err := participant.New[*memory.Tx](log, memory.New(memory.NewDatabase()), &participant.Config{Service: "till", Sagas: sagas})
	if err != nil {
		panic(err)
	}
	participant.HandleForward(till, takeMoney, participant.ExecuteFunc[*memory.Tx, Label, Receipt](
		func(_ context.Context, _ *memory.Tx, call *participant.Call[Label]) (Receipt, error) {
			return Receipt{}, choreo.Refusef("no-cash", "nobody pays for %s", call.Input.Number)
		}))

	names, _ := topics.NewNames("choreo")
	plan, err := topics.NewPlan(ctx, log, topics.Topology(names, sagas, topics.TopologyOptions{}))
	if err != nil {
		panic(err)
	}
	if err := plan.Apply(ctx, log); err != nil {
		panic(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- depot.Run(ctx) }()
	go func() { ended <- till.Run(ctx) }()

	if _, err := participant.Start(ctx, depot, shipment, "parcel-7", Parcel{To: "Ada"}); err != nil {
		panic(err)
	}
	saga := choreo.NewInstance(shipment.Definition)
	err = log.WaitUntil(ctx, func() bool {
		for _, rec := range log.Records(names.Events("shipment")) {
			if ev, err := topics.Decode(&rec); err == nil {
				saga.Apply(ev)
			}
		}
		return saga.Status.Ended()
	})
	fmt.Println(saga.Status, saga.CauseStep, saga.Cause.Code, err)

	stop()
	fmt.Println(<-ended, <-ended, log.Close())
	// Output:
	// the depot takes back L-1
	// compensated take-money no-cash <nil>
	// <nil> <nil> <nil>
}
