package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
)

// Whatever is the first statement of a part, it is undone with it; and a statement that fails
// takes nothing with it but its part.
func TestPostgresPartsWithEveryKindOfStatement(t *testing.T) {
	db := newOutboxDatabase(t)
	store, _, _, schema := db.stores(t, nil)
	ctx := t.Context()
	table := pgx.Identifier{schema, "users_own"}
	literal := func(key string) string {
		return fmt.Sprintf("INSERT INTO %s VALUES ('%s', '1')", table.Sanitize(), key)
	}
	returning := put(schema) + " RETURNING key"
	kinds := map[string]func(tx pgx.Tx, key string) error{
		"exec":   func(tx pgx.Tx, key string) error { _, err := tx.Exec(ctx, put(schema), key, "1"); return err },
		"queued": func(tx pgx.Tx, key string) error { return postgres.Queue(ctx, tx, put(schema), key, "1") },
		"queued ahead of another": func(tx pgx.Tx, key string) error {
			if err := postgres.Queue(ctx, tx, put(schema), key, "0"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "UPDATE "+table.Sanitize()+" SET value = '1' WHERE key = $1 AND value = '0'", key)
			return err
		},
		"queued behind another": func(tx pgx.Tx, key string) error {
			if _, err := tx.Exec(ctx, put(schema), key, "0"); err != nil {
				return err
			}
			return postgres.Queue(ctx, tx, "UPDATE "+table.Sanitize()+" SET value = '1' WHERE key = $1 AND value = '0'", key)
		},
		"queued in a savepoint": func(tx pgx.Tx, key string) error {
			return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return postgres.Queue(ctx, tx, put(schema), key, "1") })
		},
		"without argument": func(tx pgx.Tx, key string) error { _, err := tx.Exec(ctx, literal(key)); return err },
		"several at once": func(tx pgx.Tx, key string) error {
			_, err := tx.Exec(ctx, literal(key)+";"+literal(key+" and more"))
			return err
		},
		"with an option": func(tx pgx.Tx, key string) error {
			_, err := tx.Exec(ctx, put(schema), pgx.QueryExecModeExec, key, "1")
			return err
		},
		"named": func(tx pgx.Tx, key string) error {
			_, err := tx.Exec(ctx, "INSERT INTO "+table.Sanitize()+" VALUES (@key, '1')", pgx.NamedArgs{"key": key})
			return err
		},
		"query": func(tx pgx.Tx, key string) error {
			rows, err := tx.Query(ctx, returning, key, "1")
			if err != nil {
				return err
			}
			got, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
			if err == nil && got != key {
				err = fmt.Errorf("got %q", got)
			}
			return err
		},
		"query that is left open": func(tx pgx.Tx, key string) error {
			_, err := tx.Query(ctx, returning, key, "1") //nolint:sqlclosecheck,gocritic // that is what is tested
			return err
		},
		"row": func(tx pgx.Tx, key string) error { return tx.QueryRow(ctx, returning, key, "1").Scan(&key) },
		"batch": func(tx pgx.Tx, key string) error {
			b := &pgx.Batch{}
			b.Queue(put(schema), key, "1")
			return tx.SendBatch(ctx, b).Close()
		},
		"copy": func(tx pgx.Tx, key string) error {
			_, err := tx.CopyFrom(ctx, table, []string{"key", "value"}, pgx.CopyFromRows([][]any{{key, "1"}}))
			return err
		},
		"savepoint": func(tx pgx.Tx, key string) error {
			return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, put(schema), key, "1"); return err })
		},
	}
	fail := func(tx pgx.Tx) {
		_, err := tx.Exec(ctx, "SELECT 1 / $1::int", 0)
		var sent *pgconn.PgError
		require.ErrorAs(t, err, &sent)
		require.Equal(t, "22012", sent.Code)
	}
	for name, write := range kinds {
		t.Run(name, func(t *testing.T) {
			u, err := store.BeginGroup(ctx, outbox.Group{}, orderID(1), orderID(2))
			require.NoError(t, err)
			defer func() { _ = u.Rollback(ctx) }() // it may have ended
			for n, undo := range []bool{true, false, true, false} {
				require.NoError(t, u.Part(ctx, true))
				require.NoError(t, write(u.Tx(), fmt.Sprintf("%s %d", name, n)))
				if n == 2 {
					fail(u.Tx())
				}
				if undo {
					require.NoError(t, u.UndoPart(ctx))
				}
			}
			require.NoError(t, u.Part(ctx, true))
			fail(u.Tx()) // behind the savepoint, in its batch
			require.NoError(t, u.UndoPart(ctx))
			require.NoError(t, u.Part(ctx, true))
			require.NoError(t, u.UndoPart(ctx), "nothing was sent")
			require.NoError(t, u.Commit(ctx, forwardStep(orderID(1))))
			for n, want := range []string{"", "1", "", "1"} {
				got, err := db.get(schema)(ctx, fmt.Sprintf("%s %d", name, n))
				require.NoError(t, err)
				require.Equal(t, want, got, "part %d", n)
			}
		})
	}
}

