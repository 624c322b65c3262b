package postgres_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/postgres"
)

func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://tracker@localhost/sagas")
	check(err)
	defer pool.Close()
	model := postgres.New(pool, &postgres.Config{Schema: "tracker"})
	check(model.Migrate(ctx))
	page, err := model.List(ctx, tracker.Query{Filter: tracker.Filter{Statuses: []choreo.Status{choreo.StatusStuck}}})
	check(err)
	for _, s := range page.Sagas {
		fmt.Println(s.Saga, s.ID)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
