package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// trips counts what a connection sends.
type trips struct{ single, batches int }

func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.single++
	return ctx
}
func (c *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.batches++
	return ctx
}
func (c *trips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// divide fails where it is sent.
const divide = "SELECT 1 / $1::int"

func requireDivision(t *testing.T, err error) {
	t.Helper()
	var sent *pgconn.PgError
	require.ErrorAs(t, err, &sent)
	require.Equal(t, "22012", sent.Code)
}

func TestPostgresQueuedStatementsTakeNoRoundTrip(t *testing.T) {
	db := newOutboxDatabase(t)
	schema := db.schema(t)
	var sent trips
	config := db.pool(t, nil).Config()
	config.ConnConfig.Tracer = &sent
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	store := postgres.New(pool, &postgres.Config{Schema: schema})
	require.NoError(t, store.Migrate(t.Context()))
	ctx := t.Context()
	for _, sagas := range [][]outbox.SagaID{{orderID(1)}, {orderID(1), orderID(2)}} {
		u, err := store.BeginGroup(ctx, outbox.Group{}, sagas...)
		require.NoError(t, err)
		sent = trips{}
		for i := range 3 {
			require.NoError(t, u.Part(ctx, true))
			require.NoError(t, postgres.Queue(ctx, u.Tx(), put(schema), fmt.Sprint(i), "1"))
		}
		require.NoError(t, u.UndoPart(ctx))
		require.Zero(t, sent)
		require.NoError(t, u.Commit(ctx, forwardStep(orderID(1))))
		require.Equal(t, trips{batches: 1}, sent)
		require.Equal(t, 2, db.count(t, schema, "users_own"))
	}

	u, err := store.Begin(ctx, orderID(1))
	require.NoError(t, err)
	require.NoError(t, postgres.Queue(ctx, u.Tx(), put(schema), "given up", "1"))
	require.NoError(t, u.Rollback(ctx))
	require.ErrorIs(t, postgres.Queue(ctx, u.Tx(), put(schema), "too late", "1"), pgx.ErrTxClosed)
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return postgres.Queue(ctx, tx, put(schema), "in a transaction of the caller's", "1")
	}))
	require.Equal(t, 3, db.count(t, schema, "users_own"))
}

// A statement that fails late takes all of its transaction with it, and no other handler is said to
// have failed.
func TestPostgresQueuedStatementsThatFail(t *testing.T) {
	db := newOutboxDatabase(t)
	store, _, _, schema := db.stores(t, nil)
	ctx := t.Context()

	u, err := store.BeginGroup(ctx, outbox.Group{}, orderID(1), orderID(2))
	require.NoError(t, err)
	require.NoError(t, u.Part(ctx, true))
	require.NoError(t, postgres.Queue(ctx, u.Tx(), put(schema), "a", "1"))
	require.NoError(t, postgres.Queue(ctx, u.Tx(), divide, 0))
	requireDivision(t, u.Commit(ctx, forwardStep(orderID(1))))

	for name, next := range map[string]func(pgx.Tx) error{
		"exec":      func(tx pgx.Tx) error { _, err := tx.Exec(ctx, put(schema), "b", "1"); return err },
		"query":     func(tx pgx.Tx) error { rows, err := tx.Query(ctx, divide, 1); rows.Close(); return err },
		"row":       func(tx pgx.Tx) error { var n int; return tx.QueryRow(ctx, divide, 1).Scan(&n) },
		"batch":     func(tx pgx.Tx) error { b := &pgx.Batch{}; b.Queue(divide, 1); return tx.SendBatch(ctx, b).Close() },
		"savepoint": func(tx pgx.Tx) error { _, err := tx.Begin(ctx); return err },
		"past the store": func(tx pgx.Tx) error {
			_, err := tx.Conn().Exec(ctx, divide, 1)
			require.Error(t, err, "PostgreSQL refuses it")
			return postgres.Queue(ctx, tx, divide, 1)
		},
	} {
		u, err := store.BeginGroup(ctx, outbox.Group{}, orderID(1), orderID(2))
		require.NoError(t, err)
		require.NoError(t, u.Part(ctx, false))
		require.NoError(t, postgres.Queue(ctx, u.Tx(), divide, 0))
		require.NoError(t, u.Part(ctx, true))
		err = next(u.Tx())
		if name != "past the store" {
			requireDivision(t, err)
			require.ErrorIs(t, err, outbox.ErrQueued, name)
		}
		require.ErrorIs(t, u.UndoPart(ctx), outbox.ErrQueued, name)
		err = u.Commit(ctx, forwardStep(orderID(1)))
		require.ErrorIs(t, err, outbox.ErrQueued, name)
		require.False(t, store.Transient(err), name)
	}

	// One's own can be undone.
	u, err = store.BeginGroup(ctx, outbox.Group{}, orderID(1), orderID(2))
	require.NoError(t, err)
	require.NoError(t, u.Part(ctx, true))
	require.NoError(t, postgres.Queue(ctx, u.Tx(), divide, 0))
	_, err = u.Tx().Exec(ctx, put(schema), "c", "1")
	requireDivision(t, err)
	require.NotErrorIs(t, err, outbox.ErrQueued)
	require.NoError(t, u.UndoPart(ctx))
	require.NoError(t, u.Commit(ctx, outbox.Changes{}))
	db.requireNothing(t, schema)
}