// Where it is not sure that there is a savepoint of this part, one of an earlier part must not be
// taken for it.
func TestPostgresPartsThatCannotBeUndone(t *testing.T) {
	db := newOutboxDatabase(t)
	store, _, _, schema := db.stores(t, nil)
	ctx := t.Context()
	for name, spoil := range map[string]func(pgx.Tx){
		"a statement that cannot be prepared": func(tx pgx.Tx) {
			_, err := tx.Exec(ctx, "INSERT INTO nowhere VALUES ($1)", 1)
			require.Error(t, err)
		},
		"statements past the store": func(tx pgx.Tx) {
			_, err := tx.Conn().Exec(ctx, put(schema), "b", "1")
			require.NoError(t, err)
		},
		"large objects": func(tx pgx.Tx) {
			large := tx.LargeObjects()
			_, err := large.Create(ctx, 0)
			require.NoError(t, err)
		},
		"a connection that is gone": func(tx pgx.Tx) {
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			_, err := tx.Exec(short, "SELECT pg_sleep($1)", 60)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		},
	} {
		u, err := store.BeginGroup(ctx, outbox.Group{}, orderID(1), orderID(2))
		require.NoError(t, err)
		require.NoError(t, u.Part(ctx, true))
		_, err = u.Tx().Exec(ctx, put(schema), "a", "1")
		require.NoError(t, err)
		require.NoError(t, u.Part(ctx, true))
		spoil(u.Tx())
		require.Error(t, u.UndoPart(ctx), name)
		require.NoError(t, u.Rollback(ctx), name)
	}
	u, err := store.BeginGroup(ctx, outbox.Group{}, orderID(1), orderID(2))
	require.NoError(t, err)
	require.NoError(t, u.Part(ctx, false))
	for _, end := range []string{"commit", "ROLLBACK;", " end", "abort work"} {
		_, err := u.Tx().Exec(ctx, end)
		require.ErrorIs(t, err, postgres.ErrNotYours, "it is not this handler's alone")
		var b pgx.Batch
		b.Queue(end)
		require.ErrorIs(t, u.Tx().SendBatch(ctx, &b).Close(), postgres.ErrNotYours)
	}
	require.NoError(t, u.UndoPart(ctx), "nothing was sent, which the store knows")
	require.NoError(t, u.Rollback(ctx))
	db.requireNothing(t, schema)
}

// Two groups that hold each other's rows crosswise are told soon, and a unit without a bound is
// not; a group that wants to be alone has others wait.
func TestPostgresGroupsThatCross(t *testing.T) {
	db := newOutboxDatabase(t)
	store, overSQL, _, schema := db.stores(t, nil)
	ctx := t.Context()
	group := outbox.Group{LockTimeout: 50 * time.Millisecond}
	write := func(u outbox.Unit[pgx.Tx], key string) error {
		_, err := u.Tx().Exec(ctx, put(schema), key, "1")
		return err
	}
	first, err := store.BeginGroup(ctx, group, orderID(1), orderID(2))
	require.NoError(t, err)
	require.NoError(t, write(first, "row"))
	second, err := store.BeginGroup(ctx, group, orderID(3), orderID(4))
	require.NoError(t, err)
	err = write(second, "row")
	require.True(t, store.Transient(err), "%v", err)
	require.NoError(t, second.Rollback(ctx))
	_, err = store.BeginGroup(ctx, group, orderID(1), orderID(5))
	require.True(t, store.Transient(err), "a saga that another unit holds: %v", err)
	_, err = overSQL.BeginGroup(ctx, group, orderID(1), orderID(5))
	require.True(t, overSQL.Transient(err), "%v", err)

	begun := make(chan error, 1)
	alone := group
	alone.Alone = true
	go func() {
		u, err := overSQL.BeginGroup(ctx, alone, orderID(3), orderID(4))
		if err == nil {
			err = u.Commit(ctx, outbox.Changes{})
		}
		begun <- err
	}()
	short, cancel := context.WithTimeout(ctx, 4*group.LockTimeout)
	defer cancel()
	select {
	case err := <-begun:
		require.NoError(t, err)
		require.Fail(t, "it is not alone")
	case <-short.Done():
	}
	lone, err := store.Begin(ctx, orderID(5))
	require.NoError(t, err, "units of one saga do not take turns")
	require.NoError(t, lone.Rollback(ctx))
	require.NoError(t, first.Commit(ctx, outbox.Changes{}))
	require.NoError(t, <-begun)
	lone, err = store.Begin(ctx, orderID(1))
	require.NoError(t, err)
	var timeout string
	require.NoError(t, lone.Tx().QueryRow(ctx, "SHOW lock_timeout").Scan(&timeout))
	require.Equal(t, "0", timeout, "the bound ends with its group")
	require.NoError(t, lone.Rollback(ctx))
}

