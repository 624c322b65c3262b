package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The numbers of connections and the sizes of groups of the limits.
var (
	singleConnections = []int{1, 8, 32}
	groupSizes        = []int{16, 64, 256}
	groupConnections  = []int{1, 8}
)

const (
	// businessConnections are those of the bare business statements.
	businessConnections = 8
	roundTripGroup      = 64
	claimRows           = 1000
)

// bare is a schema of PostgreSQL for statements without Choreo.
type bare struct {
	refused                                   int // percentage of the business sagas
	pool                                      *pgxpool.Pool
	update, step, out                         string // of one step
	steps, outs                               string // of many
	read, deleteIDs, deleteRange, fill, clear string
}

var payload = make([]byte, 200)

func newUUID() string { return uuid.Must(uuid.NewV7()).String() }

// bare makes the schema.
func (c *closers) bare(ctx context.Context, b *bench) (*bare, error) {
	schema := b.schemas("bare")[:len(b.schemas("bare"))-1]
	pool, err := c.pool(ctx, b.postgres, int32(slices.Max(singleConnections)+1))
	if err != nil {
		return nil, err
	}
	if err := createSchema(ctx, pool, schema); err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(`
		CREATE TABLE %[1]s.step (saga text, saga_id text, step text, state text NOT NULL, output bytea, PRIMARY KEY (saga, saga_id, step));
		CREATE TABLE %[1]s.outbox (seq bigserial PRIMARY KEY, id uuid NOT NULL, aggregateid text NOT NULL, payload bytea NOT NULL)`, schema))
	sql := func(text string) string { return fmt.Sprintf(text, schema) }
	return &bare{
		refused:     b.Refused,
		pool:        pool,
		update:      updateAccount(schema),
		step:        sql(`INSERT INTO %s.step VALUES ('order', $1, 'create-order', 'completed', $2)`),
		out:         sql(`INSERT INTO %s.outbox (id, aggregateid, payload) VALUES ($1::text::uuid, $1, $2)`),
		steps:       sql(`INSERT INTO %s.step SELECT 'order', id, 'create-order', 'completed', $2 FROM unnest($1::text[]) id`),
		outs:        sql(`INSERT INTO %s.outbox (id, aggregateid, payload) SELECT id::uuid, id, $2 FROM unnest($1::text[]) id`),
		fill:        sql(`INSERT INTO %s.outbox (id, aggregateid, payload) SELECT gen_random_uuid(), 'order-' || i, $1 FROM generate_series(1, $2::int) i`),
		read:        sql(`SELECT seq, id::text, aggregateid, payload FROM %s.outbox ORDER BY seq LIMIT 1000`),
		deleteIDs:   sql(`DELETE FROM %s.outbox WHERE seq = ANY($1)`),
		deleteRange: sql(`DELETE FROM %s.outbox WHERE seq BETWEEN $1 AND $2`),
		clear:       sql(`TRUNCATE %s.outbox`),
	}, err
}

// work does something on so many connections for a while and returns how often a second.
func (b *bare) work(ctx context.Context, connections int, long time.Duration, do func(context.Context, *pgx.Conn) error) (float64, error) {
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, connections)
	begin := time.Now()
	end := begin.Add(long)
	for range connections {
		wg.Go(func() {
			errs <- b.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
				for time.Now().Before(end) {
					if err := do(ctx, conn.Conn()); err != nil {
						return err
					}
					n.Add(1)
				}
				return nil
			})
		})
	}
	wg.Wait()
	took := time.Since(begin) // what was begun in time is done, and counts
	for range connections {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	return rate(int(n.Load()), took), nil
}

// alone does something on one connection for a while and returns how long each took.
func (b *bare) alone(ctx context.Context, long time.Duration, do func(context.Context, *pgx.Conn) error) (took []time.Duration, err error) {
	_, err = b.work(ctx, 1, long, func(ctx context.Context, conn *pgx.Conn) error {
		begin := time.Now()
		err := do(ctx, conn)
		took = append(took, time.Since(begin))
		return err
	})
	return took, err
}

