package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
)

func orderID(n int) outbox.SagaID {
	return outbox.SagaID{Saga: "order", ID: fmt.Sprintf("order-%d", n)}
}

// stores returns both stores of a new schema, the pool under the first, and the name.
func (db *outboxDatabase) stores(t *testing.T, wires *wires) (*postgres.Store, *postgres.SQLStore, *pgxpool.Pool, string) {
	schema := db.schema(t)
	pool := db.pool(t, wires)
	native := postgres.New(pool, &postgres.Config{Schema: schema})
	require.NoError(t, native.Migrate(t.Context()))
	return native, postgres.NewSQL(db.sql(t, nil), &postgres.Config{Schema: schema}), pool, schema
}

func (db *outboxDatabase) count(t *testing.T, schema, table string) int {
	var n int
	require.NoError(t, db.admin.QueryRow(t.Context(), "SELECT count(*) FROM "+pgx.Identifier{schema, table}.Sanitize()).Scan(&n))
	return n
}

// requireNothing requires that no unit has written anything.
func (db *outboxDatabase) requireNothing(t *testing.T, schema string) {
	for _, table := range []string{"choreo_step", "choreo_saga", "choreo_outbox", "users_own"} {
		require.Zero(t, db.count(t, schema, table), table)
	}
}

func TestPostgresHandlerCannotEndTheUnit(t *testing.T) {
	db := newOutboxDatabase(t)
	store, _, _, schema := db.stores(t, nil)
	ctx := t.Context()
	u, err := store.Begin(ctx, orderID(1))
	require.NoError(t, err)
	tx := u.Tx()
	require.ErrorIs(t, tx.Commit(ctx), postgres.ErrNotYours)
	require.ErrorIs(t, tx.Rollback(ctx), postgres.ErrNotYours)
	_, err = tx.Exec(ctx, put(schema), "kept", "1")
	require.NoError(t, err)

	failed := errors.New("failed")
	require.ErrorIs(t, pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		_, err := savepoint.Exec(ctx, put(schema), "undone", "1")
		return errors.Join(err, failed)
	}), failed)
	require.NoError(t, pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		_, err := savepoint.Exec(ctx, put(schema), "kept too", "1")
		return err
	}))
	batch := &pgx.Batch{}
	batch.Queue(put(schema), "batched", "1")
	require.NoError(t, tx.SendBatch(ctx, batch).Close())
	n, err := tx.CopyFrom(ctx, pgx.Identifier{schema, "users_own"}, []string{"key", "value"}, pgx.CopyFromRows([][]any{{"copied", "1"}}))
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	large := tx.LargeObjects()
	oid, err := large.Create(ctx, 0)
	require.NoError(t, err)
	require.NoError(t, large.Unlink(ctx, oid))
	rows, err := tx.Query(ctx, "SELECT key FROM "+pgx.Identifier{schema, "users_own"}.Sanitize()+" ORDER BY key")
	require.NoError(t, err)
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"batched", "copied", "kept", "kept too"}, keys)
	require.NoError(t, u.Commit(ctx, forwardStep(orderID(1))))
	require.Equal(t, 4, db.count(t, schema, "users_own"))
	require.Equal(t, 1, db.count(t, schema, "choreo_step"))

	// The connection may be at work for another unit by now.
	_, err = tx.Exec(ctx, "SELECT 1")
	require.ErrorIs(t, err, pgx.ErrTxClosed)
	rows, err = tx.Query(ctx, "SELECT 1")
	require.ErrorIs(t, err, pgx.ErrTxClosed)
	rows.Close()
	require.ErrorIs(t, tx.QueryRow(ctx, "SELECT 1").Scan(&n), pgx.ErrTxClosed)
	require.ErrorIs(t, tx.SendBatch(ctx, batch).Close(), pgx.ErrTxClosed)
	_, err = tx.Begin(ctx)
	require.ErrorIs(t, err, pgx.ErrTxClosed)
	require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxClosed)
}

// TestPostgresHandlerEndsTheTransactionBySQL: without a look at the state, the rows would be
// written outside of any transaction.
func TestPostgresHandlerEndsTheTransactionBySQL(t *testing.T) {
	db := newOutboxDatabase(t)
	store, _, _, schema := db.stores(t, nil)
	for _, end := range []string{"commit", "rollback"} {
		u, err := store.Begin(t.Context(), orderID(1))
		require.NoError(t, err)
		_, err = u.Tx().Exec(t.Context(), end)
		require.NoError(t, err)
		err = u.Commit(t.Context(), forwardStep(orderID(1)))
		require.ErrorContains(t, err, "a handler ended the transaction")
		require.False(t, store.Transient(err))
		require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
	}
	db.requireNothing(t, schema)
}

