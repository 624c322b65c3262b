package outbox_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

// counter acknowledges everything and tells when it has all.
type counter struct {
	left int
	done chan struct{}
}

func (c *counter) Publish(_ context.Context, records []choreo.Record) []error {
	if c.left -= len(records); c.left == 0 {
		close(c.done)
	}
	return nil
}

// BenchmarkRelayBacklog is what the relay itself costs, over a store and a log that cost
// next to nothing: 20,000 entries of some sagas.
func BenchmarkRelayBacklog(b *testing.B) {
	const entries = 20_000
	for _, sagas := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("sagas=%d", sagas), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				store := memory.New(memory.NewDatabase())
				values := make([]string, entries)
				for i := range values {
					values[i] = fmt.Sprintf("s%d#%d", i%sagas, i)
				}
				changes, ids := changesOf(values)
				unit, err := store.Begin(b.Context(), ids...)
				require.NoError(b, err)
				require.NoError(b, unit.Commit(b.Context(), changes))
				log := &counter{left: entries, done: make(chan struct{})}
				relay := outbox.NewRelay(store, log, nil)
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan error, 1)
				b.StartTimer()
				go func() { ended <- relay.Run(ctx) }()
				<-log.done
				cancel()
				require.NoError(b, <-ended)
			}
			b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkRelayHop is the time from a commit to the publication on an idle system.
func BenchmarkRelayHop(b *testing.B) {
	store := memory.New(memory.NewDatabase())
	published := make(chan struct{})
	relay := outbox.NewRelay(store, hop(published), nil)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(ctx) }()
	changes, ids := changesOf([]string{"a#1"})
	b.ReportAllocs()
	for b.Loop() {
		unit, err := store.Begin(b.Context(), ids...)
		require.NoError(b, err)
		require.NoError(b, unit.Commit(b.Context(), changes))
		<-published
	}
	cancel()
	require.NoError(b, <-ended)
}

type hop chan struct{}

func (h hop) Publish(context.Context, []choreo.Record) []error {
	h <- struct{}{}
	return nil
}