// stepPipelined is the transaction of a step in one round trip.
func (b *bare) stepPipelined(ctx context.Context, conn *pgx.Conn) error {
	id := newUUID()
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(b.update, 1, rand.IntN(accounts))
	batch.Queue(b.step, id, payload)
	batch.Queue(b.out, id, payload)
	batch.Queue("COMMIT")
	return conn.SendBatch(ctx, batch).Close()
}

// stepSeparate is the same in a round trip for each statement.
func (b *bare) stepSeparate(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		id := newUUID()
		if _, err := tx.Exec(ctx, b.update, 1, rand.IntN(accounts)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, b.step, id, payload); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, b.out, id, payload)
		return err
	})
}

// group returns a transaction of so many steps in one round trip, with business rows in
// sorted order, so that no two deadlock.
func (b *bare) group(size int) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		batch := &pgx.Batch{}
		batch.Queue("BEGIN")
		for _, account := range sortedAccounts(size) {
			batch.Queue(b.update, 1, account)
		}
		b.queueRows(batch, size)
		batch.Queue("COMMIT")
		return conn.SendBatch(ctx, batch).Close()
	}
}

// groupRoundTrips is a transaction of 64 steps with a round trip for each business statement,
// as handlers make them.
func (b *bare) groupRoundTrips(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, account := range sortedAccounts(roundTripGroup) {
			if _, err := tx.Exec(ctx, b.update, 1, account); err != nil {
				return err
			}
		}
		batch := &pgx.Batch{}
		b.queueRows(batch, roundTripGroup)
		return tx.SendBatch(ctx, batch).Close()
	})
}

func sortedAccounts(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = rand.IntN(accounts)
	}
	slices.Sort(list)
	return list
}

// queueRows queues the step rows and the outbox rows of a group.
func (b *bare) queueRows(batch *pgx.Batch, size int) {
	ids := make([]string, size)
	for i := range ids {
		ids[i] = newUUID()
	}
	batch.Queue(b.steps, ids, payload)
	batch.Queue(b.outs, ids, payload)
}

// businessSaga is five business statements, each its own commit, or three of them and three
// that undo those where it is refused: no engine, no log.
func (b *bare) businessSaga(ctx context.Context, conn *pgx.Conn) error {
	account, statements := rand.IntN(accounts), 5
	refused := rand.IntN(100) < b.refused
	if refused {
		statements = 6 // three done, three undone
	}
	for i := range statements {
		delta := 1
		if refused && i >= 3 {
			delta = -1
		}
		if _, err := conn.Exec(ctx, b.update, delta, account); err != nil {
			return err
		}
	}
	return nil
}

// take reads rows of the outbox in order and deletes them, until none is left. It returns how
// many a second.
func (b *bare) take(ctx context.Context, rows int, byRange bool) (float64, error) {
	if _, err := b.pool.Exec(ctx, b.clear); err != nil {
		return 0, err
	}
	if _, err := b.pool.Exec(ctx, b.fill, payload, rows); err != nil {
		return 0, err
	}
	begin := time.Now()
	for taken := 0; taken < rows; {
		n, err := b.takeOnce(ctx, byRange)
		if err != nil {
			return 0, err
		}
		taken += n
	}
	return rate(rows, time.Since(begin)), nil
}

func (b *bare) takeOnce(ctx context.Context, byRange bool) (n int, err error) {
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, b.read)
		if err != nil {
			return err
		}
		var seqs []int64
		var seq int64
		var id, key string
		var value []byte
		_, err = pgx.ForEachRow(rows, []any{&seq, &id, &key, &value}, func() error {
			seqs = append(seqs, seq)
			return nil
		})
		if n = len(seqs); err != nil || n == 0 {
			return err
		}
		if byRange {
			_, err = tx.Exec(ctx, b.deleteRange, seqs[0], seqs[n-1])
		} else {
			_, err = tx.Exec(ctx, b.deleteIDs, seqs)
		}
		return err
	})
	return n, err
}
