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
// it: on Kafka, on the embedded broker, and without a log between.
func measureSkipped(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	dir, err := open.tempDir()
	if err != nil {
		return err
	}
	addresses, err := open.embedded(dir)
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
	for range b.Runs {
		perSecond, err := skipAlone(ctx, min(b.Skipped, 100_000))
		if err != nil {
			return err
		}
		b.add("skipped.alone", perSecond)
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

// skipAlone measures the way in without a network and the decoding of what comes over it:
// from records in memory through the decision and the lanes to the offsets.
func skipAlone(ctx context.Context, n int) (perSecond float64, err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	log := memorylog.New(memorylog.Options{})
	open.add(log.Close)
	names, err := openTopics(ctx, log, bystander)
	if err != nil {
		return 0, err
	}
	topic := names.Events(order.Name())
	if err := writeEvents(ctx, log, topic, n); err != nil {
		return 0, err
	}
	w := &watchedLog{Log: log, want: n, first: make(chan struct{}), last: make(chan struct{})}
	p, err := newBystander(w, bystander, bystander)
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(ctx)
	var running errgroup.Group
	running.Go(func() error { defer stop(); return p.Run(ctx) })
	defer func() { stop(); err = errors.Join(err, running.Wait()) }()
	for _, moment := range []chan struct{}{w.first, w.last} {
		select {
		case <-moment:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return rate(n, w.took), nil
}

// watchedLog is a log that tells when its consumer is asked about the first record and when
// it has decided on the last of so many.
type watchedLog struct {
	topics.Log
	want        int
	first, last chan struct{}
	took        time.Duration // until the last, once that is told
}

// Consume watches what the consumer keeps. Records come from one goroutine.
func (w *watchedLog) Consume(ctx context.Context, config topics.ConsumeConfig, handle topics.Handler) error {
	var n int
	var begin time.Time
	keep := config.Keep
	config.Keep = func(rec *choreo.Record) bool {
		if n++; n == 1 {
			begin = time.Now()
			close(w.first)
		}
		kept := keep(rec)
		if n == w.want {
			w.took = time.Since(begin)
			close(w.last)
		}
		return kept
	}
	return w.Log.Consume(ctx, config, handle)
}
