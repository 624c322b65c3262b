package memory_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
)

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	log := memory.New(memory.Options{Partitions: 3})
	defer log.Close()

	log.Publish(ctx, []choreo.Record{
		{Topic: "shop.order.events", Partition: choreo.AnyPartition, Key: []byte("o-1"), Value: []byte(`{"total":12}`)},
	})
	err := log.Consume(ctx, topics.ConsumeConfig{Group: "shop.payments", Topics: []string{"shop.order.events"}},
		func(_ context.Context, batch []choreo.Record) error {
			for _, rec := range batch {
				fmt.Printf("%s: %s\n", rec.Key, rec.Value)
			}
			cancel() // one is enough
			return nil
		})
	fmt.Println(err, log.Lag("shop.payments"))
	// Output:
	// o-1: {"total":12}
	// <nil> 0
}

func record(topic, key, value string) choreo.Record {
	return choreo.Record{Topic: topic, Partition: choreo.AnyPartition, Key: []byte(key), Value: []byte(value)}
}

func newLog(t *testing.T) *memory.Log {
	log := memory.New(memory.Options{Partitions: 1})
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

func publish(t *testing.T, log *memory.Log, records ...choreo.Record) {
	t.Helper()
	require.Nil(t, log.Publish(t.Context(), records))
}

func values(records []choreo.Record) []string {
	var vs []string
	for _, r := range records {
		vs = append(vs, string(r.Value))
	}
	return vs
}

// reader is a member of group "g" that reads topic "t" and notes what it was given.
type reader struct {
	cancel context.CancelFunc
	ended  chan error

	mu      sync.Mutex
	handled []choreo.Record
	states  []topics.ConsumeState
}

func read(t *testing.T, log *memory.Log, handle topics.Handler) *reader {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r := &reader{cancel: cancel, ended: make(chan error, 1)}
	config := topics.ConsumeConfig{Group: "g", Topics: []string{"t"}, BatchMax: 1, OnState: func(s topics.ConsumeState) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.states = append(r.states, s)
	}}
	go func() {
		r.ended <- log.Consume(ctx, config, func(ctx context.Context, batch []choreo.Record) error {
			r.mu.Lock()
			r.handled = append(r.handled, batch...)
			r.mu.Unlock()
			if handle != nil {
				return handle(ctx, batch)
			}
			return nil
		})
	}()
	return r
}

// got returns the values that were handed to the handler.
func (r *reader) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return values(r.handled)
}

func (r *reader) told() []topics.ConsumeState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]topics.ConsumeState(nil), r.states...)
}

func TestTheLogKeepsItsOwnCopy(t *testing.T) {
	log := newLog(t)
	rec := record("t", "k", "value")
	rec.Headers = []choreo.Header{{Key: "h", Value: []byte("header")}}
	publish(t, log, rec)
	rec.Value[0], rec.Key[0], rec.Headers[0].Key, rec.Headers[0].Value[0] = 'X', 'X', "X", 'X'
	got := log.Records("t")[0]
	require.Equal(t, "value", string(got.Value))
	require.Equal(t, "k", string(got.Key))
	require.Equal(t, []choreo.Header{{Key: "h", Value: []byte("header")}}, got.Headers)
}

func TestTopicsMustBeCreatedUnlessTheOptionsSayOtherwise(t *testing.T) {
	log := memory.New(memory.Options{})
	defer log.Close()
	require.ErrorIs(t, log.Publish(t.Context(), []choreo.Record{record("t", "k", "v")})[0], topics.ErrUnknownTopic)

	require.Error(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: "no spaces", Partitions: 1}))
	require.Error(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: "t"}))
}

func TestAConsumerWaitsForItsTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := memory.New(memory.Options{})
		defer log.Close()
		r := read(t, log, nil)
		synctest.Wait()
		require.Len(t, r.told(), 1)
		require.ErrorIs(t, r.told()[0].Err, topics.ErrUnknownTopic)
		require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: "t", Partitions: 2}))
		publish(t, log, record("t", "k", "v"))
		synctest.Wait()
		require.Equal(t, []string{"v"}, r.got())
		states := r.told()
		require.Equal(t, topics.ConsumeState{Partitions: 2}, states[len(states)-1])
	})
}

