package postgres_test

import (
	"context"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
)

// A service makes a store over its own pool, in a schema of its own, and brings the
// tables up to date at its start.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://payments@localhost/shop")
	check(err)
	defer pool.Close()
	store := postgres.New(pool, &postgres.Config{Schema: "payments"})
	check(store.Migrate(ctx))

	id := outbox.SagaID{Saga: "order", ID: "order-7"}
	unit, err := store.Begin(ctx, id)
	check(err)
	defer unit.Rollback(ctx) // after Commit it does nothing
	_, err = unit.Tx().Exec(ctx, "INSERT INTO payments (order_id, cents) VALUES ($1, $2)", id.ID, 1999)
	check(err)
	check(unit.Commit(ctx, outbox.Changes{
		Steps: []outbox.StepRow{{SagaID: id, Step: "charge-payment", Version: 1, Row: choreo.Row{State: choreo.RowCompleted}}},
	}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
