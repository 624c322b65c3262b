package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	kafkago "github.com/segmentio/kafka-go"
)

// limits are what the machine, its PostgreSQL and its Kafka do without Choreo, in the
// same run.
type limits struct {
	// StepSQL is the SQL of a step (begin, business UPDATE, step row, outbox row,
	// commit; pipelined into one round trip) by bare pgx, per second, at the number of
	// connections that did best.
	StepSQL            float64 `json:"bare_step_transactions_per_second"`
	StepSQLConnections int     `json:"bare_step_transactions_connections"`
	// SagaSQL is five bare business statements a saga, each its own commit, 20 % of the
	// sagas undone from the fourth: no engine, no log.
	SagaSQL float64 `json:"bare_business_sagas_per_second"`
	// CommitP50 is that transaction alone.
	CommitP50 float64 `json:"bare_step_transaction_idle_p50_ms"`
	// Produce are records of the same size by bare kafka-go, in requests of 1,000.
	Produce float64 `json:"bare_kafka_records_per_second"`
	// ProduceP50 is one record alone, acknowledged.
	ProduceP50 float64 `json:"bare_kafka_record_idle_p50_ms"`
}

const limitFor = 4 * time.Second // that each figure is measured

func measureLimits(ctx context.Context, opts *options) (*limits, error) {
	var l limits
	if err := l.postgres(ctx, opts.postgres); err != nil {
		return nil, fmt.Errorf("bare pgx: %w", err)
	}
	if len(opts.brokers) > 0 {
		if err := l.kafka(ctx, opts.brokers); err != nil {
			return nil, fmt.Errorf("bare kafka-go: %w", err)
		}
	}
	return &l, nil
}

// bare is a schema for statements without Choreo.
type bare struct {
	pool              *pgxpool.Pool
	update, step, out string
}

func (l *limits) postgres(ctx context.Context, dsn string) error {
	const schema = "bench_bare"
	pool, err := openSchema(ctx, dsn, schema, 33)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, fmt.Sprintf(`
		CREATE TABLE %[1]s.step (saga text, saga_id text, step text, state text NOT NULL, output bytea, PRIMARY KEY (saga, saga_id, step));
		CREATE TABLE %[1]s.outbox (seq bigserial PRIMARY KEY, id uuid NOT NULL, aggregateid text NOT NULL, payload bytea NOT NULL)`, schema))
	if err != nil {
		return err
	}
	b := &bare{
		pool:   pool,
		update: fmt.Sprintf(`UPDATE %s.account SET balance = balance + $1 WHERE id = $2`, schema),
		step:   fmt.Sprintf(`INSERT INTO %s.step VALUES ('order', $1, 'create-order', 'completed', $2)`, schema),
		out:    fmt.Sprintf(`INSERT INTO %s.outbox (id, aggregateid, payload) VALUES ($1, $2, $3)`, schema),
	}
	for _, connections := range []int{1, 8, 16, 32} {
		rate, err := b.work(ctx, connections, b.stepTransaction)
		if err != nil {
			return err
		}
		if connections == 1 {
			l.CommitP50 = 1000 / rate
		}
		if rate > l.StepSQL {
			l.StepSQL, l.StepSQLConnections = rate, connections
		}
	}
	l.SagaSQL, err = b.work(ctx, 8, b.businessSaga)
	return err
}

// work does something on so many connections for a while and returns how often a second.
func (b *bare) work(ctx context.Context, connections int, do func(context.Context, *pgx.Conn) error) (float64, error) {
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, connections)
	end := time.Now().Add(limitFor)
	for range connections {
		wg.Go(func() {
			conn, err := b.pool.Acquire(ctx)
			if err != nil {
				errs <- err
				return
			}
			defer conn.Release()
			for time.Now().Before(end) {
				if err := do(ctx, conn.Conn()); err != nil {
					errs <- err
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	close(errs)
	return float64(n.Load()) / limitFor.Seconds(), <-errs
}

func (b *bare) stepTransaction(ctx context.Context, conn *pgx.Conn) error {
	id, payload := newUUID(), make([]byte, 200)
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(b.update, 1, rand.IntN(accounts))
	batch.Queue(b.step, id, payload)
	batch.Queue(b.out, id, id, payload)
	batch.Queue("COMMIT")
	return conn.SendBatch(ctx, batch).Close()
}

func (b *bare) businessSaga(ctx context.Context, conn *pgx.Conn) error {
	account, statements := rand.IntN(accounts), 5
	if rand.IntN(5) == 0 {
		statements = 6 // three done, three undone
	}
	for i := range statements {
		delta := 1
		if statements == 6 && i >= 3 {
			delta = -1
		}
		if _, err := conn.Exec(ctx, b.update, delta, account); err != nil {
			return err
		}
	}
	return nil
}

func (l *limits) kafka(ctx context.Context, brokers []string) error {
	const topic = "choreo.bench-bare.events"
	client := &kafkago.Client{Addr: kafkago.TCP(brokers...), Transport: &kafkago.Transport{MetadataTTL: time.Second}}
	created, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{
		Topics: []kafkago.TopicConfig{{Topic: topic, NumPartitions: 12, ReplicationFactor: 1}},
	})
	if err != nil {
		return err
	}
	if err := created.Errors[topic]; err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
		return err
	}
	produce := func(ctx context.Context, partition, n int) error {
		records := make([]kafkago.Record, n)
		for i := range records {
			records[i] = kafkago.Record{
				Key: kafkago.NewBytes([]byte(newUUID())), Value: kafkago.NewBytes(make([]byte, 200)),
				Headers: []kafkago.Header{{Key: "ce_id", Value: make([]byte, 250)}},
			}
		}
		res, err := client.Produce(ctx, &kafkago.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafkago.RequireAll,
			Records: kafkago.NewRecordReader(records...),
		})
		if err == nil {
			err = res.Error
		}
		return err
	}
	for { // the topic may take a moment to be known
		if err = produce(ctx, 0, 1); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
	var alone []time.Duration
	for range 500 {
		begin := time.Now()
		if err := produce(ctx, 0, 1); err != nil {
			return err
		}
		alone = append(alone, time.Since(begin))
	}
	l.ProduceP50 = ms(quantile(alone, 0.5))

	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, 12)
	end := time.Now().Add(limitFor)
	for partition := range 12 {
		wg.Go(func() {
			for time.Now().Before(end) {
				if err := produce(ctx, partition, 1000); err != nil {
					errs <- err
					return
				}
				n.Add(1000)
			}
		})
	}
	wg.Wait()
	close(errs)
	l.Produce = float64(n.Load()) / limitFor.Seconds()
	return <-errs
}