func TestPublishFailsBeforeTheWrite(t *testing.T) {
	log := newLog(t)
	down := errors.New("not enough replicas")
	log.OnPublish(func(r *choreo.Record) memory.Fault {
		if string(r.Value) == "2" {
			return memory.Fault{Before: down}
		}
		return memory.Fault{}
	})
	errs := log.Publish(t.Context(), []choreo.Record{
		record("t", "a", "1"), record("t", "a", "2"), record("t", "a", "3"), record("t", "b", "4"),
	})
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], down)
	require.ErrorIs(t, errs[2], topics.ErrEarlierFailed)
	require.NoError(t, errs[3])
	require.Equal(t, []string{"1", "4"}, values(log.Records("t")))

	log.OnPublish(nil)
	publish(t, log, record("t", "a", "2"))
}

func TestPublishLosesAnAcknowledgement(t *testing.T) {
	log := newLog(t)
	lost := errors.New("connection reset")
	log.OnPublish(func(*choreo.Record) memory.Fault { return memory.Fault{After: lost} })
	require.ErrorIs(t, log.Publish(t.Context(), []choreo.Record{record("t", "a", "1")})[0], lost)
	require.Equal(t, []string{"1"}, values(log.Records("t")))
}

func TestPublishWritesTwice(t *testing.T) {
	log := newLog(t)
	log.OnPublish(func(*choreo.Record) memory.Fault { return memory.Fault{Twice: true} })
	publish(t, log, record("t", "a", "1"))
	require.Equal(t, []string{"1", "1"}, values(log.Records("t")))
}

func TestPublishIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		release := make(chan struct{})
		log.OnPublish(func(r *choreo.Record) memory.Fault {
			if string(r.Key) == "slow" {
				return memory.Fault{Wait: release}
			}
			return memory.Fault{}
		})
		done := make(chan []error, 1)
		go func() { done <- log.Publish(t.Context(), []choreo.Record{record("t", "slow", "1")}) }()
		synctest.Wait()
		publish(t, log, record("t", "quick", "2"))
		require.Equal(t, []string{"2"}, values(log.Records("t")))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, log.Publish(ctx, []choreo.Record{record("t", "slow", "3")})[0], context.DeadlineExceeded)

		close(release)
		require.Nil(t, <-done)
		require.Equal(t, []string{"2", "1"}, values(log.Records("t")))
	})
}

func TestCloseFreesAPublishThatIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		log.OnPublish(func(*choreo.Record) memory.Fault { return memory.Fault{Wait: make(chan struct{})} })
		done := make(chan []error, 1)
		go func() { done <- log.Publish(t.Context(), []choreo.Record{record("t", "a", "1")}) }()
		synctest.Wait()
		require.NoError(t, log.Close())
		require.ErrorIs(t, (<-done)[0], topics.ErrClosed)
		require.ErrorIs(t, log.WaitUntil(t.Context(), func() bool { return false }), topics.ErrClosed)
	})
}

func TestABrokerThatIsAwayHoldsEverythingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		r := read(t, log, nil)
		synctest.Wait()
		away := errors.New("no route to host")
		log.Disconnect(away)
		published := make(chan []error, 1)
		go func() { published <- log.Publish(t.Context(), []choreo.Record{record("t", "a", "1")}) }()
		described := make(chan error, 1)
		go func() {
			_, err := log.DescribeTopics(t.Context(), "t")
			described <- err
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, published)
		require.Empty(t, described)
		require.Equal(t, []topics.ConsumeState{{Partitions: 1}, {}, {Err: away}}, r.told())

		log.Reconnect()
		require.Nil(t, <-published)
		require.NoError(t, <-described)
		synctest.Wait()
		require.Equal(t, []string{"1"}, r.got())
		require.Equal(t, topics.ConsumeState{Partitions: 1}, r.told()[3])
	})
}

func TestReadWaitsForTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		publish(t, log, record("t", "a", "1"))
		away := errors.New("no route to host")
		log.Disconnect(away)
		ctx, cancel := context.WithCancel(t.Context())
		r := &reader{}
		caughtUp := 0
		ended := make(chan error, 1)
		go func() {
			ended <- log.Read(ctx, topics.ReadConfig{
				Topic: "t", OnCaughtUp: func() { caughtUp++ }, OnState: func(s topics.ConsumeState) { r.states = append(r.states, s) },
			}, func(_ context.Context, batch []choreo.Record) error {
				r.handled = append(r.handled, batch...)
				return nil
			})
		}()
		synctest.Wait()
		require.Equal(t, []topics.ConsumeState{{Err: away}}, r.told())
		require.Zero(t, caughtUp)
		log.Reconnect()
		synctest.Wait()
		require.Equal(t, []string{"1"}, r.got())
		require.Equal(t, 1, caughtUp)
		log.Disconnect(away)
		synctest.Wait()
		log.Reconnect()
		publish(t, log, record("t", "a", "2"))
		synctest.Wait()
		require.Equal(t, []string{"1", "2"}, r.got(), "nothing comes again")
		require.Equal(t, []topics.ConsumeState{{Err: away}, {Partitions: 1}, {Partitions: 1, Err: away}, {Partitions: 1}}, r.told())
		cancel()
		require.NoError(t, <-ended)
	})
}

