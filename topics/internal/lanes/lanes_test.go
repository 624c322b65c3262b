package lanes_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func record(partition int32, offset int64, key string) choreo.Record {
	return choreo.Record{Topic: "t", Partition: partition, Offset: offset, Key: []byte(key)}
}

// series returns records of partition 0 with these keys, from offset 0.
func series(keys ...string) []choreo.Record {
	records := make([]choreo.Record, len(keys))
	for i, key := range keys {
		records[i] = record(0, int64(i), key)
	}
	return records
}

var p0 = lanes.Partition{Topic: "t", Partition: 0}

// gated is a handler whose calls wait until they are let go.
type gated struct {
	calls chan []choreo.Record
	let   chan error
}

func newGated() *gated { return &gated{make(chan []choreo.Record, 100), make(chan error)} }

func (g *gated) handle(ctx context.Context, batch []choreo.Record) error {
	g.calls <- batch
	select {
	case err := <-g.let:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestKeysKeepTheirOrderAndEverythingIsHandledOnce(t *testing.T) {
	const partitions, perPartition, keys = 5, 4000, 97
	var (
		mu   sync.Mutex
		last = make(map[string]int64)
		busy = make(map[string]bool)
		n    int
		done = make(chan struct{})
	)
	l := lanes.New(t.Context(), lanes.Config{Lanes: 8, BatchMax: 16, InFlight: 300,
		Handle: func(_ context.Context, batch []choreo.Record) error {
			mu.Lock()
			for _, r := range batch {
				require.False(t, busy[string(r.Key)], "key %s in two calls", r.Key)
			}
			for _, r := range batch {
				busy[string(r.Key)] = true
			}
			mu.Unlock()
			mu.Lock()
			defer mu.Unlock()
			for _, r := range batch {
				if before, ok := last[string(r.Key)]; ok {
					require.Less(t, before, r.Offset)
				}
				last[string(r.Key)] = r.Offset
				n++
			}
			for _, r := range batch {
				delete(busy, string(r.Key))
			}
			if n == partitions*perPartition {
				close(done)
			}
			return nil
		}})
	defer l.Close()
	var wg sync.WaitGroup
	for p := range int32(partitions) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(p)))
			for offset := int64(0); offset < perPartition; {
				batch := make([]choreo.Record, min(1+random.Int64N(500), perPartition-offset))
				for i := range batch {
					batch[i] = record(p, offset, fmt.Sprintf("%d-%d", p, random.IntN(keys)))
					offset++
				}
				require.NoError(t, l.Submit(t.Context(), batch))
			}
		})
	}
	wg.Wait()
	<-done
	require.NoError(t, l.Drain(t.Context()))
	offsets := l.Offsets()
	require.Len(t, offsets, partitions)
	for p, next := range offsets {
		require.EqualValues(t, perPartition, next, p)
	}
	require.Empty(t, l.Offsets(), "only what changed")
}

func TestALaneTakesWhatHasQueuedUp(t *testing.T) {
	g := newGated()
	l := lanes.New(t.Context(), lanes.Config{Lanes: 1, BatchMax: 3, InFlight: 10, Handle: g.handle})
	defer l.Close()
	require.NoError(t, l.Submit(t.Context(), series("a")))
	require.Len(t, <-g.calls, 1, "a lone record is handled at once")
	more := []choreo.Record{record(0, 1, "b"), record(0, 2, "a"), record(0, 3, "c"), record(0, 4, "b")}
	require.NoError(t, l.Submit(t.Context(), more))
	g.let <- nil
	require.Equal(t, more[:3], <-g.calls)
	g.let <- nil
	require.Equal(t, more[3:], <-g.calls)
}

func TestOffsetsWaitForTheSlowestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		l := lanes.New(t.Context(), lanes.Config{Lanes: 64, BatchMax: 1, InFlight: 100,
			Keep: func(r *choreo.Record) bool { return string(r.Key) != "skipped" },
			Handle: func(_ context.Context, batch []choreo.Record) error {
				if string(batch[0].Key) == "slow" {
					<-slow
				}
				return nil
			}})
		defer l.Close()
		require.Empty(t, l.Offsets())
		require.NoError(t, l.Submit(t.Context(), series("skipped", "x", "slow", "y", "skipped")))
		synctest.Wait()
		require.Equal(t, map[lanes.Partition]int64{p0: 2}, l.Offsets())
		close(slow)
		synctest.Wait()
		require.Equal(t, map[lanes.Partition]int64{p0: 5}, l.Offsets())
	})
}

func TestSubmitBlocksAtTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		l := lanes.New(t.Context(), lanes.Config{Lanes: 4, BatchMax: 1, InFlight: 2, Handle: g.handle,
			Keep: func(r *choreo.Record) bool { return string(r.Key) != "skipped" }})
		defer l.Close()
		submitted := make(chan error, 1)
		go func() { submitted <- l.Submit(t.Context(), series("a", "skipped", "a", "skipped", "a")) }()
		synctest.Wait()
		require.Empty(t, submitted)
		require.Len(t, g.calls, 1)
		g.let <- nil
		synctest.Wait()
		require.NoError(t, <-submitted)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { submitted <- l.Submit(ctx, []choreo.Record{record(0, 5, "a")}) }()
		synctest.Wait()
		require.Empty(t, submitted)
		cancel()
		require.ErrorIs(t, <-submitted, context.Canceled)
		require.NoError(t, l.Submit(ctx, []choreo.Record{record(0, 6, "skipped")}), "needs no room")
	})
}

func TestTheFirstErrorStopsTheLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		l := lanes.New(t.Context(), lanes.Config{Lanes: 1, BatchMax: 1, InFlight: 2, Handle: g.handle})
		submitted := make(chan error, 1)
		go func() { submitted <- l.Submit(t.Context(), series("a", "b", "c", "d")) }()
		fault := errors.New("fault")
		g.let <- nil
		g.let <- fault
		require.Equal(t, fault, <-l.Err())
		require.ErrorIs(t, <-submitted, lanes.ErrStopped)
		require.ErrorIs(t, l.Submit(t.Context(), series("e")), lanes.ErrStopped)
		l.Close()
		require.Len(t, g.calls, 2, "nothing begins after the error")
		require.Equal(t, map[lanes.Partition]int64{p0: 1}, l.Offsets())
	})
}

func TestDrainLetsCallsEndAndDropsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGated()
		l := lanes.New(t.Context(), lanes.Config{Lanes: 1, BatchMax: 1, InFlight: 9, Handle: g.handle})
		require.NoError(t, l.Submit(t.Context(), series("a", "b")))
		<-g.calls
		short, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, l.Drain(short), context.Canceled)
		drained := make(chan error, 1)
		go func() { drained <- l.Drain(t.Context()) }()
		synctest.Wait()
		require.Empty(t, drained)
		g.let <- nil
		require.NoError(t, <-drained)
		require.Empty(t, g.calls)
		require.Equal(t, map[lanes.Partition]int64{p0: 1}, l.Offsets())
		require.ErrorIs(t, l.Submit(t.Context(), series("c")), lanes.ErrStopped)
		l.Close()
	})
}

func TestCloseEndsTheHandlersAndWaitsForThem(t *testing.T) {
	for name, end := range map[string]func(context.CancelFunc, *lanes.Lanes){
		"close":   func(_ context.CancelFunc, l *lanes.Lanes) { l.Close() },
		"context": func(cancel context.CancelFunc, _ *lanes.Lanes) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var ended atomic.Int32
			begun := make(chan struct{}, 2)
			l := lanes.New(ctx, lanes.Config{Lanes: 2, BatchMax: 1, InFlight: 4,
				Handle: func(ctx context.Context, _ []choreo.Record) error {
					begun <- struct{}{}
					<-ctx.Done()
					ended.Add(1)
					return ctx.Err()
				}})
			require.NoError(t, l.Submit(t.Context(), series("a", "a")))
			<-begun
			end(cancel, l)
			l.Close()
			require.EqualValues(t, 1, ended.Load())
			require.Empty(t, l.Offsets())
			require.Empty(t, l.Err(), "giving up is not an error")
			require.Error(t, l.Submit(t.Context(), series("c")))
			l.Close()
		})
	}
}

