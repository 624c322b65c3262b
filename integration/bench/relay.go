package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/postgres"
	"github.com/choreo-go/choreo/topics"
)

// rowsOfSaga is how many rows of the backlog belong to one saga.
const rowsOfSaga = 4

// measureRelay measures how many rows a second a relay brings from a backlog to Kafka, and
// reads the topic back to see whether each saga's came in order.
func measureRelay(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	log, err := open.kafka(b.brokers)
	if err != nil {
		return err
	}
	pool, err := open.pool(ctx, b.postgres, 8)
	if err != nil {
		return err
	}
	schema := b.schemas("relay") + orders
	if err := createSchema(ctx, pool, schema); err != nil {
		return err
	}
	b.note("  making a backlog of %d rows", b.Backlog)
	topic := func(run int) string { return fmt.Sprintf("%s.relay%d.events", b.namespace("relay"), run) }
	if err := makeBacklog(ctx, pool, schema, topic(0), b.Backlog); err != nil {
		return err
	}
	for run := range b.Runs {
		if err := log.CreateTopic(ctx, topics.TopicSpec{Name: topic(run), Partitions: partitions}); err != nil {
			return err
		}
		if err := restoreBacklog(ctx, pool, schema, topic(run)); err != nil {
			return err
		}
		// A store that has not seen the rows being written, as after a start.
		store := postgres.New(pool, &postgres.Config{Schema: schema})
		took, err := relayAll(ctx, store, log, b.Backlog)
		if err != nil {
			return err
		}
		if err := checkOrder(ctx, log, topic(run), b.Backlog); err != nil {
			return err
		}
		b.add("relay.rows", rate(b.Backlog, took))
	}
	return nil
}

// makeBacklog writes events of sagas, four of each and interleaved, by transactions that the
// store joins, and sets them aside in a table of their own.
func makeBacklog(ctx context.Context, pool *pgxpool.Pool, schema, topic string, rows int) error {
	const unitRows = 1000
	store := postgres.New(pool, &postgres.Config{Schema: schema})
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	for made := 0; made < rows; made += unitRows {
		var changes outbox.Changes
		for i := made; i < min(made+unitRows, rows); i++ {
			changes.Entries = append(changes.Entries, backlogEntry(i, rows, topic))
		}
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			unit, err := store.Join(ctx, tx)
			if err != nil {
				return err
			}
			return unit.Commit(ctx, changes)
		})
		if err != nil {
			return err
		}
	}
	_, err := pool.Exec(ctx, fmt.Sprintf(`CREATE TABLE %[1]s.backlog AS TABLE %[1]s.choreo_outbox`, schema))
	return err
}

// backlogEntry is row i of a backlog. Its number stands first in its payload.
func backlogEntry(i, rows int, topic string) outbox.Entry {
	ev := event(i % (rows/rowsOfSaga + 1))
	ev.Payload = fmt.Appendf(nil, `{"n":%d,%s`, i, ev.Payload[1:])
	return outbox.Entry{ID: ev.ID, Type: string(ev.Type), Record: topics.Encode(&ev, topic)}
}

// event is one of the workload, of the saga with this number.
func event(saga int) choreo.Event {
	return choreo.Event{
		ID: newUUID(), Type: choreo.StepCompleted, Saga: order.Name(), Version: 1, Step: createOrder.Name(),
		SagaID: fmt.Sprintf("018f3a3e-0000-7000-8000-%012d", saga), Source: orders, Initiator: orders,
		Time: time.Now(), CausationID: newUUID(), Attempt: 1, ContentType: "application/json", Partition: choreo.AnyPartition,
		Payload: []byte(`{"account":1234,"refuse":false,"order_id":"order-0001234","total_cents":12990,"country":"DE"}`),
	}
}

