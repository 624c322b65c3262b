package memory_test

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

// A handler's write, the row of its step and the event commit together.
func Example() {
	ctx := context.Background()
	db := memory.NewDatabase()
	store := memory.New(db)

	saga := outbox.SagaID{Saga: "order", ID: "order-7"}
	unit, err := store.Begin(ctx, saga)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := unit.Tx().Put("payments", "order-7", "12.50"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("before:", db.Snapshot().Tables)
	err = unit.Commit(ctx, outbox.Changes{
		Steps: []outbox.StepRow{{SagaID: saga, Step: "charge", Version: 1, Row: choreo.Row{State: choreo.RowCompleted}}},
		Entries: []outbox.Entry{{
			ID:     "019a0b7e-5f3c-7d21-9d3a-2f0c8a4b6e10",
			Type:   string(choreo.StepCompleted),
			Record: choreo.Record{Topic: "choreo.order.events", Key: []byte(saga.ID), Value: []byte(`{"paid":"12.50"}`)},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := db.Snapshot()
	fmt.Println("after: ", now.Tables, now.Steps[0].State, string(now.Entries[0].Record.Value))
	// Output:
	// before: map[]
	// after:  map[payments:map[order-7:12.50]] completed {"paid":"12.50"}
}
