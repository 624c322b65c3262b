package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// fakeCluster answers a publisher's requests. It reads them with another library than
// the one that is tested.
type fakeCluster struct {
	t interface {
		require.TestingT
		Helper()
	}
	// judge decides about a batch: the answer's code, whether the records are written,
	// and what else the answer says. A nil judge accepts all.
	judge func(target topicPartition, values []string) judgement

	mu       sync.Mutex
	topics   map[string]int // partition counts
	requests int
	written  map[topicPartition][]string // values
}

type judgement struct {
	code    int16
	written bool
	guilty  []int32
	err     error // in place of an answer
}

func (f *fakeCluster) roundTrip(ctx context.Context, request segmentio.Request) (segmentio.Response, error) {
	switch r := request.(type) {
	case *routed:
		f.mu.Lock()
		defer f.mu.Unlock()
		response := &metadata.Response{}
		for _, name := range r.request.(*metadata.Request).TopicNames {
			t := metadata.ResponseTopic{Name: name, ErrorCode: int16(segmentio.UnknownTopicOrPartition)}
			if n, ok := f.topics[name]; ok {
				t.ErrorCode = 0
				for i := range int32(n) {
					t.Partitions = append(t.Partitions, metadata.ResponsePartition{PartitionIndex: i, LeaderID: i % 2})
				}
			}
			response.Topics = append(response.Topics, t)
		}
		r.response = response
		return r, ctx.Err()
	case *exchange:
		return r, f.produce(r)
	}
	return nil, errors.New("what is this?")
}

func (f *fakeCluster) produce(e *exchange) error {
	request := kmsg.NewPtrProduceRequest()
	request.Version = 8
	require.NoError(f.t, request.ReadFrom(e.buffer[len(appendHeader(nil, 0, "test")):]))
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	f.mu.Lock()
	f.requests++
	f.mu.Unlock()
	for _, t := range request.Topics {
		answer := kmsg.ProduceResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			target := topicPartition{t.Topic, p.Partition}
			values := valuesOf(f.t, p.Records)
			var verdict judgement
			if f.judge == nil {
				verdict.written = true
			} else {
				verdict = f.judge(target, values)
			}
			if verdict.written {
				f.mu.Lock()
				f.written[target] = append(f.written[target], values...)
				f.mu.Unlock()
			}
			if verdict.err != nil {
				return verdict.err
			}
			partition := kmsg.ProduceResponseTopicPartition{Partition: p.Partition, ErrorCode: verdict.code}
			for _, i := range verdict.guilty {
				partition.ErrorRecords = append(partition.ErrorRecords, kmsg.ProduceResponseTopicPartitionErrorRecord{RelativeOffset: i})
			}
			answer.Partitions = append(answer.Partitions, partition)
		}
		response.Topics = append(response.Topics, answer)
	}
	e.version, e.body = 8, response.AppendTo(nil)
	return nil
}

// valuesOf reads a record batch by another library.
func valuesOf(t require.TestingT, raw []byte) []string {
	var b kmsg.RecordBatch
	require.NoError(t, b.ReadFrom(raw))
	values := make([]string, b.NumRecords)
	rest := b.Records
	for i := range values {
		var r kmsg.Record
		require.NoError(t, r.ReadFrom(rest))
		rest = rest[len(r.AppendTo(nil)):]
		values[i] = string(r.Value)
	}
	require.Empty(t, rest)
	return values
}

func newFake(t interface {
	require.TestingT
	Helper()
}) *fakeCluster {
	return &fakeCluster{t: t, topics: map[string]int{"t": 1, "u": 1, "many": 8}, written: make(map[topicPartition][]string)}
}

// publisherOn returns a publisher that stops when the test ends.
func (f *fakeCluster) publisher(change func(*Config)) (*publisher, func()) {
	config, err := Config{Brokers: []string{"fake:1"}, ClientID: "test"}.withDefaults()
	require.NoError(f.t, err)
	if change != nil {
		change(config)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p := newPublisher(ctx, config, newCluster("test", f.roundTrip), f.roundTrip)
	return p, func() {
		cancel(topics.ErrClosed)
		p.stop()
	}
}

func rec(topic, key, value string) choreo.Record {
	return choreo.Record{Topic: topic, Partition: choreo.AnyPartition, Key: []byte(key), Value: []byte(value)}
}

func TestWhatQueuedDuringARequestSharesTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		let := make(chan struct{})
		f.judge = func(topicPartition, []string) judgement { <-let; return judgement{written: true} }
		p, stop := f.publisher(nil)
		defer stop()
		var calls sync.WaitGroup
		var want []string
		for i := range 100 {
			value := fmt.Sprint(i)
			want = append(want, value)
			calls.Go(func() { require.Nil(t, p.publish(t.Context(), []choreo.Record{rec("t", value, value)})) })
			synctest.Wait()
		}
		close(let)
		calls.Wait()
		require.Equal(t, 2, f.requests, "a lone record leaves at once, all others together")
		require.Equal(t, want, f.written[topicPartition{"t", 0}])
	})
}

func TestPartitionsOfABrokerShareARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		p, stop := f.publisher(nil)
		defer stop()
		var records []choreo.Record
		for i := range 64 {
			r := rec("many", fmt.Sprint(i), fmt.Sprint(i))
			r.Partition = int32(i % 8)
			records = append(records, r)
		}
		_, err := p.cluster.renew(t.Context(), time.Time{}, "many")
		require.NoError(t, err)
		require.Nil(t, p.publish(t.Context(), records))
		require.Equal(t, 2, f.requests, "one for each broker")
		require.Len(t, f.written, 8)
	})
}

// A request costs a broker more than a few records do: these wait for the end of the one before. A
// large one more does not.
func TestFewRecordsWaitForTheRequestBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		let := make(chan struct{})
		f.judge = func(target topicPartition, _ []string) judgement {
			if target.partition == 0 {
				<-let
			}
			return judgement{written: true}
		}
		p, stop := f.publisher(nil)
		defer stop()
		_, err := p.cluster.renew(t.Context(), time.Time{}, "many")
		require.NoError(t, err)
		var calls sync.WaitGroup
		publish := func(n int, partition int32) {
			records := make([]choreo.Record, n)
			for i := range records {
				records[i] = rec("many", fmt.Sprint(partition), fmt.Sprint(i))
				records[i].Partition = partition
			}
			calls.Go(func() { require.Nil(t, p.publish(t.Context(), records)) })
			synctest.Wait()
		}
		requests := func() int {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.requests
		}
		publish(1, 0)
		publish(1, 2)
		publish(worthARequest-2, 4) // all led by one broker
		require.Equal(t, 1, requests())
		publish(1, 1)
		require.Equal(t, 2, requests(), "another broker's")
		publish(1, 6)
		require.Equal(t, 3, requests(), "that is enough for a request beside")
		close(let)
		calls.Wait()
		require.Equal(t, 3, f.requests)
		require.Len(t, f.written[topicPartition{"many", 4}], worthARequest-2)
	})
}

func TestRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		largest := 0
		f.judge = func(_ topicPartition, values []string) judgement {
			largest = max(largest, len(values))
			return judgement{written: true}
		}
		p, stop := f.publisher(func(c *Config) { c.RequestBytes = 1000 })
		defer stop()
		records := make([]choreo.Record, 100)
		for i := range records {
			records[i] = rec("t", "k", string(make([]byte, 100)))
		}
		records[50].Value = make([]byte, 5000)
		require.Nil(t, p.publish(t.Context(), records))
		require.Len(t, f.written[topicPartition{"t", 0}], 100)
		require.LessOrEqual(t, largest, 9)
		require.Greater(t, largest, 7)
	})
}

func TestFaultsThatMayPassAreRetried(t *testing.T) {
	for _, code := range []segmentio.Error{
		segmentio.Unknown, segmentio.InvalidMessage, segmentio.UnknownTopicOrPartition, segmentio.LeaderNotAvailable,
		segmentio.NotLeaderForPartition, segmentio.RequestTimedOut, segmentio.NetworkException,
		segmentio.NotEnoughReplicas, segmentio.NotEnoughReplicasAfterAppend, segmentio.KafkaStorageError,
	} {
		t.Run(code.Title(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				left := 5
				f.judge = func(topicPartition, []string) judgement {
					if left--; left < 0 {
						return judgement{written: true}
					}
					if left%2 == 0 {
						return judgement{err: errors.New("connection refused")}
					}
					return judgement{code: int16(code)}
				}
				p, stop := f.publisher(nil)
				defer stop()
				require.Nil(t, p.publish(t.Context(), []choreo.Record{rec("t", "a", "1"), rec("t", "a", "2")}))
				require.Equal(t, []string{"1", "2"}, f.written[topicPartition{"t", 0}])
				require.Equal(t, 6, f.requests)
			})
		})
	}
}

func TestRetriesBackOffUntilTheDeliveryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.judge = func(topicPartition, []string) judgement { return judgement{code: int16(segmentio.NotEnoughReplicas)} }
		p, stop := f.publisher(func(c *Config) { c.DeliveryTimeout = 20 * time.Second })
		defer stop()
		begin := time.Now()
		errs := p.publish(t.Context(), []choreo.Record{rec("t", "a", "1"), rec("t", "a", "2"), rec("t", "b", "3")})
		require.Equal(t, 20*time.Second, time.Since(begin))
		require.ErrorIs(t, errs[0], context.DeadlineExceeded)
		require.ErrorIs(t, errs[0], segmentio.NotEnoughReplicas)
		require.ErrorContains(t, errs[0], "not acknowledged within 20s")
		require.ErrorIs(t, errs[1], topics.ErrEarlierFailed)
		require.ErrorIs(t, errs[2], segmentio.NotEnoughReplicas)
		require.Greater(t, f.requests, 20)
		require.Less(t, f.requests, 60)
	})
}

func TestPermanentFaultsFailAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.judge = func(target topicPartition, _ []string) judgement {
			if target.topic == "t" {
				return judgement{code: int16(segmentio.TopicAuthorizationFailed)}
			}
			return judgement{written: true}
		}
		p, stop := f.publisher(nil)
		defer stop()
		begin := time.Now()
		errs := p.publish(t.Context(), []choreo.Record{
			rec("t", "a", "1"), rec("t", "a", "2"), rec("u", "a", "3"), rec("u", "b", "4"), rec("t", "b", "5")})
		require.Zero(t, time.Since(begin))
		require.ErrorIs(t, errs[0], segmentio.TopicAuthorizationFailed)
		require.ErrorIs(t, errs[1], topics.ErrEarlierFailed)
		require.ErrorIs(t, errs[2], topics.ErrEarlierFailed, "order per key holds across topics")
		require.NoError(t, errs[3])
		require.ErrorIs(t, errs[4], segmentio.TopicAuthorizationFailed)
		require.Equal(t, map[topicPartition][]string{{"u", 0}: {"4"}}, f.written)
	})
}

func TestRecordsOfAKeyOnSeveralTopicsAreWrittenOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var order []string
		f.judge = func(target topicPartition, values []string) judgement {
			if target.topic == "t" {
				time.Sleep(time.Second) // would let "u" overtake
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			order = append(order, values...)
			return judgement{written: true}
		}
		p, stop := f.publisher(nil)
		defer stop()
		require.Nil(t, p.publish(t.Context(), []choreo.Record{
			rec("t", "a", "1"), rec("u", "a", "2"), rec("u", "a", "3"), rec("t", "a", "4")}))
		require.Equal(t, []string{"1", "2", "3", "4"}, order)
	})
}

func TestOnlyTheGuiltyRecordFails(t *testing.T) {
	for name, judge := range map[string]func(values []string) judgement{
		"too large": func(values []string) judgement {
			if slices.Contains(values, "guilty") {
				return judgement{code: int16(segmentio.MessageSizeTooLarge)}
			}
			return judgement{written: true}
		},
		"named": func(values []string) judgement {
			if i := slices.Index(values, "guilty"); i >= 0 {
				return judgement{code: int16(segmentio.InvalidRecord), guilty: []int32{int32(i)}}
			}
			return judgement{written: true}
		},
		"not named": func(values []string) judgement {
			if slices.Contains(values, "guilty") {
				return judgement{code: int16(segmentio.InvalidRecord)}
			}
			return judgement{written: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.judge = func(_ topicPartition, values []string) judgement { return judge(values) }
				p, stop := f.publisher(nil)
				defer stop()
				records := make([]choreo.Record, 500)
				var want []string
				for i := range records {
					records[i] = rec("t", fmt.Sprint(i%10), fmt.Sprint(i))
					if i < 333 || i%10 != 3 {
						want = append(want, fmt.Sprint(i))
					}
				}
				records[333].Value = []byte("guilty")
				errs := p.publish(t.Context(), records)
				for i, err := range errs {
					switch {
					case i == 333:
						if name == "too large" {
							require.ErrorIs(t, err, topics.ErrRecordTooLarge)
						} else {
							require.ErrorIs(t, err, segmentio.InvalidRecord)
						}
					case i > 333 && i%10 == 3:
						require.ErrorIs(t, err, topics.ErrEarlierFailed)
					default:
						require.NoError(t, err)
					}
				}
				require.Equal(t, want, f.written[topicPartition{"t", 0}])
				require.Less(t, f.requests, 30)
			})
		})
	}
}

func TestATopicThatAppearsIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		p, stop := f.publisher(nil)
		defer stop()
		published := make(chan []error, 1)
		go func() {
			published <- p.publish(t.Context(), []choreo.Record{rec("new", "a", "1"), rec("new", "a", "2")})
		}()
		synctest.Wait()
		f.mu.Lock()
		f.topics["new"] = 3
		f.mu.Unlock()
		require.Nil(t, <-published)
		require.Equal(t, []string{"1", "2"}, f.written[topicPartition{"new", topics.PartitionFor([]byte("a"), 3)}])
		errs := p.publish(t.Context(), []choreo.Record{rec("missing", "a", "1"), rec("t", "b", "2")})
		require.ErrorIs(t, errs[0], topics.ErrUnknownTopic)
		require.NoError(t, errs[1])
	})
}

func TestAddedPartitionsAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		p, stop := f.publisher(nil)
		defer stop()
		publish := func(n int) {
			for i := range n {
				require.Nil(t, p.publish(t.Context(), []choreo.Record{rec("t", fmt.Sprint(i), "")}))
			}
		}
		publish(1)
		f.topics["t"] = 4
		time.Sleep(2 * metadataAge)
		publish(1)
		synctest.Wait()
		publish(20)
		require.Len(t, f.written, 4)
	})
}

func TestEndedCallsReturnWithWhatTheyKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		let := make(chan struct{})
		f.judge = func(topicPartition, []string) judgement { <-let; return judgement{written: true} }
		p, stop := f.publisher(nil)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan []error, 1), make(chan []error, 1)
		go func() { first <- p.publish(ctx, []choreo.Record{rec("t", "a", "1")}) }()
		synctest.Wait()
		go func() { second <- p.publish(ctx, []choreo.Record{rec("t", "b", "2"), rec("t", "b", "3")}) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, (<-first)[0], context.Canceled)
		errs := <-second
		require.ErrorIs(t, errs[0], context.Canceled)
		require.ErrorIs(t, errs[1], topics.ErrEarlierFailed)
		require.ErrorIs(t, p.publish(ctx, []choreo.Record{rec("t", "c", "")})[0], context.Canceled)
		go func() { first <- p.publish(t.Context(), []choreo.Record{rec("t", "d", "4")}) }()
		synctest.Wait()
		close(let)
		require.Nil(t, <-first)
		require.Equal(t, []string{"1", "4"}, f.written[topicPartition{"t", 0}], "what was queued is not written after its call has ended")
		stop()
		require.ErrorIs(t, p.publish(t.Context(), []choreo.Record{rec("t", "e", "")})[0], topics.ErrClosed)
	})
}

// However brokers answer, records of a key are written in the order of their calls, and
// what is acknowledged is in the log.
func TestOrderPerKeySurvivesAnyAnswer(t *testing.T) {
	// rapid asks a *testing.T for its deadline, which a bubble does not have.
	synctest.Test(t, func(t *testing.T) { rapid.Check(struct{ rapid.TB }{t}, orderPerKey) })
}

func orderPerKey(t *rapid.T) {
	answers := rapid.SliceOfN(rapid.SampledFrom([]judgement{
		{written: true}, {written: true}, {written: true, code: int16(segmentio.RequestTimedOut)},
		{code: int16(segmentio.NotLeaderForPartition)}, {err: errors.New("connection reset")},
		{written: true, err: errors.New("connection reset")}, {code: int16(segmentio.MessageSizeTooLarge)},
		{code: int16(segmentio.TopicAuthorizationFailed)},
	}), 0, 60).Draw(t, "answers")
	shape := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 5), 1, 12), 1, 8).Draw(t, "calls")
	f := newFake(t)
	f.judge = func(topicPartition, []string) judgement {
		time.Sleep(time.Millisecond)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(answers) == 0 {
			return judgement{written: true}
		}
		next := answers[0]
		answers = answers[1:]
		return next
	}
	p, stop := f.publisher(nil)
	defer stop()
	var calls sync.WaitGroup
	acknowledged := make(map[string]bool)
	for n, keys := range shape {
		calls.Go(func() {
			var records []choreo.Record
			for i, key := range keys {
				// Keys of different calls differ, as the sagas of different writers do.
				r := rec("many", fmt.Sprintf("%d-%d", n, key), fmt.Sprintf("%d-%d:%02d", n, key, i))
				r.Partition = int32(key % 3)
				records = append(records, r)
			}
			errs := p.publish(context.Background(), records)
			f.mu.Lock()
			defer f.mu.Unlock()
			failed := make(map[string]bool)
			for i, r := range records {
				bad := errs != nil && errs[i] != nil
				require.False(t, !bad && failed[string(r.Key)], "acknowledged after a failed one of its key")
				failed[string(r.Key)] = failed[string(r.Key)] || bad
				acknowledged[string(r.Value)] = !bad
			}
		})
	}
	calls.Wait()
	for value, ok := range acknowledged {
		key := value[:len(value)-3]
		var home []string
		for _, values := range f.written {
			if slices.Contains(values, value) {
				home = values
			}
		}
		require.False(t, ok && home == nil, "%s was acknowledged and is not there", value)
		seen := ""
		for _, v := range home {
			if v[:len(v)-3] == key && v > seen {
				for missing := range acknowledged {
					require.False(t, missing[:len(missing)-3] == key && missing < v && missing > seen,
						"%s was first written before %s", v, missing)
				}
				seen = v
			}
		}
	}
}