// restoreBacklog fills the outbox with what was set aside, on its way to the topic.
func restoreBacklog(ctx context.Context, pool *pgxpool.Pool, schema, topic string) error {
	names, err := columns(ctx, pool, schema, "choreo_outbox")
	if err != nil {
		return err
	}
	picks := make([]string, len(names))
	for i, name := range names {
		names[i] = pgx.Identifier{name}.Sanitize()
		picks[i] = names[i]
		if name == "aggregatetype" {
			picks[i] = "$1"
		}
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(`TRUNCATE %s.choreo_outbox`, schema))
	if err != nil {
		return err
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(`INSERT INTO %[1]s.choreo_outbox (%[2]s) SELECT %[3]s FROM %[1]s.backlog ORDER BY seq`,
		schema, strings.Join(names, ", "), strings.Join(picks, ", ")), topic)
	if err != nil {
		return fmt.Errorf("fill the outbox: %w", err)
	}
	// As autovacuum does where a backlog grows.
	_, err = pool.Exec(ctx, fmt.Sprintf(`VACUUM (ANALYZE) %s.choreo_outbox`, schema))
	return err
}

// relayAll runs a relay until all rows are acknowledged, and makes sure that none is left.
func relayAll(ctx context.Context, store *postgres.Store, log outbox.Publisher, rows int) (time.Duration, error) {
	counter := &countingPublisher{to: log, want: int64(rows), reached: make(chan struct{})}
	relay := outbox.NewRelay(store, counter, nil)
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	begin := time.Now()
	go func() { ended <- relay.Run(running) }()
	select {
	case <-counter.reached:
	case err := <-ended:
		return 0, errors.Join(err, ctx.Err())
	}
	took := time.Since(begin)
	stop() // it finishes what is under way
	if err := <-ended; err != nil {
		return 0, err
	}
	left, err := store.Backlog(ctx)
	if err == nil && left.Entries > 0 {
		err = fmt.Errorf("%d rows are left in the outbox, of which all were acknowledged", left.Entries)
	}
	return took, err
}

// countingPublisher tells when so many records were acknowledged.
type countingPublisher struct {
	to      outbox.Publisher
	n       atomic.Int64
	want    int64
	reached chan struct{}
}

// Publish passes the records on.
func (c *countingPublisher) Publish(ctx context.Context, records []choreo.Record) []error {
	errs := c.to.Publish(ctx, records)
	acknowledged := int64(len(records))
	for _, err := range errs {
		if err != nil {
			acknowledged--
		}
	}
	if now := c.n.Add(acknowledged); now >= c.want && now-acknowledged < c.want {
		close(c.reached)
	}
	return errs
}

// checkOrder reads the topic and makes sure that all rows are there, and the first of each
// row after the first of those before it of the same saga.
func checkOrder(ctx context.Context, log topics.Log, topic string, rows int) error {
	check := newOrderCheck(rows)
	err := log.Read(ctx, topics.ReadConfig{Topic: topic, ToEnd: true}, func(_ context.Context, batch []choreo.Record) error {
		for i := range batch {
			if err := check.see(batch[i].Key, batch[i].Value); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = check.complete()
	}
	if err != nil {
		return fmt.Errorf("topic %s, read back: %w", topic, err)
	}
	return nil
}

// orderCheck looks at the rows of a backlog as they come out of the log.
type orderCheck struct {
	seen   []bool
	last   map[string]int
	unique int
}

func newOrderCheck(rows int) *orderCheck {
	return &orderCheck{seen: make([]bool, rows), last: make(map[string]int, rows/rowsOfSaga)}
}

func (c *orderCheck) see(key, value []byte) error {
	head, _, _ := bytes.Cut(value, []byte(","))
	n, err := strconv.Atoi(string(bytes.TrimPrefix(head, []byte(`{"n":`))))
	if err != nil || n < 0 || n >= len(c.seen) {
		return fmt.Errorf("the payload %.40q is not one of the backlog", value)
	}
	if c.seen[n] { // published again, which is allowed
		return nil
	}
	c.seen[n] = true
	c.unique++
	if last, before := c.last[string(key)]; before && n < last {
		return fmt.Errorf("row %d of saga %s comes after row %d: the order of a saga is lost", n, key, last)
	}
	c.last[string(key)] = n
	return nil
}

func (c *orderCheck) complete() error {
	if c.unique != len(c.seen) {
		return fmt.Errorf("it holds %d of %d rows", c.unique, len(c.seen))
	}
	return nil
}
