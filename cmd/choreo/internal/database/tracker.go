package database

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/tracker/postgres"
	"github.com/choreo-go/choreo/tracker/sqlite"
)

func trackerSQLite(file string) (*Database, error) {
	model, err := sqlite.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the database: %w", err)
	}
	return &Database{
		Kind: "SQLite", Version: model.Version, Migrate: model.Migrate, Close: model.Close,
	}, nil
}

func trackerPostgres(database *Database, pool *pgxpool.Pool, schema string) {
	model := postgres.New(pool, &postgres.Config{Schema: schema})
	database.Version, database.Migrate = model.Version, model.Migrate
}
