package integration

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
)

// hostileTexts are what the text of an array could be taken for something else by.
var hostileTexts = []string{
	"", "NULL", "null", `"`, `\`, `\\"`, "{}", "{a,b}", "a,b", " padded ", "line\nbreak\ttab\r", "\x01\x1b\x7f", "'; --", "$1", `\x00ff`,
	"größe", "注文 🚚", "e\u0301", "\u2028\ufeff\ufffd", "\U0010ffff", strings.Repeat(`\"`, 500),
}

// recorder takes what is offered.
type recorder struct {
	entries []outbox.Entry
	older   map[string][]int64
}

func (r *recorder) Open() bool { return true }
func (r *recorder) Offer(entries []outbox.Entry, older map[string][]int64) bool {
	r.entries, r.older = entries, older
	return true
}
func (r *recorder) Has(int64) bool { return false }

// manyRows are a step row, a saga row and two entries for each of more sagas than one statement
// takes.
func manyRows(saga string) (ids []outbox.SagaID, changes outbox.Changes) {
	for i := range 70 {
		text := hostileTexts[i%len(hostileTexts)]
		id := outbox.SagaID{Saga: saga + text, ID: text + "#" + strconv.Itoa(i)}
		ids = append(ids, id)
		row := choreo.Row{State: choreo.RowFailed, Attempt: i, Home: int32(i - 1), Announced: i%2 == 0, Kept: i%3 == 0, Bypassed: i%5 == 0, Stuck: i%7 == 0}
		if i%2 == 1 {
			row.Noted, row.Settled = []string{text, ""}, []string{text}
			row.Failure = &choreo.Failure{Class: choreo.Class(text), Code: text, Message: text + text}
			row.Origin = choreo.Origin{Initiator: text, TraceState: text}
		}
		if i%3 == 1 {
			row.Output = choreo.Output{Step: "another" + text, ContentType: text, Data: []byte(text + "\x00\xff")}
			row.Inputs = []choreo.Output{{Step: text, Data: []byte(text)}, {Step: "none"}}
		}
		changes.Steps = append(changes.Steps, outbox.StepRow{SagaID: id, Step: "charge" + text, Version: i + 1, Row: row})
		changes.Sagas = append(changes.Sagas, outbox.SagaRow{SagaID: id, Version: i + 1, Row: row})
	}
	for i := range 2 * len(ids) {
		id := ids[i%len(ids)]
		e := outbox.Entry{ID: uuid.NewString(), Type: id.Saga, Record: choreo.Record{Topic: id.Saga, Partition: int32(i), Key: []byte(id.ID), Value: []byte(strconv.Itoa(i))}}
		switch i % 4 {
		case 1:
			e.Record.Key = append(e.Record.Key, 0xff) // no text
		case 2:
			e.Record.Value = nil
		case 3:
			e.Record.Value = []byte{}
		}
		if i%3 > 0 {
			e.Record.Headers = []choreo.Header{{Key: id.ID, Value: []byte(id.ID)}, {Key: "none"}}
		}
		changes.Entries = append(changes.Entries, e)
	}
	return ids, changes
}

// manyOfAUnit has a store write rows and read them again, twice: as new ones, and as ones that
// are there.
func manyOfAUnit[Tx any](t *testing.T, store outbox.Store[Tx], saga string) {
	ctx := t.Context()
	h := new(recorder)
	store.HandTo(h)
	defer store.HandTo(nil)
	ids, changes := manyRows(saga)
	seqs := make(map[string][]int64)
	for round := range 2 {
		for i := range changes.Entries {
			changes.Entries[i].ID = uuid.NewString()
		}
		u, err := store.Begin(ctx, ids...)
		require.NoError(t, err)
		require.NoError(t, u.Commit(ctx, changes))
		require.Len(t, h.entries, len(changes.Entries))
		for i, e := range h.entries {
			if i > 0 {
				require.Greater(t, e.Seq, h.entries[i-1].Seq, "seq rises")
			}
		}
		for key, want := range seqs {
			require.ElementsMatch(t, want, h.older[key], "%q", key)
		}
		require.Len(t, h.older, len(seqs), "round %d", round)
		for _, e := range h.entries {
			seqs[e.Key()] = append(seqs[e.Key()], e.Seq)
		}
		claim, err := store.Claim(ctx, 1000, nil)
		require.NoError(t, err)
		stored := claim.Entries()[round*len(h.entries):]
		require.Len(t, stored, len(h.entries))
		for i := range stored {
			require.False(t, stored[i].CreatedAt.IsZero())
			stored[i].CreatedAt = h.entries[i].CreatedAt
		}
		require.Equal(t, h.entries, stored, "each seq is that of its own row")
		if round == 1 {
			require.NoError(t, claim.Done(ctx, slices.Concat(slices.Collect(maps.Values(seqs))...)))
		}
		require.NoError(t, claim.Release(ctx))

		u, err = store.Begin(ctx, ids...)
		require.NoError(t, err)
		for i, id := range ids {
			got := u.Rows(id)
			require.Equal(t, map[string]choreo.Row{changes.Steps[i].Step: changes.Steps[i].Row}, got.Steps)
			require.Equal(t, &changes.Sagas[i], got.Saga)
			changes.Steps[i].Attempt += 100
			changes.Sagas[i].Stuck = !changes.Sagas[i].Stuck
		}
		require.NoError(t, u.Rollback(ctx))
	}
}

