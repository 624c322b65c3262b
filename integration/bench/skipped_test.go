package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// An event that is skipped costs no allocation.
func TestSkippedAllocateNothing(t *testing.T) {
	keep, records, stop, err := decision(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, stop()) }()
	allocations := testing.AllocsPerRun(10, func() {
		for i := range records {
			if keep(&records[i]) {
				t.Error("it concerns nobody here")
			}
		}
	})
	assert.Zero(t, allocations)

	perSecond, err := decideFor(time.Millisecond, keep, records)
	require.NoError(t, err)
	assert.Positive(t, perSecond)
	_, err = decideFor(time.Millisecond, keep, make([]choreo.Record, 1))
	require.ErrorContains(t, err, "record 0", "what is no event is kept, to be dead-lettered")
}

// BenchmarkSkipped is the part of skipping an event that needs no network.
func BenchmarkSkipped(b *testing.B) {
	// From the headers to the decision.
	b.Run("decision", func(b *testing.B) {
		keep, records, stop, err := decision(b.Context())
		require.NoError(b, err)
		defer func() { require.NoError(b, stop()) }()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if keep(&records[i%len(records)]) {
				b.Fatal("it concerns nobody here")
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	// From records in memory through the decision and the lanes to the offsets. The
	// records lie scattered, other than those of a fetch.
	b.Run("way-in", func(b *testing.B) {
		var perSecond []float64
		for b.Loop() {
			r, err := skipAlone(b.Context(), 50_000)
			require.NoError(b, err)
			perSecond = append(perSecond, r)
		}
		b.ReportMetric(0, "ns/op") // it would count the making of the events
		b.ReportMetric(median(perSecond), "events/s")
	})
}

func TestSkipAlone(t *testing.T) {
	began := time.Now()
	perSecond, err := skipAlone(t.Context(), 500)
	require.NoError(t, err)
	assert.Greater(t, perSecond, 500/time.Since(began).Seconds(), "it counts less than the whole call")
}

// skipAlone skips events of the log in memory: from the records through the decision and the
// lanes to the offsets.
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
