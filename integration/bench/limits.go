package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/choreo-go/choreo/outbox/sqlite"
)

// measureLimits measures what the machine, its PostgreSQL, its Kafka and SQLite do without
// Choreo, in the same run.
func measureLimits(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	if err := b.postgresLimits(ctx, &open); err != nil {
		return fmt.Errorf("bare pgx: %w", err)
	}
	if err := b.sqliteLimits(ctx, &open); err != nil {
		return fmt.Errorf("bare SQLite: %w", err)
	}
	if err := b.kafkaLimits(ctx); err != nil {
		return fmt.Errorf("bare kafka-go: %w", err)
	}
	return nil
}

func (b *bench) postgresLimits(ctx context.Context, open *closers) error {
	bare, err := open.bare(ctx, b)
	if err != nil {
		return err
	}
	for range b.Runs {
		if err := b.stepLimits(ctx, bare); err != nil {
			return err
		}
		business, err := bare.work(ctx, businessConnections, b.limitFor(), bare.businessSaga)
		if err != nil {
			return err
		}
		b.add("limits.business-sagas", business)
		for _, alone := range []struct {
			name string
			do   func(context.Context, *pgx.Conn) error
		}{{"limits.business-saga-p50", bare.businessSaga}, {"limits.step-idle-p50", bare.stepPipelined}} {
			took, err := bare.alone(ctx, b.limitFor(), alone.do)
			if err != nil {
				return err
			}
			b.add(alone.name, ms(quantile(took, 0.5)))
		}
		rows := min(b.Backlog, 50*claimRows)
		for name, byRange := range map[string]bool{"limits.outbox-by-id": false, "limits.outbox-by-range": true} {
			taken, err := bare.take(ctx, rows, byRange)
			if err != nil {
				return err
			}
			b.add(name, taken)
		}
	}
	return nil
}

// stepLimits measures steps by one transaction each, and many in one.
func (b *bench) stepLimits(ctx context.Context, bare *bare) error {
	add := func(name string, connections, steps int, do func(context.Context, *pgx.Conn) error) error {
		perSecond, err := bare.work(ctx, connections, b.limitFor(), do)
		b.add("limits."+name, perSecond*float64(steps))
		return err
	}
	for _, n := range singleConnections {
		if err := errors.Join(add(fmt.Sprintf("step-separate-%d", n), n, 1, bare.stepSeparate),
			add(fmt.Sprintf("step-pipelined-%d", n), n, 1, bare.stepPipelined)); err != nil {
			return err
		}
	}
	for _, n := range groupConnections {
		for _, size := range groupSizes {
			if err := add(fmt.Sprintf("group-%d-%d", size, n), n, size, bare.group(size)); err != nil {
				return err
			}
		}
		if err := add(fmt.Sprintf("group-round-trips-%d", n), n, roundTripGroup, bare.groupRoundTrips); err != nil {
			return err
		}
	}
	return nil
}

// sqliteSizes are the steps of a transaction.
var sqliteSizes = []int{1, 64}

func (b *bench) sqliteLimits(ctx context.Context, open *closers) error {
	dir, err := open.tempDir()
	if err != nil {
		return err
	}
	for _, sync := range []sqlite.Synchronous{sqlite.Normal, sqlite.Full} {
		name := strings.ToLower(string(sync))
		db, err := open.sqlite(ctx, filepath.Join(dir, name+".db"), &sqlite.OpenConfig{Synchronous: sync})
		if err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, `CREATE TABLE outbox (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL)`); err != nil {
			return err
		}
		if err := b.sqliteLimit(ctx, name, db); err != nil {
			return err
		}
	}
	return nil
}

// sqliteLimit measures steps on one connection with prepared statements.
func (b *bench) sqliteLimit(ctx context.Context, name string, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it goes back to the pool
	update, err := conn.PrepareContext(ctx, `UPDATE account SET balance = balance + 1 WHERE id = ?`)
	if err != nil {
		return err
	}
	defer func() { _ = update.Close() }()
	insert, err := conn.PrepareContext(ctx, `INSERT INTO outbox (payload) VALUES (?)`)
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }()
	transaction := func(steps int) error {
		if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
			return err
		}
		for range steps {
			if _, err := update.ExecContext(ctx, rand.IntN(accounts)); err != nil {
				return err
			}
			if _, err := insert.ExecContext(ctx, payload); err != nil {
				return err
			}
		}
		_, err := conn.ExecContext(ctx, `COMMIT`)
		return err
	}
	for range b.Runs {
		for _, size := range sqliteSizes {
			steps, begin := 0, time.Now()
			for time.Since(begin) < b.limitFor() {
				if err := transaction(size); err != nil {
					return err
				}
				steps += size
			}
			b.add(fmt.Sprintf("limits.sqlite-%s-%d", name, size), rate(steps, time.Since(begin)))
		}
	}
	return nil
}

// kafkaLimits measures records of about the size of an event.
func (b *bench) kafkaLimits(ctx context.Context) error {
	topic := b.namespace("bare") + ".events"
	client := &kafkago.Client{Addr: kafkago.TCP(b.brokers...), Transport: &kafkago.Transport{MetadataTTL: time.Second}}
	created, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{
		Topics: []kafkago.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}},
	})
	if err != nil {
		return err
	}
	if err := created.Errors[topic]; err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	p := &bareProducer{client: client, topic: topic}
	for partition := range partitions { // each may take a moment to be known
		var last error
		err := until(ctx, func() (bool, error) {
			last = p.produce(ctx, partition, 1)
			return last == nil, nil
		})
		if err != nil {
			return errors.Join(err, last)
		}
	}
	for range b.Runs {
		var alone []time.Duration
		for begin := time.Now(); time.Since(begin) < b.limitFor(); {
			before := time.Now()
			if err := p.produce(ctx, 0, 1); err != nil {
				return err
			}
			alone = append(alone, time.Since(before))
		}
		b.add("limits.kafka-record-p50", ms(quantile(alone, 0.5)))
		perSecond, err := p.burst(ctx, b.limitFor())
		if err != nil {
			return err
		}
		b.add("limits.kafka-records", perSecond)
	}
	return nil
}

// bareProducer produces without Choreo.
type bareProducer struct {
	client *kafkago.Client
	topic  string
}

func (p *bareProducer) produce(ctx context.Context, partition, n int) error {
	records := make([]kafkago.Record, n)
	for i := range records {
		records[i] = kafkago.Record{
			Key: kafkago.NewBytes([]byte(newUUID())), Value: kafkago.NewBytes(payload),
			Headers: []kafkago.Header{{Key: "ce_id", Value: make([]byte, 250)}},
		}
	}
	res, err := p.client.Produce(ctx, &kafkago.ProduceRequest{
		Topic: p.topic, Partition: partition, RequiredAcks: kafkago.RequireAll,
		Records: kafkago.NewRecordReader(records...),
	})
	if err == nil {
		err = res.Error
	}
	return err
}

// burst produces to all partitions at once for a while, 1,000 records a request, and returns
// how many a second.
func (p *bareProducer) burst(ctx context.Context, long time.Duration) (float64, error) {
	const request = 1000
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, partitions)
	begin := time.Now()
	for partition := range partitions {
		wg.Go(func() {
			for time.Since(begin) < long {
				if err := p.produce(ctx, partition, request); err != nil {
					errs <- err
					return
				}
				n.Add(request)
			}
		})
	}
	wg.Wait()
	close(errs)
	return rate(int(n.Load()), time.Since(begin)), <-errs
}