func TestPostgresManyRowsOfAUnit(t *testing.T) {
	native, overSQL, _, _ := newOutboxDatabase(t).stores(t, nil)
	t.Run("pgx", func(t *testing.T) { manyOfAUnit(t, native, "order") })
	t.Run("sql", func(t *testing.T) { manyOfAUnit(t, overSQL, "refund") })
}

// TestPostgresPlansForMany: the rows of several sagas, and the older entries of several keys, are
// found by an index, whatever is known of the tables when the statement is planned first.
func TestPostgresPlansForMany(t *testing.T) {
	db := newOutboxDatabase(t)
	for name, prepare := range map[string]string{
		"new":            "SELECT",
		"known as empty": "VACUUM (ANALYZE) SCHEMA.choreo_step, SCHEMA.choreo_saga, SCHEMA.choreo_outbox",
	} {
		t.Run(name, func(t *testing.T) {
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
			exec := func(text string) {
				_, err := pool.Exec(ctx, strings.ReplaceAll(text, "SCHEMA", pgx.Identifier{schema}.Sanitize()))
				require.NoError(t, err)
			}
			scans := func() (tables string) {
				for _, conn := range pool.AcquireAllIdle(ctx) {
					_, err := conn.Exec(ctx, "SELECT pg_stat_force_next_flush()")
					require.NoError(t, err)
					conn.Release()
				}
				require.NoError(t, db.admin.QueryRow(ctx, "SELECT string_agg(relname || ' ' || seq_scan, ', ' ORDER BY relname) FROM pg_stat_user_tables WHERE schemaname = $1 AND relname LIKE 'choreo%'", schema).Scan(&tables))
				return tables
			}
			n := 0
			work := func() {
				for _, sagas := range []int{5, 6, 9, 40} {
					for range 8 { // from the sixth time on a plan is kept
						n += unitsOfMany(t, native, n, sagas)
						n += unitsOfMany(t, overSQL, n, sagas)
					}
				}
			}
			exec(prepare)
			before := scans()
			work()
			require.Equal(t, before, scans())
			exec("ANALYZE SCHEMA.choreo_step, SCHEMA.choreo_saga, SCHEMA.choreo_outbox")
			before = scans()
			work()
			require.Equal(t, before, scans(), "small")
			exec(`INSERT INTO SCHEMA.choreo_saga (saga_id, saga, version, state, attempt, home, announced, kept, bypassed, stuck, output_type)
				SELECT 'ended-' || n, 'order', 1, 'closed', 0, 0, false, false, false, false, '' FROM generate_series(1, 5000) AS n;
				INSERT INTO SCHEMA.choreo_step (saga_id, saga, step, version, state, attempt, home, announced, kept, bypassed, stuck, output_type)
				SELECT 'ended-' || n, 'order', 'charge', 1, 'completed', 0, 0, false, false, false, false, '' FROM generate_series(1, 20000) AS n`)
			before = scans()
			work()
			require.Equal(t, before, scans(), "grown")
			exec("ANALYZE SCHEMA.choreo_step, SCHEMA.choreo_saga, SCHEMA.choreo_outbox")
			before = scans()
			work()
			require.Equal(t, before, scans(), "large")
		})
	}
}