// Of the steps that share a transaction, one queues what its database refuses. The others are done, and
// that one fails by its policy.
func TestG1AtomicAQueuedStatementThatFailsInAGroup(t *testing.T) {
	db := newOutboxDatabase(t)
	store, _, _, schema := db.stores(t, nil)
	log := memorylog.New(memorylog.Options{})
	defer func() { require.NoError(t, log.Close()) }()
	names, err := topics.NewNames("choreo")
	require.NoError(t, err)
	once := choreo.NewStep[deposit, deposit]("book")
	saga := choreo.MustDefine[deposit]("ledger", 1, once.OwnedBy("bank").Retry(choreo.RetryPolicy{Backoff: choreo.BackoffFixed, Attempts: 2, Initial: time.Millisecond}).NoCompensation())
	plan, err := topics.NewPlan(t.Context(), log, topics.Topology(names, []choreo.AnySaga{saga}, topics.TopologyOptions{}))
	require.NoError(t, err)
	require.NoError(t, plan.Apply(t.Context(), log))
	p, err := participant.New(log, store, &participant.Config{Service: "bank", Sagas: []choreo.AnySaga{saga}})
	require.NoError(t, err)
	participant.HandleForward(p, once, participant.ExecuteFunc[pgx.Tx, deposit, deposit](
		func(ctx context.Context, tx pgx.Tx, call *participant.Call[deposit]) (deposit, error) {
			if err := postgres.Queue(ctx, tx, put(schema), call.SagaID, "1"); err != nil {
				return call.Input, err
			}
			if call.Input.Refused {
				return call.Input, postgres.Queue(ctx, tx, divide, 0)
			}
			return call.Input, nil
		}), participant.Local())
	var want []string
	for i := range 20 {
		id := fmt.Sprintf("order-%02d", i)
		_, err := participant.Start(t.Context(), p, saga, id, deposit{Refused: i%7 == 3})
		require.NoError(t, err)
		if i%7 != 3 {
			want = append(want, id)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	table := pgx.Identifier{schema, "choreo_step"}.Sanitize()
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, db.admin.QueryRow(ctx, "SELECT count(*) FROM "+table+" WHERE state IN ('completed', 'failed')").Scan(&n))
		return n == 20
	}, time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	keys := func(query string) []string {
		rows, err := db.admin.Query(t.Context(), query)
		require.NoError(t, err)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		slices.Sort(list)
		return list
	}
	require.Equal(t, want, keys("SELECT key FROM "+pgx.Identifier{schema, "users_own"}.Sanitize()))
	require.Equal(t, want, keys("SELECT saga_id FROM "+table+" WHERE state = 'completed'"))
	require.Equal(t, []string{"2", "2", "2"}, keys("SELECT attempt::text FROM "+table+" WHERE state = 'failed'"))
}
