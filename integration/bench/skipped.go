package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// bystander is a service that takes part in the sagas of the workload, and owns none of their
// steps.
const bystander = "bystander"

// measureSkipped measures how many events a second a participant skips that do not concern
// it: on Kafka and on the embedded broker, and how fast it decides on them.
func measureSkipped(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	addresses, err := open.embedded()
	if err != nil {
		return err
	}
	for _, at := range []struct {
		name    string
		brokers []string
	}{{"kafka", b.brokers}, {"embedded", addresses}} {
		if err := b.measureSkippedOn(ctx, at.name, at.brokers); err != nil {
			return fmt.Errorf("%s: %w", at.name, err)
		}
	}
	keep, records, stop, err := decision(ctx)
	if err != nil {
		return err
	}
	open.add(stop)
	for range b.Runs {
		perSecond, err := decideFor(b.limitFor(), keep, records)
		if err != nil {
			return err
		}
		b.add("skipped.decision", perSecond)
	}
	return nil
}

func (b *bench) measureSkippedOn(ctx context.Context, name string, brokers []string) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	log, err := open.kafka(brokers)
	if err != nil {
		return err
	}
	namespace := b.namespace("skipped")
	names, err := openTopics(ctx, log, namespace)
	if err != nil {
		return err
	}
	b.note("  writing %d events to %s", b.Skipped, name)
	if err := writeEvents(ctx, log, names.Events(order.Name()), b.Skipped); err != nil {
		return err
	}
	for run := range b.Runs {
		// A service that has read nothing yet.
		service := fmt.Sprintf("%s-%d", bystander, run)
		got, took, err := skipIn(ctx, log, names, &task{Role: roleSkipper,
			Place: place{Brokers: brokers, Namespace: namespace, Services: []string{service}}})
		if err != nil {
			return err
		}
		b.add("skipped."+name, rate(b.Skipped, took))
		b.add("skipped."+name+"-allocations", got["allocations"]/float64(b.Skipped))
	}
	return nil
}

// writeEvents writes events of sagas: those of the five steps in turn.
func writeEvents(ctx context.Context, log topics.Log, topic string, n int) error {
	const writers, call = 4, 2500
	running, ctx := errgroup.WithContext(ctx)
	running.SetLimit(writers)
	for begin := 0; begin < n; begin += call {
		running.Go(func() error {
			records := make([]choreo.Record, 0, call)
			for i := begin; i < min(begin+call, n); i++ {
				records = append(records, eventRecord(i, topic))
			}
			return errors.Join(log.Publish(ctx, records)...)
		})
	}
	return running.Wait()
}

func eventRecord(i int, topic string) choreo.Record {
	steps := order.Steps()
	ev := event(i / len(steps))
	ev.Step, ev.Source = steps[i%len(steps)].Name, steps[i%len(steps)].Owner
	return topics.Encode(&ev, topic)
}

// skipIn has a process skip all that is in the topic, and returns what it says of that and
// how long it took: from when it had its partitions until all offsets were committed.
func skipIn(ctx context.Context, log topics.Log, names topics.Names, t *task) (said map[string]float64, took time.Duration, err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	service := t.Place.Services[0]
	skipper, err := open.child(ctx, service, t)
	if err != nil {
		return nil, 0, err
	}
	if _, err := skipper.hear(); err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	err = until(ctx, func() (bool, error) {
		lags, err := log.GroupLag(ctx, names.Group(service), names.Events(order.Name()))
		left := int64(0)
		for _, l := range lags {
			left += l.Lag()
		}
		return left == 0, err
	})
	if err != nil {
		return nil, 0, err
	}
	took = time.Since(begin)
	if err := skipper.tell(struct{}{}); err != nil {
		return nil, 0, err
	}
	said, err = skipper.hear()
	return said, took, err
}

// skip takes part in sagas of which the service owns no step, and says how much was allocated
// from when it had its partitions until it is told to end.
func skip(ctx context.Context, t *task, lines *json.Decoder, say func(map[string]float64) error) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	log, err := open.kafka(t.Place.Brokers)
	if err != nil {
		return err
	}
	p, err := newBystander(log, t.Place.Namespace, t.Place.Services[0])
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var running errgroup.Group
	running.Go(func() error { defer stop(); return p.Run(ctx) })
	defer func() { stop(); err = errors.Join(err, running.Wait()) }()
	err = until(ctx, func() (bool, error) { return p.Health(ctx).Partitions == partitions, nil })
	if err != nil {
		return err
	}
	before := usage()
	if err := say(nil); err != nil {
		return err
	}
	if err := lines.Decode(&struct{}{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return say(map[string]float64{"allocations": float64(usage().minus(before).allocs)})
}

// newBystander returns a participant that owns no step.
func newBystander(log topics.Log, namespace, service string) (*participant.Participant[*memory.Tx], error) {
	return participant.New(log, memory.New(memory.NewDatabase()), &participant.Config{
		Service: service, Sagas: []choreo.AnySaga{order}, Namespace: namespace,
	})
}

// decision returns how a participant that owns no step decides on records, and some of them,
// without a log between. The caller stops it.
func decision(ctx context.Context) (keep func(*choreo.Record) bool, records []choreo.Record, stop func() error, err error) {
	const some = 1000
	log := memorylog.New(memorylog.Options{})
	names, err := openTopics(ctx, log, bystander)
	if err != nil {
		return nil, nil, nil, errors.Join(err, log.Close())
	}
	captured := &capturedLog{log, make(chan func(*choreo.Record) bool)}
	p, err := newBystander(captured, bystander, bystander)
	if err != nil {
		return nil, nil, nil, errors.Join(err, log.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var running errgroup.Group
	running.Go(func() error { defer cancel(); return p.Run(ctx) })
	stop = func() error { cancel(); return errors.Join(running.Wait(), log.Close()) }
	select {
	case keep = <-captured.keep:
	case <-ctx.Done():
		return nil, nil, nil, errors.Join(context.Cause(ctx), stop())
	}
	for i := range some {
		records = append(records, eventRecord(i, names.Events(order.Name())))
	}
	return keep, records, stop, nil
}

// capturedLog hands out by what its consumer decides on records, and gives it none.
type capturedLog struct {
	topics.Log
	keep chan func(*choreo.Record) bool
}

// Consume hands out config.Keep and waits for the end of ctx.
func (c *capturedLog) Consume(ctx context.Context, config topics.ConsumeConfig, _ topics.Handler) error {
	select {
	case c.keep <- config.Keep:
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
}

// decideFor decides on records again and again for a while, and returns on how many a second.
func decideFor(long time.Duration, keep func(*choreo.Record) bool, records []choreo.Record) (perSecond float64, err error) {
	n, begin := 0, time.Now()
	for time.Since(begin) < long {
		for i := range records {
			if keep(&records[i]) {
				return 0, fmt.Errorf("record %d concerns a service that owns no step", i)
			}
		}
		n += len(records)
	}
	return rate(n, time.Since(begin)), nil
}
