package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

// A unit of work writes business data, the row of a step and the event about it in one
// transaction; a relay claims the event and deletes it once the log has it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "choreo")
	check(err)
	defer func() { check(os.RemoveAll(dir)) }()
	db, err := sqlite.Open(filepath.Join(dir, "payments.db"), nil)
	check(err)
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE TABLE payments (order_id TEXT, cents INTEGER)")
	check(err)

	store := sqlite.New(db, nil)
	check(store.Migrate(ctx))
	id := outbox.SagaID{Saga: "order", ID: "order-7"}
	unit, err := store.Begin(ctx, id)
	check(err)
	_, err = unit.Tx().ExecContext(ctx, "INSERT INTO payments VALUES ('order-7', 1999)")
	check(err)
	check(unit.Commit(ctx, outbox.Changes{
		Steps: []outbox.StepRow{{SagaID: id, Step: "charge-payment", Version: 1, Row: choreo.Row{State: choreo.RowCompleted}}},
		Entries: []outbox.Entry{{
			ID:   "0197f2d0-5a1c-7cc3-9f3b-0123456789ab",
			Type: string(choreo.StepCompleted),
			Record: choreo.Record{
				Topic: "choreo.order.events", Key: []byte(id.ID), Value: []byte(`{"receipt":"R-1"}`),
			},
		}},
	}))

	claim, err := store.Claim(ctx, 100, nil)
	check(err)
	for _, e := range claim.Entries() {
		fmt.Printf("%s %s %s\n", e.Record.Key, e.Type, e.Record.Value)
		check(claim.Done(ctx, []int64{e.Seq}))
	}
	check(claim.Release(ctx))
	backlog, err := store.Backlog(ctx)
	check(err)
	fmt.Println("left:", backlog.Entries)
	// Output:
	// order-7 choreo.step.completed {"receipt":"R-1"}
	// left: 0
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
