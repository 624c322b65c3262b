package topicstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// sequence checks the order of each key's records, duplicates aside.
type sequence struct {
	mu    sync.Mutex
	next  map[string]int
	fault error // the first
}

// see notes the records as they are handed to a handler.
func (s *sequence) see(batch []choreo.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(map[string]int)
	}
	for _, rec := range batch {
		key, number, _ := strings.Cut(string(rec.Value), "#")
		n, err := strconv.Atoi(number)
		switch {
		case err != nil || key != string(rec.Key):
			s.fault = cmp.Or(s.fault, fmt.Errorf("record %q under key %q", rec.Value, rec.Key))
		case n > s.next[key]:
			s.fault = cmp.Or(s.fault, fmt.Errorf("key %s: record %d came before record %d", key, n, s.next[key]))
		case n == s.next[key]:
			s.next[key]++
		}
	}
}

func orderPerKey(r *rig) {
	const keys, perKey, writers = 40, 25, 4
	topic := r.topic(3)
	var order sequence
	var busy sync.Map // keys in a handler call
	var twice atomic.Bool
	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}, Lanes: 8, BatchMax: 5},
		func(_ context.Context, batch []choreo.Record) error {
			mine := make(map[string]bool)
			for _, rec := range batch {
				if key := string(rec.Key); !mine[key] {
					mine[key] = true
					if _, other := busy.LoadOrStore(key, true); other {
						twice.Store(true)
					}
				}
			}
			order.see(batch)
			runtime.Gosched() // gives a second call of the same key its chance
			for key := range mine {
				busy.Delete(key)
			}
			return nil
		})
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range perKey {
				var batch []choreo.Record
				for key := w; key < keys; key += writers {
					batch = append(batch, record(topic, fmt.Sprintf("key-%d", key), n))
				}
				if errs := r.log.Publish(r.ctx, batch); errs != nil {
					r.Errorf("publish: %v", errors.Join(errs...))
				}
			}
		})
	}
	writing.Wait()
	c.untilHandled(keys * perKey)
	c.stop()
	require.NoError(r, order.fault)
	require.False(r, twice.Load(), "two handler calls had the same key at once")
}

func newGroup(r *rig) {
	topic := r.topic(2)
	r.publish(series(topic, 10)...)
	for range 2 {
		c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}}, nil)
		c.untilHandled(10)
		c.stop()
	}
}

func goesOn(r *rig) {
	const partitions = 3
	topic, group := r.topic(partitions), r.name()
	r.publish(series(topic, 60)...)
	c := r.consume(topics.ConsumeConfig{Group: group, Topics: []string{topic}}, nil)
	c.untilHandled(60)
	c.stop()
	require.Empty(r, values(r.rest(group, topic, partitions)), "what was handled was committed on leaving")
	require.Empty(r, values(r.rest(group, topic, partitions)))
}

func severalTopics(r *rig) {
	a, b := r.topic(2), r.topic(1)
	r.publish(append(series(a, 10), series(b, 10)...)...)
	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{a, b}}, nil)
	r.until("both topics", func() bool {
		n := make(map[string]int)
		for _, rec := range c.handled {
			n[rec.Topic]++
		}
		return n[a] >= 10 && n[b] >= 10
	})
	r.until("three partitions", func() bool { return c.state.Partitions == 3 && c.state.Err == nil })
	c.stop()
}

func slowRecord(r *rig) {
	for _, slow := range []int64{5, 0} { // with and without something to commit before it
		slowRecordAt(r, slow)
	}
}

func slowRecordAt(r *rig, slow int64) {
	const records = 40
	topic, group := r.topic(1), r.name()
	r.publish(series(topic, records)...)

	first := r.consume(topics.ConsumeConfig{Group: group, Topics: []string{topic}, Lanes: 16, BatchMax: 1},
		func(ctx context.Context, batch []choreo.Record) error {
			if batch[0].Offset == slow {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		})
	r.until("the records around the slow one", func() bool {
		before, after := make(map[int64]bool), 0
		for _, rec := range first.handled {
			if rec.Offset < slow {
				before[rec.Offset] = true
			} else {
				after++
			}
		}
		return len(before) == int(slow) && after > records/2
	})
	first.stop()
	require.False(r, slices.ContainsFunc(first.records(), func(rec choreo.Record) bool { return rec.Offset == slow }))

	var offsets []int64
	for _, rec := range r.rest(group, topic, 1) {
		offsets = append(offsets, rec.Offset)
	}
	slices.Sort(offsets)
	offsets = slices.Compact(offsets)
	require.Len(r, offsets, records-int(slow), "all from the slow record on comes again, and nothing before it")
	require.Equal(r, slow, offsets[0])
}

func skipped(r *rig) {
	const partitions, records = 2, 50
	topic, group := r.topic(partitions), r.name()
	r.publish(series(topic, records)...)
	var asked int
	keep := func(rec *choreo.Record) bool {
		r.change(func() { asked++ })
		return string(rec.Value) == "key-3#3" || string(rec.Value) == "key-20#20"
	}
	c := r.consume(topics.ConsumeConfig{Group: group, Topics: []string{topic}, Keep: keep}, nil)
	r.until("all to be asked about", func() bool { return asked >= records })
	c.untilHandled(2)
	c.stop()
	require.Equal(r, []string{"key-20#20", "key-3#3"}, distinct(c.records()))
	require.Empty(r, values(r.rest(group, topic, partitions)), "skipped records count as handled")
}

func inFlight(r *rig) {
	const bound, records = 8, 200
	topic := r.topic(2)
	var kept, done, most int // the most that was kept and not done
	release := make(chan struct{})
	keep := func(*choreo.Record) bool {
		r.change(func() {
			kept++
			most = max(most, kept-done)
		})
		return true
	}
	c := r.consume(topics.ConsumeConfig{
		Group: r.name(), Topics: []string{topic}, Keep: keep, InFlight: bound, Lanes: 4, BatchMax: 3,
	}, func(ctx context.Context, batch []choreo.Record) error {
		select {
		case <-release:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		r.change(func() { done += len(batch) })
		return nil
	})
	r.publish(series(topic, records)...)
	r.until("as many as the bound allows", func() bool { return kept >= bound })
	// While another group reads the whole topic, the blocked one stays where it is.
	other := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}}, nil)
	other.untilHandled(records)
	other.stop()
	close(release)
	c.untilHandled(records)
	c.stop()
	require.LessOrEqual(r, most, bound+1, "kept and not handled; one may be asked about while it waits")
}