func TestAnOutageDeliversAgainWhatWasNotCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		r := read(t, log, nil)
		publish(t, log, record("t", "a", "1"))
		synctest.Wait()
		log.Disconnect(errors.New("away")) // before the commit that comes 100 ms later
		synctest.Wait()
		log.Reconnect()
		synctest.Wait()
		require.Equal(t, []string{"1", "1"}, r.got())
	})
}

func TestARebalanceEndsHandlersAndDeliversAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		calls := 0
		r := read(t, log, func(ctx context.Context, _ []choreo.Record) error {
			if calls++; calls == 2 {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		})
		publish(t, log, record("t", "a", "1"), record("t", "a", "2"), record("t", "a", "3"))
		synctest.Wait()
		require.Equal(t, []string{"1", "2"}, r.got())
		log.Rebalance("g")
		synctest.Wait()
		require.Equal(t, []string{"1", "2", "2", "3"}, r.got(), "what was handled is committed on giving up the share")
		require.NoError(t, log.WaitUntil(t.Context(), func() bool { return log.Lag("g") == 0 }))
		require.Equal(t, []int64{3}, log.Committed("g", "t"))
	})
}

func TestARewindDeliversOldRecordsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		r := read(t, log, nil)
		publish(t, log, record("t", "a", "1"), record("t", "a", "2"), record("t", "a", "3"))
		synctest.Wait()
		log.Rewind("g", "t", 0, 1) // while 3 is not yet committed
		require.EqualValues(t, 2, log.Lag("g"))
		synctest.Wait()
		require.Equal(t, []string{"1", "2", "3", "2", "3"}, r.got())
	})
}

func TestAMemberThatDoesNotLetGoIsExpelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		release := make(chan struct{})
		stubborn := read(t, log, func(context.Context, []choreo.Record) error {
			<-release
			return nil
		})
		publish(t, log, record("t", "a", "1"), record("t", "a", "2"), record("t", "a", "3"))
		synctest.Wait()
		next := read(t, log, nil)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		require.Empty(t, next.got(), "the session timeout is 10 s")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"1", "2", "3"}, next.got(), "for a moment two members hold the first record")
		require.Equal(t, []int64{3}, log.Committed("g", "t"))

		close(release) // its late commit must not count, and it joins again
		synctest.Wait()
		require.Equal(t, []int64{3}, log.Committed("g", "t"))
		require.Equal(t, []string{"1"}, stubborn.got())
		next.cancel()
		require.NoError(t, <-next.ended)
		publish(t, log, record("t", "a", "4"))
		synctest.Wait()
		require.Equal(t, []string{"1", "4"}, stubborn.got())
	})
}

func TestACommitComesWithinItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		read(t, log, nil)
		publish(t, log, record("t", "a", "1"))
		begin := time.Now()
		require.NoError(t, log.WaitUntil(t.Context(), func() bool { return log.Committed("g", "t")[0] == 1 }))
		require.Equal(t, 100*time.Millisecond, time.Since(begin))
	})
}

func TestWaitUntilEndsWithItsContext(t *testing.T) {
	log := newLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, log.WaitUntil(ctx, func() bool { return false }), context.Canceled)
}

func TestInspectionOfNothing(t *testing.T) {
	log := memory.New(memory.Options{})
	defer log.Close()
	require.Nil(t, log.Records("t"))
	require.Nil(t, log.Committed("g", "t"))
	require.Zero(t, log.Lag("g"))
	require.Zero(t, log.Members("g"))
}

func BenchmarkLog(b *testing.B) {
	log := memory.New(memory.Options{Partitions: 4})
	defer log.Close()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		done <- log.Consume(ctx, topics.ConsumeConfig{Group: "g", Topics: []string{"t"}},
			func(context.Context, []choreo.Record) error { return nil })
	}()
	batch := make([]choreo.Record, 100)
	for i := range batch {
		batch[i] = record("t", fmt.Sprint(i), "a value of some length, as events have it")
	}
	n := 0
	for b.Loop() {
		log.Publish(ctx, batch)
		n += len(batch)
	}
	if err := log.WaitUntil(ctx, func() bool { return log.Lag("g") == 0 }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
