package outbox_test

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

// printer is a publisher that acknowledges what it prints.
type printer struct{}

func (printer) Publish(_ context.Context, records []choreo.Record) []error {
	for _, r := range records {
		fmt.Printf("%s: %s %s\n", r.Topic, r.Key, r.Value)
	}
	return nil
}

// A relay moves what units of work committed to the log. Told to stop, it first publishes what
// is there.
func ExampleRelay() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db := memory.NewDatabase()
	store := memory.New(db)
	relay := outbox.NewRelay(store, printer{}, nil)
	done := make(chan error)
	go func() { done <- relay.Run(ctx) }()

	saga := outbox.SagaID{Saga: "order", ID: "order-7"}
	for i, payload := range []string{`{"total":"12.50"}`, `{"receipt":"r-1"}`} {
		unit, err := store.Begin(ctx, saga)
		if err != nil {
			fmt.Println(err)
			return
		}
		err = unit.Commit(ctx, outbox.Changes{Entries: []outbox.Entry{{
			ID:   fmt.Sprintf("019a0b7e-5f3c-7d21-9d3a-2f0c8a4b6e1%d", i),
			Type: string(choreo.StepCompleted),
			Record: choreo.Record{
				Topic: "choreo.order.events", Partition: choreo.AnyPartition,
				Key: []byte(saga.ID), Value: []byte(payload),
			},
		}}})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	cancel()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	fmt.Println("published:", relay.Stats().Published, "left:", len(db.Snapshot().Entries))
	// Output:
	// choreo.order.events: order-7 {"total":"12.50"}
	// choreo.order.events: order-7 {"receipt":"r-1"}
	// published: 2 left: 0
}