// afterFailure runs a unit whose handler goes on after one of its statements has failed.
func afterFailure[Tx any](t *testing.T, store outbox.Store[Tx], exec func(Tx, string) error, changes outbox.Changes) {
	t.Helper()
	u, err := store.Begin(t.Context(), orderID(1))
	require.NoError(t, err)
	require.Error(t, exec(u.Tx(), "SELECT 1/0"))
	err = u.Commit(t.Context(), changes)
	require.ErrorContains(t, err, "a statement of this transaction failed before")
	require.False(t, store.Transient(err))
	require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
}

func TestPostgresCommitAfterAFailedStatement(t *testing.T) {
	db := newOutboxDatabase(t)
	native, overSQL, _, schema := db.stores(t, nil)
	for _, changes := range []outbox.Changes{forwardStep(orderID(1)), {}} {
		afterFailure(t, native, func(tx pgx.Tx, query string) error {
			_, err := tx.Exec(t.Context(), query)
			return err
		}, changes)
		afterFailure(t, overSQL, func(tx *sql.Tx, query string) error {
			_, err := tx.ExecContext(t.Context(), query)
			return err
		}, changes)
	}
	db.requireNothing(t, schema)
}

// TestPostgresDeferredConstraint: PostgreSQL refuses the commit itself.
func TestPostgresDeferredConstraint(t *testing.T) {
	db := newOutboxDatabase(t)
	native, overSQL, pool, schema := db.stores(t, nil)
	table := pgx.Identifier{schema, "deferred"}.Sanitize()
	_, err := pool.Exec(t.Context(), "CREATE TABLE "+table+" (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
	require.NoError(t, err)
	insert := "INSERT INTO " + table + " VALUES (1), (1)"
	check := func(err error) {
		require.ErrorContains(t, err, "23505")
		require.False(t, native.Transient(err))
		require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
		db.requireNothing(t, schema)
	}
	u, err := native.Begin(t.Context(), orderID(1))
	require.NoError(t, err)
	_, err = u.Tx().Exec(t.Context(), insert)
	require.NoError(t, err)
	check(u.Commit(t.Context(), forwardStep(orderID(1))))

	v, err := overSQL.Begin(t.Context(), orderID(1))
	require.NoError(t, err)
	_, err = v.Tx().ExecContext(t.Context(), insert)
	require.NoError(t, err)
	check(v.Commit(t.Context(), forwardStep(orderID(1))))
}

// TestPostgresIsolation: whatever the session's default is, a unit sees what was
// committed while it waited for the lock.
func TestPostgresIsolation(t *testing.T) {
	db := newOutboxDatabase(t)
	_, err := db.admin.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$`)
	require.NoError(t, err)
	store, _, pool, _ := db.stores(t, nil)
	var isolation string
	require.NoError(t, pool.QueryRow(t.Context(), "SHOW default_transaction_isolation").Scan(&isolation))
	require.Equal(t, "serializable", isolation)

	first, err := store.Begin(t.Context(), orderID(1))
	require.NoError(t, err)
	second := make(chan outbox.Unit[pgx.Tx], 1)
	go func() {
		u, err := store.Begin(t.Context(), orderID(1))
		if err != nil {
			t.Error(err)
		}
		second <- u
	}()
	for waiting := 0; waiting == 0; { // until it waits for the lock
		require.NoError(t, db.admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'").Scan(&waiting))
	}
	require.NoError(t, first.Commit(t.Context(), forwardStep(orderID(1))))
	u := <-second
	require.Equal(t, choreo.RowCompleted, u.Rows(orderID(1)).Steps["charge-payment"].State)
	require.NoError(t, u.Commit(t.Context(), outbox.Changes{}))
}

// TestPostgresRoundTrips counts what DESIGN.md asks of the hot path.
func TestPostgresRoundTrips(t *testing.T) {
	db := newOutboxDatabase(t)
	wires := &wires{open: make(map[*wire]struct{})}
	store, _, pool, schema := db.stores(t, wires)
	exchanges := func(work func()) int {
		const many = 1_000_000
		wires.cut(many, false)
		work()
		wires.mu.Lock()
		defer wires.mu.Unlock()
		wires.armed = false
		return many - wires.left
	}
	var begin, handler, commit, claim, done int
	for n := range 2 { // statements are prepared the first time
		ids := []outbox.SagaID{orderID(n), orderID(n + 10), orderID(n + 20)}
		var u outbox.Unit[pgx.Tx]
		var err error
		begin = exchanges(func() { u, err = store.Begin(t.Context(), ids...) })
		require.NoError(t, err)
		handler = exchanges(func() { _, err = u.Tx().Exec(t.Context(), put(schema), "key", "value") })
		require.NoError(t, err)
		changes := forwardStep(ids[0])
		changes.Sagas = []outbox.SagaRow{{SagaID: ids[1], Version: 1, Row: choreo.Row{State: choreo.RowOpen}}}
		commit = exchanges(func() { err = u.Commit(t.Context(), changes) })
		require.NoError(t, err)
		var c outbox.Claim
		claim = exchanges(func() { c, err = store.Claim(t.Context(), 10, nil) })
		require.NoError(t, err)
		done = exchanges(func() { err = c.Done(t.Context(), []int64{c.Entries()[0].Seq}) })
		require.NoError(t, err)
		require.Zero(t, exchanges(func() { err = c.Release(t.Context()) }))
		require.NoError(t, err)
	}
	require.Equal(t, []int{1, 1, 1, 2, 1}, []int{begin, handler, commit, claim, done})
	require.EqualValues(t, 0, pool.Stat().AcquiredConns())
}

// TestPostgresLostConnection: the end of the unit's own connection is told from the same
// error met elsewhere, however it comes.
func TestPostgresLostConnection(t *testing.T) {
	db := newOutboxDatabase(t)
	wires := &wires{open: make(map[*wire]struct{}), eof: true}
	store, _, _, _ := db.stores(t, wires)
	ctx := t.Context()
	for name, statement := range map[string]func(pgx.Tx) error{
		"Exec": func(tx pgx.Tx) error { _, err := tx.Exec(ctx, "SELECT 1"); return err },
		"Query": func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, "SELECT 1")
			if err == nil {
				_, err = pgx.CollectRows(rows, pgx.RowTo[int])
			}
			return err
		},
		"QueryRow":  func(tx pgx.Tx) error { var n int; return tx.QueryRow(ctx, "SELECT 1").Scan(&n) },
		"Begin":     func(tx pgx.Tx) error { _, err := tx.Begin(ctx); return err },
		"Prepare":   func(tx pgx.Tx) error { _, err := tx.Prepare(ctx, "p", "SELECT 1"); return err },
		"SendBatch": func(tx pgx.Tx) error { b := &pgx.Batch{}; b.Queue("SELECT 1"); return tx.SendBatch(ctx, b).Close() },
	} {
		u, err := store.Begin(ctx, orderID(1))
		require.NoError(t, err)
		end := wires.cut(0, true)
		err = statement(u.Tx())
		require.True(t, end(), name)
		require.True(t, store.Transient(fmt.Errorf("charge: %w", err)), "%s: %v", name, err)
		err = u.Commit(ctx, forwardStep(orderID(1)))
		require.Error(t, err)
		require.True(t, store.Transient(err), "%v", err)
		require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
	}

	require.False(t, store.Transient(io.ErrUnexpectedEOF), "the same error met elsewhere")

	// A statement that ran out of its own time ends the connection too, and is no fault of it.
	u, err := store.Begin(ctx, orderID(1))
	require.NoError(t, err)
	short, cancel := context.WithTimeout(ctx, waits)
	defer cancel()
	_, err = u.Tx().Exec(short, "SELECT pg_sleep(60)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, store.Transient(err))
	require.NoError(t, u.Rollback(ctx))
}

// Also in the caller's transaction, the store's own statements tell the end of the
// connection from the same error met elsewhere.
func TestPostgresLostConnectionOfTheCaller(t *testing.T) {
	db := newOutboxDatabase(t)
	wires := &wires{open: make(map[*wire]struct{}), eof: true}
	store, _, pool, _ := db.stores(t, wires)
	ctx := t.Context()
	for name, do := range map[string]func(pgx.Tx, outbox.Unit[pgx.Tx]) error{
		"Join":      func(tx pgx.Tx, _ outbox.Unit[pgx.Tx]) error { _, err := store.Join(ctx, tx, orderID(2)); return err },
		"Commit":    func(_ pgx.Tx, u outbox.Unit[pgx.Tx]) error { return u.Commit(ctx, forwardStep(orderID(1))) },
		"Parked":    func(_ pgx.Tx, u outbox.Unit[pgx.Tx]) error { _, err := u.Parked(ctx, orderID(1), 1); return err },
		"CountOpen": func(_ pgx.Tx, u outbox.Unit[pgx.Tx]) error { _, err := u.CountOpen(ctx, "order", 1); return err },
	} {
		tx, err := pool.Begin(ctx)
		require.NoError(t, err)
		u, err := store.Join(ctx, tx, orderID(1))
		require.NoError(t, err)
		end := wires.cut(0, true)
		err = do(tx, u)
		require.True(t, end(), name)
		require.True(t, store.Transient(err), "%s: %v", name, err)
		_ = tx.Rollback(ctx) // its connection is gone
	}
}

func TestPostgresMigrate(t *testing.T) {
	db := newOutboxDatabase(t)
	native, overSQL, pool, schema := db.stores(t, nil)
	ctx := t.Context()
	require.NoError(t, overSQL.Migrate(ctx), "what the other flavour has migrated")
	_, err := pool.Exec(ctx, "INSERT INTO "+pgx.Identifier{schema, "choreo_migration"}.Sanitize()+" VALUES (99, 'from the future')")
	require.NoError(t, err)
	require.ErrorContains(t, native.Migrate(ctx), "a newer build has migrated it")
	require.ErrorContains(t, overSQL.Migrate(ctx), "a newer build has migrated it")

	fresh := postgres.New(pool, &postgres.Config{Schema: "made by Migrate"})
	_, err = fresh.Begin(ctx, orderID(1))
	require.ErrorContains(t, err, "42P01")
	require.False(t, fresh.Transient(err))
	require.NoError(t, fresh.Migrate(ctx))
	u, err := fresh.Begin(ctx, orderID(1))
	require.NoError(t, err, "the attempt before leaves nothing behind")
	require.NoError(t, u.Rollback(ctx))
	require.Zero(t, db.count(t, "made by Migrate", "choreo_step"))
	require.NoError(t, postgres.New(pool, nil).Migrate(ctx), "in the search_path")
	require.Zero(t, db.count(t, "public", "choreo_step"))
	u, err = postgres.New(pool, nil).Begin(ctx, orderID(1))
	require.NoError(t, err)
	require.NoError(t, u.Rollback(ctx))

	long := strings.Repeat("x", 64)
	require.ErrorContains(t, postgres.New(pool, &postgres.Config{Schema: long}).Migrate(ctx), "Config.Schema")

	config := db.config(t, nil)
	config.ConnConfig.RuntimeParams["search_path"] = "nowhere"
	nowhere, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	defer nowhere.Close()
	require.ErrorContains(t, postgres.New(nowhere, nil).Migrate(ctx), "no schema of the search_path exists")

	one := db.config(t, nil)
	one.MaxConns = 1
	single, err := pgxpool.NewWithConfig(ctx, one)
	require.NoError(t, err)
	defer single.Close()
	require.ErrorContains(t, postgres.New(single, nil).Migrate(ctx), "pool_max_conns")
	sqlDB := db.sql(t, nil)
	sqlDB.SetMaxOpenConns(1)
	require.ErrorContains(t, postgres.NewSQL(sqlDB, nil).Migrate(ctx), "SetMaxOpenConns")
}

// TestPostgresServicesShareADatabase: schemas keep the rows, the claims and the locks of
// services apart.
func TestPostgresServicesShareADatabase(t *testing.T) {
	db := newOutboxDatabase(t)
	orders, _, _, _ := db.stores(t, nil)
	payments, _, _, _ := db.stores(t, nil)
	ctx := t.Context()
	first, err := orders.Begin(ctx, orderID(1))
	require.NoError(t, err)
	second, err := payments.Begin(ctx, orderID(1))
	require.NoError(t, err, "the lock is another one")
	require.NoError(t, first.Commit(ctx, forwardStep(orderID(1))))
	require.NoError(t, second.Commit(ctx, forwardStep(orderID(1))))
	a, err := orders.Claim(ctx, 10, nil)
	require.NoError(t, err)
	b, err := payments.Claim(ctx, 10, nil)
	require.NoError(t, err)
	require.Len(t, a.Entries(), 1)
	require.Len(t, b.Entries(), 1)
	require.NoError(t, errors.Join(a.Release(ctx), b.Release(ctx)))
}

func TestPostgresBinaryKeys(t *testing.T) {
	db := newOutboxDatabase(t)
	native, overSQL, _, _ := db.stores(t, nil)
	ctx := t.Context()
	keys := [][]byte{{0xff, 0}, []byte(`"text"`), nil, {}}
	var changes outbox.Changes
	for _, key := range keys {
		changes.Entries = append(changes.Entries, outbox.Entry{ID: uuid.NewString(), Record: choreo.Record{Topic: "t", Key: key, Value: key}})
	}
	u, err := native.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, u.Commit(ctx, changes))
	for _, queue := range []outbox.Queue{native, overSQL} {
		c, err := queue.Claim(ctx, 10, nil)
		require.NoError(t, err)
		require.Len(t, c.Entries(), len(keys))
		for i, e := range c.Entries() {
			require.Equal(t, keys[i], e.Record.Key)
			require.Equal(t, keys[i], e.Record.Value, "a tombstone stays one")
		}
		require.NoError(t, c.Release(ctx))
		c, err = queue.Claim(ctx, 10, []string{"\xff\x00", `"text"`})
		require.NoError(t, err)
		require.Len(t, c.Entries(), 2)
		require.NoError(t, c.Release(ctx))
	}
}

// TestPostgresSmallestPool: claims and units that have two connections between them do
// not wait for each other for ever.
func TestPostgresSmallestPool(t *testing.T) {
	db := newOutboxDatabase(t)
	config := db.config(t, nil)
	config.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	store := postgres.New(pool, &postgres.Config{Schema: db.schema(t)})
	require.NoError(t, store.Migrate(t.Context()))
	const workers, each = 6, 30
	done := make(chan error, workers)
	for worker := range workers {
		go func() {
			done <- func() error {
				for n := range each {
					id := orderID(worker*each + n)
					u, err := store.Begin(t.Context(), id, orderID(0))
					if err == nil {
						err = u.Commit(t.Context(), forwardStep(id))
					}
					if err != nil {
						return err
					}
					c, err := store.Claim(t.Context(), 5, nil)
					if err == nil && len(c.Entries()) > 0 {
						err = c.Done(t.Context(), []int64{c.Entries()[0].Seq})
					}
					if err == nil {
						err = c.Release(t.Context())
					}
					if err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range workers {
		require.NoError(t, <-done)
	}
}

// parkAndAsk parks records and takes them away again, counts open sagas, looks for due rows and
// makes some due.
func parkAndAsk[Tx any](t *testing.T, store outbox.Store[Tx], id outbox.SagaID) {
	t.Helper()
	ctx := t.Context()
	u, err := store.Begin(ctx, id)
	require.NoError(t, err)
	n, err := u.CountOpen(ctx, id.Saga, 100)
	require.NoError(t, err)
	require.Zero(t, n)
	var changes outbox.Changes
	for offset := range int64(3) {
		changes.Park = append(changes.Park, outbox.Parked{SagaID: id, Record: choreo.Record{Topic: "events", Offset: offset}})
	}
	require.NoError(t, u.Commit(ctx, changes))
	u, err = store.Begin(ctx, id)
	require.NoError(t, err)
	list, err := u.Parked(ctx, id, 2)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.NoError(t, u.Commit(ctx, outbox.Changes{Unpark: []int64{list[0].Seq, list[1].Seq}}))
	_, err = store.Due(ctx, outbox.DueQuery{Limit: 10, Except: []outbox.DueKind{{Saga: "order", Step: "charge", State: choreo.RowRetrying}}})
	require.NoError(t, err)
	for _, step := range []string{"charge", choreo.SagaRow} {
		_, err = store.Hasten(ctx, outbox.DueKind{Saga: "order", Step: step, State: choreo.RowPending})
		require.NoError(t, err)
	}
}

// TestPostgresPlans: no statement of the hot paths reads a table from end to end, also as
// a prepared one that was planned while the tables were empty.
func TestPostgresPlans(t *testing.T) {
	db := newOutboxDatabase(t)
	native, _, pool, schema := db.stores(t, nil)
	sqlDB := stdlib.OpenDBFromPool(pool)
	defer sqlDB.Close()
	overSQL := postgres.NewSQL(sqlDB, &postgres.Config{Schema: schema})
	ctx := t.Context()
	var version int
	require.NoError(t, pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::integer").Scan(&version))
	if version < 150000 {
		t.Skip("statistics of scans cannot be had at once before PostgreSQL 15")
	}
	n := 0
	work := func() {
		for range 20 { // from the sixth time on a plan is kept
			for sagas := 1; sagas <= 9; sagas += 4 {
				ids := make([]outbox.SagaID, sagas)
				for i := range ids {
					ids[i] = orderID(n)
					n++
				}
				a, err := native.Begin(ctx, ids...)
				require.NoError(t, err)
				require.NoError(t, a.Commit(ctx, forwardStep(ids[0])))
				b, err := overSQL.Begin(ctx, ids...)
				require.NoError(t, err)
				require.NoError(t, b.Commit(ctx, forwardStep(ids[0])))
			}
			for _, queue := range []outbox.Queue{native, overSQL} {
				c, err := queue.Claim(ctx, 3, []string{orderID(0).ID})
				require.NoError(t, err)
				require.NoError(t, c.Done(ctx, []int64{c.Entries()[0].Seq}))
				require.NoError(t, c.Release(ctx))
			}
			handOver(t, native, orderID(n))
			handOver(t, overSQL, orderID(n+1))
			parkAndAsk(t, native, orderID(n))
			parkAndAsk(t, overSQL, orderID(n+1))
			n += 2
		}
	}
	look := func() {
		for range 20 {
			_, err := native.Waiting(ctx, 100)
			require.NoError(t, err)
			_, err = overSQL.Waiting(ctx, 100)
			require.NoError(t, err)
		}
	}
	// scans returns how often tables were read from end to end by the connections of pool.
	scans := func(tables ...string) (sum int) {
		for _, conn := range pool.AcquireAllIdle(ctx) {
			_, err := conn.Exec(ctx, "SELECT pg_stat_force_next_flush()")
			require.NoError(t, err)
			conn.Release()
		}
		require.NoError(t, db.admin.QueryRow(ctx, "SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = ANY ($2)",
			schema, tables).Scan(&sum))
		return sum
	}
	all := []string{"choreo_step", "choreo_saga", "choreo_parked", "choreo_outbox"}
	// A table that was seen to be empty is not taken for one of some pages any more.
	_, err := pool.Exec(ctx, "VACUUM "+pgx.Identifier{schema, "choreo_outbox"}.Sanitize())
	require.NoError(t, err)
	before := scans(all...)
	work()
	require.Equal(t, before, scans(all...))

	_, err = pool.Exec(ctx, "ANALYZE "+pgx.Identifier{schema, "choreo_outbox"}.Sanitize())
	require.NoError(t, err)
	before = scans("choreo_outbox")
	work()
	require.Equal(t, before, scans("choreo_outbox"), "also when the statistics know that it is tiny")

	// Many sagas have ended, and many rows are due of which half are left out.
	_, err = pool.Exec(ctx, strings.ReplaceAll(`
		INSERT INTO SCHEMA.choreo_saga (saga_id, saga, version, state, attempt, home, announced, kept, bypassed, stuck, output_type)
		SELECT 'ended-' || n, 'order', 1, 'closed', 0, 0, false, false, false, false, '' FROM generate_series(1, 5000) AS n;
		INSERT INTO SCHEMA.choreo_step (saga_id, saga, step, version, state, attempt, home, announced, kept, bypassed, stuck, output_type, due_at)
		SELECT 'due-' || n, 'order', CASE n % 2 WHEN 0 THEN 'charge' ELSE 'ship' END, 1, 'retrying', 0, 0, false, false, false, false, '', now() - interval '1 hour'
		FROM generate_series(1, 5000) AS n;
		ANALYZE SCHEMA.choreo_saga;
		ANALYZE SCHEMA.choreo_step`, "SCHEMA", pgx.Identifier{schema}.Sanitize()))
	require.NoError(t, err)
	before = scans(all...)
	work()
	require.Equal(t, before, scans(all...))

	// Nearly all of them have gone on.
	_, err = pool.Exec(ctx, strings.ReplaceAll(`
		UPDATE SCHEMA.choreo_step SET state = 'completed', due_at = NULL WHERE saga_id LIKE 'due-%' AND saga_id NOT LIKE 'due-77%';
		ANALYZE SCHEMA.choreo_step`, "SCHEMA", pgx.Identifier{schema}.Sanitize()))
	require.NoError(t, err)
	before = scans(all...)
	look()
	require.Equal(t, before, scans(all...), "what waits is looked for in indexes")
}

// waits is how long something is given that must not happen in the meantime.
const waits = 100 * time.Millisecond
