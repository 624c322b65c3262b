package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// scripted is a broker whose fetches of topic "t", of one partition, are answered by a test.
type scripted struct {
	log   *Log
	asked chan int64
	mu    sync.Mutex
	bad   map[int64]bool // offsets whose batch is broken the next time
}

// large is the size of each record: responses of two come large enough to fetch ahead.
const large = aheadLeast/2 + 1

func newScripted(t *testing.T, end int64) *scripted {
	c, err := kfake.NewCluster(kfake.SeedTopics(1, "t"), kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	s := &scripted{asked: make(chan int64, 1000), bad: make(map[int64]bool)}
	c.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r := request.(*kmsg.FetchRequest)
		from := r.Topics[0].Partitions[0].FetchOffset
		s.asked <- from
		if from == end {
			return nil, nil, false // the cluster holds the fetch back: it knows of no record
		}
		var records []byte
		for offset := from; offset < min(from+2, end); offset++ {
			records = append(records, s.batch(t, offset)...)
		}
		return fetchResponse(r, end, records), nil, true
	})
	s.log, err = New(Config{Brokers: c.ListenAddrs()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.log.Close()) })
	return s
}

func (s *scripted) batch(t *testing.T, offset int64) []byte {
	b := rawBatch(t, offset, compress.None, choreo.Record{Key: fmt.Append(nil, offset), Value: make([]byte, large)})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad[offset] {
		delete(s.bad, offset)
		b[len(b)-1] ^= 1
	}
	return b
}

func fetchResponse(r *kmsg.FetchRequest, end int64, records []byte) *kmsg.FetchResponse {
	response := r.ResponseKind().(*kmsg.FetchResponse)
	response.SetVersion(r.Version)
	partition := kmsg.NewFetchResponseTopicPartition()
	partition.HighWatermark, partition.LastStableOffset, partition.RecordBatches = end, end, records
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic, topic.Partitions = "t", []kmsg.FetchResponseTopicPartition{partition}
	response.Topics = []kmsg.FetchResponseTopic{topic}
	return response
}

// consume returns the offsets until one is seen, having asked keep about each.
func (s *scripted) consume(t *testing.T, last int64, keep func(offset int64)) []int64 {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var got []int64
	err := s.log.Consume(ctx, topics.ConsumeConfig{Group: "g", Topics: []string{"t"}, Keep: func(r *choreo.Record) bool {
		got = append(got, r.Offset)
		if keep(r.Offset); r.Offset == last {
			stop()
		}
		return false
	}}, func(context.Context, []choreo.Record) error { return nil })
	require.NoError(t, err)
	return got
}

func TestFetchesAheadOfWhatItDecodes(t *testing.T) {
	s := newScripted(t, 6)
	var asked []int64
	got := s.consume(t, 5, func(offset int64) {
		if offset%2 > 0 {
			return
		}
		// The first of a response: the next one is on its way already.
		for range 2 - min(len(asked), 1) {
			select {
			case from := <-s.asked:
				asked = append(asked, from)
			case <-t.Context().Done():
			case <-time.After(30 * time.Second):
				t.Error("nothing is fetched ahead")
			}
		}
	})
	require.Equal(t, []int64{0, 1, 2, 3, 4, 5}, got)
	require.Equal(t, []int64{0, 2, 4, 6}, asked)
}

func TestWhatWasFetchedAheadOfABrokenBatchDoesNotCount(t *testing.T) {
	s := newScripted(t, 8)
	s.bad[3] = true
	got := s.consume(t, 7, func(int64) {})
	require.Equal(t, []int64{0, 1, 2, 3, 4, 5, 6, 7}, got)
}

func TestAnAnswerForAnotherOffsetDoesNotCount(t *testing.T) {
	for asked, want := range map[int64][]int64{5: nil, 3: {3}, notAsked: nil} {
		var got []int64
		f := newFetcher(nil, nil, nil, func(_ context.Context, records []choreo.Record) error {
			for i := range records {
				got = append(got, records[i].Offset)
			}
			return nil
		})
		l := newFetchLoop(f, 1)
		p := &position{Partition: lanes.Partition{Topic: "t"}, offset: 3}
		l.positions = []*position{p}
		request := &kmsg.FetchRequest{Version: fetchVersion}
		body := fetchResponse(request, 6, rawBatch(t, max(asked, 3), compress.None, choreo.Record{Key: []byte("k")})).AppendTo(nil)
		l.ahead = &ahead{exchange: &exchange{body: body}, cancel: func() {}, done: make(chan struct{})}
		close(l.ahead.done)
		if asked != notAsked {
			l.ahead.asked = []*position{{Partition: p.Partition, offset: asked}}
		}
		require.NoError(t, l.fetch(t.Context()))
		require.Equal(t, want, got)
		require.EqualValues(t, 3+len(want), p.offset)
		require.Equal(t, []*position{p}, l.positions, "it stays")
	}
}

func TestBehindBatchesIsWhereDecodingEnds(t *testing.T) {
	good := join(rawBatch(t, 10, compress.None, of("a", "b")...), rawBatch(t, 20, compress.Gzip, of("c")...), marker(t, 21, 5, 0))
	for cut := range len(good) + 1 {
		_, want, err := newDecoder().decode(fetched{records: good[:cut]}, 11, nil)
		require.NoError(t, err)
		next, ok := behindBatches(good[:cut], 11)
		require.True(t, ok)
		require.Equal(t, want, next, cut)
	}
	old := rawBatch(t, 22, compress.None, of("d")...)
	old[batchMagicAt] = 1
	_, ok := behindBatches(join(good, old), 10)
	require.False(t, ok)
}
