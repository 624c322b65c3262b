package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/outbox/postgres"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

// Tables says whose tables are meant.
type Tables string

// The tables.
const (
	Outbox  Tables = "outbox"  // of a service
	Tracker Tables = "tracker" // of a tracker's model
)

// Database is a database.
type Database struct {
	// Kind is "SQLite" or "PostgreSQL".
	Kind string
	// Version returns the version of its tables, 0 where there are none, and that of this build.
	Version func(ctx context.Context) (have, want int, err error)
	// Migrate brings the tables to this build's version.
	Migrate func(ctx context.Context) error
	// Now returns the database's clock; nil where it has none of its own.
	Now func(ctx context.Context) (time.Time, error)
	// Close closes it.
	Close func() error
}

// Open opens the database at an address. create says that a file that does not exist is made.
func Open(ctx context.Context, address, schema string, tables Tables, create bool) (*Database, error) {
	if address == "" {
		return nil, exit.Usagef("no database is named: say --database sqlite:FILE or postgres://…, or set CHOREO_DATABASE")
	}
	if file, ok := strings.CutPrefix(address, "sqlite:"); ok {
		if schema != "" {
			return nil, exit.Usagef("--database-schema is for PostgreSQL: SQLite has none")
		}
		return openSQLite(file, tables, create)
	}
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		return openPostgres(ctx, address, schema, tables)
	}
	return nil, exit.Usagef("the database's address makes no sense: write sqlite:FILE or a postgres:// URL")
}

func openSQLite(file string, tables Tables, create bool) (*Database, error) {
	_, err := os.Stat(file)
	switch {
	case file == "":
		return nil, exit.Usagef("--database sqlite: names no file: write sqlite:FILE")
	case errors.Is(err, fs.ErrNotExist) && !create:
		return nil, exit.NotFoundf("there is no file %s: 'choreo db migrate' makes it", file)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the database: %w", err)
	}
	if tables == Tracker {
		return trackerSQLite(file)
	}
	db, err := sqlite.Open(file, nil)
	if err != nil {
		return nil, fmt.Errorf("the database: %w", err)
	}
	store := sqlite.New(db, nil)
	return &Database{
		Kind: "SQLite", Version: store.Version, Migrate: store.Migrate, Close: db.Close,
	}, nil
}

func openPostgres(ctx context.Context, address, schema string, tables Tables) (*Database, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil { // pgx keeps the password out of what it says
		return nil, exit.With(exit.Usage, fmt.Errorf("the database's address: %w", err))
	}
	config.MaxConns = max(2, min(config.MaxConns, 4))
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err == nil {
		err = pool.Ping(ctx)
	}
	if err != nil {
		if pool != nil {
			pool.Close()
		}
		return nil, fmt.Errorf("PostgreSQL at %s cannot be reached: %w: start it, or mend CHOREO_DATABASE", config.ConnConfig.Host, err)
	}
	database := &Database{
		Kind: "PostgreSQL",
		Now: func(ctx context.Context) (now time.Time, err error) {
			err = pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
			return now, err
		},
		Close: func() error { pool.Close(); return nil },
	}
	if tables == Tracker {
		trackerPostgres(database, pool, schema)
		return database, nil
	}
	store := postgres.New(pool, &postgres.Config{Schema: schema})
	database.Version, database.Migrate = store.Version, store.Migrate
	return database, nil
}