// unitsOfMany is a unit of several sagas, whose numbers begin with first, that hands its entries
// over. It returns how many there are.
func unitsOfMany[Tx any](t *testing.T, store outbox.Store[Tx], first, sagas int) int {
	t.Helper()
	ids := make([]outbox.SagaID, sagas)
	var changes outbox.Changes
	for i := range ids {
		ids[i] = orderID(first + i)
		one := forwardStep(ids[i])
		changes.Steps = append(changes.Steps, one.Steps...)
		changes.Entries = append(changes.Entries, one.Entries...)
	}
	h := new(recorder)
	store.HandTo(h)
	u, err := store.BeginGroup(t.Context(), outbox.Group{}, ids...)
	require.NoError(t, err)
	require.NoError(t, u.Commit(t.Context(), changes))
	require.Len(t, h.entries, sagas)
	return sagas
}

// TestPostgresHandlersKeepTheirPlanner: what the store asks of the planner for its own statements ends
// with them.
func TestPostgresHandlersKeepTheirPlanner(t *testing.T) {
	db := newOutboxDatabase(t)
	for _, setting := range []string{"on", "off"} {
		config := db.config(t, nil)
		config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET enable_seqscan = "+setting)
			return err
		}
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		sqlDB := stdlib.OpenDBFromPool(pool)
		t.Cleanup(func() { _ = sqlDB.Close() })
		schema := &postgres.Config{Schema: db.schema(t)}
		native, overSQL := postgres.New(pool, schema), postgres.NewSQL(sqlDB, schema)
		require.NoError(t, native.Migrate(t.Context()))
		ctx := t.Context()
		for _, sagas := range []int{0, 1, 4, 5, 9} {
			var ids []outbox.SagaID
			for n := range sagas {
				ids = append(ids, orderID(n))
			}
			var now string
			u, err := native.Begin(ctx, ids...)
			require.NoError(t, err)
			require.NoError(t, u.Tx().QueryRow(ctx, "SHOW enable_seqscan").Scan(&now))
			require.Equal(t, setting, now)
			require.NoError(t, u.Rollback(ctx))
			over, err := overSQL.BeginGroup(ctx, outbox.Group{}, ids...)
			require.NoError(t, err)
			require.NoError(t, over.Tx().QueryRowContext(ctx, "SHOW enable_seqscan").Scan(&now))
			require.Equal(t, setting, now)
			require.NoError(t, over.Rollback(ctx))

			require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				if _, err := native.Join(ctx, tx, ids...); err != nil {
					return err
				}
				if err := tx.QueryRow(ctx, "SHOW enable_seqscan").Scan(&now); err != nil {
					return err
				}
				require.Equal(t, setting, now)
				return nil
			}))
		}
	}
}

// TestPostgresRowThatCameWithoutTheLock: a row that somebody puts where a unit has seen none
// is not overwritten, and the unit can be done again.
func TestPostgresRowThatCameWithoutTheLock(t *testing.T) {
	db := newOutboxDatabase(t)
	native, _, _, schema := db.stores(t, nil)
	rowBetween(t, db, native, schema)
	_, overSQL, _, schema := db.stores(t, nil)
	rowBetween(t, db, overSQL, schema)
}

func rowBetween[Tx any](t *testing.T, db *outboxDatabase, store outbox.Store[Tx], schema string) {
	t.Helper()
	ctx := t.Context()
	var ids []outbox.SagaID
	var changes outbox.Changes
	for n := range 10 {
		ids = append(ids, orderID(n))
		changes.Steps = append(changes.Steps, forwardStep(ids[n]).Steps...)
		changes.Entries = append(changes.Entries, forwardStep(ids[n]).Entries...)
	}
	u, err := store.Begin(ctx, ids...)
	require.NoError(t, err)
	_, err = db.admin.Exec(ctx, strings.ReplaceAll(`
		INSERT INTO SCHEMA.choreo_step (saga_id, saga, step, version, state, attempt, home, announced, kept, bypassed, stuck, output_type)
		VALUES ($1, $2, 'charge-payment', 1, 'completed', 7, 0, false, false, false, false, '')`, "SCHEMA", pgx.Identifier{schema}.Sanitize()), ids[3].ID, ids[3].Saga)
	require.NoError(t, err)
	err = u.Commit(ctx, changes)
	require.ErrorContains(t, err, "23505")
	require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
	require.Equal(t, 1, db.count(t, schema, "choreo_step"))
	require.Zero(t, db.count(t, schema, "choreo_outbox"))
	u, err = store.Begin(ctx, ids...)
	require.NoError(t, err)
	require.Equal(t, 7, u.Rows(ids[3]).Steps["charge-payment"].Attempt)
	require.NoError(t, u.Commit(ctx, changes))
	require.Equal(t, 10, db.count(t, schema, "choreo_step"))
	require.Equal(t, 10, db.count(t, schema, "choreo_outbox"))
}