func TestRecordsWithoutKeyGoByPartition(t *testing.T) {
	const n = 200
	var (
		mu   sync.Mutex
		seen = make(map[int32][]int64)
		left = make(chan struct{}, 2*n)
	)
	l := lanes.New(t.Context(), lanes.Config{Lanes: 16, BatchMax: 3, InFlight: 2 * n,
		Handle: func(_ context.Context, batch []choreo.Record) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range batch {
				seen[r.Partition] = append(seen[r.Partition], r.Offset)
				left <- struct{}{}
			}
			return nil
		}})
	defer l.Close()
	var want []int64
	for offset := range int64(n) {
		want = append(want, offset)
		require.NoError(t, l.Submit(t.Context(), []choreo.Record{record(0, offset, ""), record(1, offset, "")}))
	}
	for range 2 * n {
		<-left
	}
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, map[int32][]int64{0: want, 1: want}, seen)
}

func TestCopiesOutliveTheBuffer(t *testing.T) {
	g := newGated()
	l := lanes.New(t.Context(), lanes.Config{InFlight: 2, Copy: true, Handle: g.handle})
	defer l.Close()
	buffer := []byte("key value header")
	headers := []choreo.Header{{Key: "h", Value: buffer[10:]}, {Key: "none"}}
	records := []choreo.Record{{Topic: "t", Offset: 7, Key: buffer[:3], Value: buffer[4:9], Headers: headers},
		{Topic: "t", Offset: 8, Key: buffer[:3]}}
	require.NoError(t, l.Submit(t.Context(), records))
	clear(buffer)
	clear(headers)
	clear(records)
	require.Equal(t, []choreo.Record{{Topic: "t", Offset: 7, Key: []byte("key"), Value: []byte("value"),
		Headers: []choreo.Header{{Key: "h", Value: []byte("header")}, {Key: "none"}}}}, <-g.calls)
	g.let <- nil
	second := (<-g.calls)[0]
	require.Equal(t, "key", string(second.Key))
	require.Nil(t, second.Value, "a tombstone stays one")
	g.let <- nil
}

func TestRecordsThatAreNotKeptCostNoAllocation(t *testing.T) {
	l := lanes.New(t.Context(), lanes.Config{Keep: func(*choreo.Record) bool { return false }})
	defer l.Close()
	records := series("a", "b", "c")
	require.NoError(t, l.Submit(t.Context(), records))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = l.Submit(t.Context(), records) }))
}

// BenchmarkLanes is the cost of a record that is submitted in fetches of 500 and
// handled by doing nothing.
func BenchmarkLanes(b *testing.B) {
	for _, kept := range []bool{true, false} {
		b.Run(fmt.Sprintf("kept=%t", kept), func(b *testing.B) {
			var handled atomic.Int64
			done := make(chan struct{}, 1)
			l := lanes.New(b.Context(), lanes.Config{Lanes: 32, BatchMax: 64, InFlight: 4096,
				Keep: func(*choreo.Record) bool { return kept },
				Handle: func(_ context.Context, batch []choreo.Record) error {
					if handled.Add(int64(len(batch))) == int64(b.N) {
						done <- struct{}{}
					}
					return nil
				}})
			defer l.Close()
			keys := make([][]byte, 1000)
			for i := range keys {
				keys[i] = binary.BigEndian.AppendUint64(make([]byte, 28), uint64(i))
			}
			fetch := make([]choreo.Record, 500)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				size := min(len(fetch), b.N-n)
				for i := range size {
					fetch[i] = choreo.Record{Topic: "t", Offset: int64(n), Key: keys[n%len(keys)]}
					n++
				}
				if err := l.Submit(b.Context(), fetch[:size]); err != nil {
					b.Fatal(err)
				}
			}
			if kept {
				<-done
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkLone is the time from Submit to the end of the handler on idle lanes.
func BenchmarkLone(b *testing.B) {
	handled := make(chan struct{})
	l := lanes.New(b.Context(), lanes.Config{Lanes: 32, BatchMax: 64, InFlight: 4096,
		Handle: func(context.Context, []choreo.Record) error { handled <- struct{}{}; return nil }})
	defer l.Close()
	fetch := series("a")
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Submit(b.Context(), fetch); err != nil {
			b.Fatal(err)
		}
		<-handled
	}
}