func drain(r *rig) {
	topic, group := r.topic(1), r.name()
	r.publish(record(topic, "a", 0))
	started, release := make(chan struct{}), make(chan struct{})
	c := r.consume(topics.ConsumeConfig{Group: group, Topics: []string{topic}},
		func(ctx context.Context, _ []choreo.Record) error {
			close(started)
			<-ctx.Done() // the handler is told that it should come to an end
			<-release    // and Consume waits for it
			return nil
		})
	select {
	case <-started:
	case <-r.ctx.Done():
		require.FailNow(r, "the record does not arrive")
	}
	c.cancel()
	r.publish(record(topic, "b", 0))
	select {
	case err := <-c.ended:
		require.FailNow(r, "Consume returned while a handler was running", "%v", err)
	default:
	}
	close(release)
	require.NoError(r, c.wait())
	require.Equal(r, []string{"a#0"}, values(c.records()))
	require.Equal(r, []string{"b#0"}, distinct(r.rest(group, topic, 1)), "what was finished while draining is committed")
}

func handlerError(r *rig) {
	for _, inFlight := range []int{0, 2} { // while there is nothing to read, and while fetching pauses
		topic, group := r.topic(1), r.name()
		r.publish(series(topic, 10)...)
		broken := errors.New("the handler is broken")
		c := r.consume(topics.ConsumeConfig{
			Group: group, Topics: []string{topic}, BatchMax: 1, Lanes: 4, InFlight: inFlight,
		}, func(_ context.Context, batch []choreo.Record) error {
			if batch[0].Offset == 4 {
				return broken
			}
			return nil
		})
		require.ErrorIs(r, c.wait(), broken)
		again := distinct(r.rest(group, topic, 1))
		require.Contains(r, again, "key-4#4")
		all := slices.Concat(again, distinct(c.records()))
		slices.Sort(all)
		require.Len(r, slices.Compact(all), 10, "nothing is lost")
	}
}

func badConfig(r *rig) {
	nothing := func(context.Context, []choreo.Record) error { return nil }
	for _, config := range []topics.ConsumeConfig{
		{Topics: []string{"a"}},
		{Group: "g"},
		{Group: "g", Topics: []string{"a"}, Lanes: -1},
	} {
		require.ErrorContains(r, r.log.Consume(r.ctx, config, nothing), "ConsumeConfig")
	}
}

func closeEnds(r *rig) {
	topic := r.topic(1)
	r.publish(record(topic, "a", 0))
	started := make(chan struct{})
	c := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}},
		func(ctx context.Context, _ []choreo.Record) error {
			close(started)
			<-ctx.Done()
			return context.Cause(ctx)
		})
	idle := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{r.topic(1)}}, nil)
	r.until("its partition", func() bool { return idle.state.Partitions == 1 })
	select {
	case <-started:
	case <-r.ctx.Done():
		require.FailNow(r, "the record does not arrive")
	}
	require.NoError(r, r.log.Close())
	require.ErrorIs(r, c.wait(), topics.ErrClosed)
	require.ErrorIs(r, idle.wait(), topics.ErrClosed)

	errs := r.log.Publish(r.ctx, series(topic, 2))
	require.Len(r, errs, 2)
	require.ErrorIs(r, errs[0], topics.ErrClosed)
	late := r.consume(topics.ConsumeConfig{Group: r.name(), Topics: []string{topic}}, nil)
	require.ErrorIs(r, late.wait(), topics.ErrClosed)
	require.NoError(r, r.log.Close(), "closing twice is harmless")
}