// BenchmarkGroupParts is what the way back costs that a part leaves open: 64 sagas a
// transaction, a business statement each.
func BenchmarkGroupParts(b *testing.B) {
	const sagas = 64
	store, update := benchAccounts(b, 1)
	for _, workers := range []int{1, 2} {
		for _, undoable := range []bool{false, true} {
			b.Run(fmt.Sprintf("workers=%d/undoable=%t", workers, undoable), func(b *testing.B) {
				perSecond(b, workers, "units", func() error {
					err := benchGroup(b.Context(), store[0], sagas, undoable, func(tx pgx.Tx) error { return update(b.Context(), tx, 0) })
					for store[0].Transient(err) {
						err = benchGroup(b.Context(), store[0], sagas, undoable, func(tx pgx.Tx) error { return update(b.Context(), tx, 0) })
					}
					return err
				})
				b.ReportMetric(float64(sagas*b.N)/b.Elapsed().Seconds(), "steps/s")
			})
		}
	}
}

// benchAccounts returns stores over pools of their own and one database, and what a handler
// does: it updates one of so many rows, of all without a number.
func benchAccounts(b *testing.B, instances int) (stores []*postgres.Store, update func(ctx context.Context, tx pgx.Tx, rows int) error) {
	b.Helper()
	dsn := servers.Postgres(b)
	var pool *pgxpool.Pool
	for range instances {
		var err error
		pool, err = pgxpool.New(b.Context(), dsn)
		require.NoError(b, err)
		b.Cleanup(pool.Close)
		stores = append(stores, postgres.New(pool, nil))
	}
	require.NoError(b, stores[0].Migrate(b.Context()))
	_, err := pool.Exec(b.Context(), `DROP TABLE IF EXISTS bench_account;
		CREATE TABLE bench_account (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
		INSERT INTO bench_account SELECT generate_series(0, 9999)`)
	require.NoError(b, err)
	return stores, func(ctx context.Context, tx pgx.Tx, rows int) error {
		if rows == 0 {
			rows = 10_000
		}
		_, err := tx.Exec(ctx, "UPDATE bench_account SET balance = balance + 1 WHERE id = $1", rand.IntN(rows))
		return err
	}
}

// benchGroup is a unit of so many new sagas, each with a statement of its handler.
func benchGroup(ctx context.Context, store *postgres.Store, sagas int, undoable bool, handler func(pgx.Tx) error) error {
	ids := make([]outbox.SagaID, sagas)
	for i := range ids {
		ids[i] = outbox.SagaID{Saga: "order", ID: benchID()}
	}
	u, err := store.BeginGroup(ctx, outbox.Group{LockTimeout: 50 * time.Millisecond}, ids...)
	if err != nil {
		return err
	}
	defer func() { _ = u.Rollback(ctx) }() // it may have ended
	var changes outbox.Changes
	for _, id := range ids {
		if err := errors.Join(u.Part(ctx, undoable), handler(u.Tx())); err != nil {
			return err
		}
		one := forwardStep(id)
		changes.Steps = append(changes.Steps, one.Steps...)
		changes.Entries = append(changes.Entries, one.Entries...)
	}
	return u.Commit(ctx, changes)
}
