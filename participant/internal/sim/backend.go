package sim

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	modernc "modernc.org/sqlite"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

// backend is a process's connection to its service's database.
type backend struct {
	store      outbox.Store[*tx]
	openTx     func(ctx context.Context) (*opened, error)
	disconnect func()
	kill       func()
}

// inMemory keeps the service's rows in memory.
func (s *service) inMemory() {
	db := memory.NewDatabase()
	db.SetClock(func() time.Time { return time.Now().Add(s.db.skew) })
	s.rows = committedRows(memory.New(db))
	s.connect = func(p *process) *backend {
		store := memory.New(db)
		store.SetWait(p.w.wait)
		c := &connection[*memory.Tx]{
			p: p, inner: store,
			wrap: func(t *memory.Tx) *tx { return countersInMemory(p, t) },
			begin: func(ctx context.Context) (*memory.Tx, func(context.Context) error, func(), error) {
				t, err := store.BeginTx(ctx)
				if err != nil {
					return nil, nil, nil, err
				}
				return t, t.Commit, func() { _ = t.Rollback(context.Background()) }, nil // nothing is left to undo
			},
		}
		return &backend{store: c, openTx: c.openTx, disconnect: store.Disconnect, kill: store.Kill}
	}
}

func countersInMemory(p *process, t *memory.Tx) *tx {
	const table = "effects"
	return &tx{
		inner: t, p: p,
		get: func(key string) (n int, err error) {
			text, found, err := t.Get(table, key)
			if err == nil && found {
				_, err = fmt.Sscan(text, &n)
			}
			return n, err
		},
		put: func(key string, n int) error { return t.Put(table, key, fmt.Sprint(n)) },
	}
}

// clocks are the clocks of services whose databases are SQLite, which asks them by a function
// of SQL. The driver knows functions for all databases of the program alone.
var (
	clocks     sync.Map // number → func() time.Time
	lastClock  atomic.Int64
	clockOnce  sync.Once
	clockFault error
)

// newClock makes a clock known to SQLite and returns the expression that asks it.
func newClock(now func() time.Time) (string, error) {
	clockOnce.Do(func() {
		clockFault = modernc.RegisterScalarFunction("sim_now", 1, func(_ *modernc.FunctionContext, args []driver.Value) (driver.Value, error) {
			clock, ok := clocks.Load(args[0])
			if !ok {
				return nil, errors.New("no such clock")
			}
			return clock.(func() time.Time)().UnixMicro(), nil
		})
	})
	n := lastClock.Add(1)
	clocks.Store(n, now)
	return fmt.Sprintf("sim_now(%d)", n), clockFault
}

// inSQLite keeps the service's rows in a file of SQLite.
func (s *service) inSQLite(folder string) error {
	ctx := context.Background()
	path := filepath.Join(folder, fmt.Sprintf("%s-%d-%d.db", s.name, s.w.seed, lastClock.Load()))
	clock, err := newClock(func() time.Time { return time.Now().Add(s.db.skew) })
	if err != nil {
		return err
	}
	s.db.exclusive = true
	open := func() (*sql.DB, *sqlite.Store, error) {
		db, err := sqlite.Open(path, nil)
		if err != nil {
			return nil, nil, err
		}
		s.closers = append(s.closers, func() { _ = db.Close() }) // of a file that nobody needs any more
		return db, sqlite.New(db, &sqlite.Config{Clock: clock}), nil
	}
	db, store, err := open()
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "CREATE TABLE effects (effect TEXT PRIMARY KEY, n INTEGER)")
	}
	if err != nil {
		return err
	}
	s.rows = committedRows(store)
	s.connect = func(p *process) *backend {
		db, store, err := open()
		if err != nil {
			s.w.fail("boot", "", err.Error())
			return nil
		}
		c := &connection[*sql.Tx]{
			p: p, inner: store,
			wrap: func(t *sql.Tx) *tx { return countersInSQL(p, t) },
			begin: func(ctx context.Context) (*sql.Tx, func(context.Context) error, func(), error) {
				t, err := db.BeginTx(context.WithoutCancel(ctx), nil)
				if err != nil {
					return nil, nil, nil, err
				}
				return t, func(context.Context) error { return t.Commit() }, func() { _ = t.Rollback() }, nil // nothing is left to undo
			},
		}
		return &backend{store: c, openTx: c.openTx, disconnect: func() {}, kill: func() {}}
	}
	return nil
}

func countersInSQL(p *process, t *sql.Tx) *tx {
	ctx := context.Background()
	return &tx{
		inner: t, p: p,
		get: func(key string) (n int, err error) {
			err = t.QueryRowContext(ctx, "SELECT n FROM effects WHERE effect = $1", key).Scan(&n)
			if errors.Is(err, sql.ErrNoRows) {
				err = nil
			}
			return n, err
		},
		put: func(key string, n int) error {
			_, err := t.ExecContext(ctx, "INSERT INTO effects VALUES ($1, $2) ON CONFLICT (effect) DO UPDATE SET n = excluded.n", key, n)
			return err
		},
	}
}

// committedRows returns how to look at rows, past all that can fail.
func committedRows[Tx any](store outbox.Store[Tx]) func(outbox.SagaID) (outbox.Rows, error) {
	return func(id outbox.SagaID) (outbox.Rows, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		unit, err := store.Begin(ctx, id)
		if err != nil {
			return outbox.Rows{}, err
		}
		return unit.Rows(id), unit.Rollback(context.Background())
	}
}
