package topics_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errFlaky = errors.New("the partition has no leader")

// direct is a publisher over a log in memory with topics "notes", which takes little
// records alone, and "dlq".
type direct struct {
	*topics.Publisher
	log *memory.Log
}

func newDirect(t *testing.T, config topics.PublisherConfig) *direct {
	t.Helper()
	log := memory.New(memory.Options{})
	for name, limit := range map[string]string{"notes": "1000", "dlq": "20000", "small-dlq": "100"} {
		require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{
			Name: name, Partitions: 3, Settings: map[string]string{"max.message.bytes": limit},
		}))
	}
	p, err := topics.NewPublisher(log, &config)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Close(context.Background()))
		require.NoError(t, log.Close())
	})
	return &direct{p, log}
}

// fail has the writes of values fail so often.
func (d *direct) fail(failures map[string]int) {
	var mu sync.Mutex
	left := maps.Clone(failures)
	d.log.OnPublish(func(rec *choreo.Record) memory.Fault {
		mu.Lock()
		defer mu.Unlock()
		if v := string(rec.Value); rec.Topic == "notes" && left[v] > 0 {
			left[v]--
			return memory.Fault{Before: errFlaky}
		}
		return memory.Fault{}
	})
}

func (d *direct) values(topic string) []string {
	var out []string
	for _, rec := range d.log.Records(topic) {
		out = append(out, string(rec.Value))
	}
	return out
}

func note(key, value string) choreo.Record {
	rec := choreo.Record{Topic: "notes", Value: []byte(value), Headers: []choreo.Header{{Key: "kind", Value: []byte("note")}}}
	if key != "" {
		rec.Key = []byte(key)
	}
	return rec
}

func TestPublisherConfigNamesEveryFault(t *testing.T) {
	_, err := topics.NewPublisher(nil, &topics.PublisherConfig{
		Retry: choreo.RetryPolicy{Backoff: "daily"}, BufferBytes: -1, BatchMax: -2,
	})
	for _, field := range []string{"Retry", "BufferBytes", "BatchMax"} {
		require.ErrorContains(t, err, "PublisherConfig."+field)
	}
}

func TestPublisherPublishesOneByItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{})
		for range 5 {
			require.NoError(t, d.Publish(t.Context(), note("k", "v"))) // Partition is 0, which says nothing
		}
		for _, rec := range d.log.Records("notes") {
			require.Equal(t, topics.PartitionFor([]byte("k"), 3), rec.Partition)
			require.Equal(t, "note", headers(rec)["kind"])
		}
		require.NotZero(t, topics.PartitionFor([]byte("k"), 3), "the test tells the key's partition from 0")
	})
}

func TestPublisherRetriesByItsPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{Retry: choreo.FixedRetry(3, time.Second)})
		d.fail(map[string]int{"b1": 2})
		began := time.Now()
		errs := d.PublishBatch(t.Context(), []choreo.Record{note("a", "a1"), note("b", "b1"), note("b", "b2"), note("c", "c1")})
		require.Nil(t, errs)
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Equal(t, []string{"a1", "c1", "b1", "b2"}, d.values("notes"), "a key keeps its order, others do not wait")
		s := d.Stats()
		require.Equal(t, []uint64{4, 0, 2, 3}, []uint64{s.Published, s.Failed, s.Retried, s.Batches})
		require.InDelta(t, 8.0/3, s.MeanBatch, 1e-9)
	})
}

func TestPublisherGivesUpWithoutDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{Retry: choreo.FixedRetry(2, time.Second)})
		d.fail(map[string]int{"b1": 2})
		errs := d.PublishBatch(t.Context(), []choreo.Record{note("a", "a1"), note("b", "b1"), note("b", "b2"), note("", "n1")})
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], errFlaky)
		require.NotErrorIs(t, errs[1], topics.ErrEarlierFailed)
		require.ErrorIs(t, errs[2], topics.ErrEarlierFailed)
		require.NoError(t, errs[3])
		require.Equal(t, []string{"a1", "n1"}, d.values("notes"))
		s := d.Stats()
		require.Equal(t, []uint64{2, 2, 0}, []uint64{s.Published, s.Failed, s.DeadLettered})
		require.ErrorIs(t, s.LastError, errFlaky)
	})
}

func TestPublisherDeadLettersAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{DeadLetters: "dlq"})
		large := strings.Repeat("x", 2000)
		began := time.Now()
		errs := d.PublishBatch(t.Context(), []choreo.Record{note("a", "a1"), note("b", large), note("b", "b2")})
		require.Zero(t, time.Since(began), "what is too large stays so: no retry")
		require.NoError(t, errs[0])
		var dead *topics.DeadLetteredError
		require.ErrorAs(t, errs[1], &dead)
		require.ErrorIs(t, dead, topics.ErrRecordTooLarge)
		require.Equal(t, "dlq", dead.Topic)
		require.NoError(t, errs[2], "the dead letter fills the gap")
		require.Equal(t, []string{"a1", "b2"}, d.values("notes"))

		letter := d.log.Records("dlq")[0]
		require.Equal(t, large, string(letter.Value))
		require.Equal(t, "b", string(letter.Key))
		h := headers(letter)
		require.Equal(t, "note", h["kind"])
		require.Equal(t, "notes", h["kafka_dlt-original-topic"])
		require.Equal(t, "\xff\xff\xff\xff\xff\xff\xff\xff", h["kafka_dlt-original-offset"])
		require.Contains(t, h["kafka_dlt-exception-message"], "max.message.bytes")
		require.NotContains(t, h, "kafka_dlt-original-consumer-group")
		s := d.Stats()
		require.Equal(t, []uint64{2, 1, 1}, []uint64{s.Published, s.Failed, s.DeadLettered})
	})
}

func TestPublisherCutsADeadLetterThatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{DeadLetters: "dlq"})
		huge := note("b", strings.Repeat("x", 30_000))
		var dead *topics.DeadLetteredError
		require.ErrorAs(t, d.Publish(t.Context(), huge), &dead)
		letter := d.log.Records("dlq")[0]
		require.Len(t, letter.Value, 16<<10)
		require.Equal(t, "30000", headers(letter)["choreo-original-size"])
		require.NotContains(t, headers(letter), "kind")
		require.Len(t, huge.Value, 30_000)

		small := newDirect(t, topics.PublisherConfig{DeadLetters: "small-dlq"})
		err := small.Publish(t.Context(), huge)
		require.ErrorIs(t, err, topics.ErrRecordTooLarge)
		require.ErrorContains(t, err, "nor could it be dead-lettered")
		require.NotErrorAs(t, err, &dead)
	})
}

func TestPublisherStopsWithTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{Retry: choreo.FixedRetry(100, time.Second), DeadLetters: "dlq"})
		d.fail(map[string]int{"b1": 100})
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		err := d.Publish(ctx, note("b", "b1"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errFlaky, "why it was not there sooner")
		require.Empty(t, d.log.Records("dlq"), "the caller gave up, not the log")
	})
}

func TestPublisherAsyncBatchesWhatQueuesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{BatchMax: 4})
		gate := make(chan struct{})
		d.log.OnPublish(func(*choreo.Record) memory.Fault { return memory.Fault{Wait: gate} })
		var results []*topics.Result
		var want []string
		for n := range 11 {
			v := fmt.Sprint(n)
			want = append(want, v)
			results = append(results, d.PublishAsync(t.Context(), note("k", v)))
			synctest.Wait()
		}
		require.Equal(t, 11, d.Stats().Waiting)
		select {
		case <-results[0].Done():
			require.Fail(t, "done before the log had it")
		default:
		}
		close(gate)
		for _, r := range results {
			require.NoError(t, r.Err())
		}
		require.Equal(t, want, d.values("notes"), "one key, in order")
		s := d.Stats()
		require.Zero(t, s.Waiting)
		require.Equal(t, uint64(4), s.Batches, "1, then 4, 4 and 2")
		require.InDelta(t, 11.0/4, s.MeanBatch, 1e-9)
	})
}

func TestPublisherAsyncRecordsStandForThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{Retry: choreo.FixedRetry(2, time.Second)})
		d.fail(map[string]int{"b1": 2})
		first := d.PublishAsync(t.Context(), note("b", "b1"))
		second := d.PublishAsync(t.Context(), note("b", "b2"))
		require.ErrorIs(t, first.Err(), errFlaky)
		require.NoError(t, second.Err())
		require.Equal(t, []string{"b2"}, d.values("notes"))
	})
}

func TestPublisherAsyncSettlesWhatIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{Retry: choreo.FixedRetry(3, time.Hour)})
		d.fail(map[string]int{"slow": 1})
		slow := d.PublishAsync(t.Context(), note("a", "slow"))
		behind := d.PublishAsync(t.Context(), note("a", "behind"))
		var others []*topics.Result
		for n := range 50 {
			others = append(others, d.PublishAsync(t.Context(), note(fmt.Sprint("other-", n), "v")))
		}
		synctest.Wait()
		settled := 0
		for _, r := range others {
			select {
			case <-r.Done():
				settled++
			default:
			}
		}
		require.Greater(t, settled, 35, "those of other lanes, and of the same batch")
		select {
		case <-behind.Done():
			require.Fail(t, "a record went past one of its key")
		default:
		}
		require.NoError(t, slow.Err())
		require.NoError(t, behind.Err())
	})
}

func TestPublisherAsyncIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{BufferBytes: 1000})
		gate := make(chan struct{})
		d.log.OnPublish(func(*choreo.Record) memory.Fault { return memory.Fault{Wait: gate} })
		value := strings.Repeat("v", 300)
		first := d.PublishAsync(t.Context(), note("a", value))
		second := d.PublishAsync(t.Context(), note("b", value))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		third := d.PublishAsync(short, note("c", value))
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, third.Err(), context.DeadlineExceeded)
		require.Equal(t, 2, d.Stats().Waiting)

		larger := make(chan *topics.Result)
		go func() { larger <- d.PublishAsync(t.Context(), note("d", strings.Repeat("v", 1200))) }()
		synctest.Wait()
		ended, end := context.WithCancel(t.Context())
		end()
		require.ErrorIs(t, d.PublishAsync(ended, note("e", "v")).Err(), context.Canceled, "it does not overtake the one that waits")
		close(gate)
		require.NoError(t, first.Err())
		require.NoError(t, second.Err())
		require.ErrorIs(t, (<-larger).Err(), topics.ErrRecordTooLarge, "larger than all the room there is, and yet taken")
		require.NoError(t, d.PublishAsync(ended, note("e", "v")).Err(), "where there is room nobody waits")
		require.Equal(t, []string{value, value, "v"}, d.values("notes"))
	})
}

func TestPublisherCloseWaitsForWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{Retry: choreo.FixedRetry(3, time.Minute)})
		d.fail(map[string]int{"slow": 2})
		r := d.PublishAsync(t.Context(), note("a", "slow"))
		require.NoError(t, d.Close(t.Context()))
		select {
		case <-r.Done():
		default:
			require.Fail(t, "closed before it was done")
		}
		require.NoError(t, r.Err())
		require.ErrorIs(t, d.PublishAsync(t.Context(), note("a", "late")).Err(), topics.ErrClosed)
		require.ErrorIs(t, d.Publish(t.Context(), note("a", "late")), topics.ErrClosed)
		require.NoError(t, d.Close(t.Context()), "again")
	})
}

func TestPublisherCloseWaitsForWhoWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{BufferBytes: 200})
		gate := make(chan struct{})
		d.log.OnPublish(func(*choreo.Record) memory.Fault { return memory.Fault{Wait: gate} })
		first := d.PublishAsync(t.Context(), note("a", "1"))
		second := make(chan *topics.Result, 1)
		go func() { second <- d.PublishAsync(t.Context(), note("a", "2")) }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- d.Close(t.Context()) }()
		synctest.Wait()
		close(gate)
		require.NoError(t, <-closed)
		require.Equal(t, []string{"1", "2"}, d.values("notes"))
		require.NoError(t, first.Err())
		require.NoError(t, (<-second).Err())
	})
}

func TestPublisherCloseGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{Retry: choreo.FixedRetry(1000, time.Minute), BufferBytes: 400, DeadLetters: "dlq"})
		d.fail(map[string]int{"slow": 1000})
		taken := d.PublishAsync(t.Context(), note("a", "slow"))
		alone := make(chan error, 1)
		go func() { alone <- d.Publish(t.Context(), note("b", "slow")) }()
		waiting := make(chan error, 1)
		go func() { waiting <- d.PublishAsync(t.Context(), note("c", strings.Repeat("v", 300))).Err() }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		require.ErrorIs(t, d.Close(ctx), context.DeadlineExceeded)
		require.ErrorIs(t, taken.Err(), topics.ErrClosed)
		require.ErrorIs(t, <-alone, topics.ErrClosed)
		require.ErrorIs(t, <-waiting, topics.ErrClosed)
		require.Empty(t, d.log.Records("dlq"))
	})
}

func TestPublisherRateIsOfTheLastSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, topics.PublisherConfig{})
		send := func(n int) {
			for range n {
				require.NoError(t, d.Publish(t.Context(), note("k", "v")))
			}
		}
		require.Zero(t, d.Stats().Rate)
		send(50)
		require.InDelta(t, 50, d.Stats().Rate, 1e-9, "younger than a second")
		<-time.After(5 * time.Second)
		require.InDelta(t, 10, d.Stats().Rate, 1e-9, "since it was made")
		<-time.After(2500 * time.Millisecond)
		send(45)
		require.InDelta(t, 95/7.5, d.Stats().Rate, 1e-9)
		<-time.After(4 * time.Second)
		require.InDelta(t, 45/9.5, d.Stats().Rate, 1e-9, "the first 50 are forgotten")
		<-time.After(time.Minute)
		require.Zero(t, d.Stats().Rate)
		require.Equal(t, uint64(95), d.Stats().Published)
	})
}
