package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
)

// While the broker is killed and restarted under them, writers and readers wait and go
// on: what was acknowledged is read, and the records of a key are first read in the
// order in which they were written.
func TestKafkaOutagesLoseNothing(t *testing.T) {
	const writers = 8
	brokers, control := servers.Kafka(t), servers.KafkaControl(t)
	log := openKafka(t, kafka.Config{Brokers: brokers, DeliveryTimeout: 2 * time.Minute, RequestTimeout: 5 * time.Second})
	topic := newTopic(t, log, map[string]string{"min.insync.replicas": "1"})
	require.NoError(t, log.AddPartitions(t.Context(), topic, 4))

	var (
		mu    sync.Mutex
		next  = make(map[string]int) // by key, the number that has to be read first
		total int
		order error
		read  = make(chan struct{}, 1)
	)
	consuming, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- log.Consume(consuming, topics.ConsumeConfig{Group: topic, Topics: []string{topic}},
			func(_ context.Context, batch []choreo.Record) error {
				mu.Lock()
				defer mu.Unlock()
				for _, r := range batch {
					var n int
					if _, err := fmt.Sscan(string(r.Value), &n); err != nil {
						return err
					}
					switch want := next[string(r.Key)]; {
					case n == want:
						next[string(r.Key)]++
						total++
					case n > want && order == nil:
						order = fmt.Errorf("key %s: read %d before %d", r.Key, n, want)
					}
				}
				select {
				case read <- struct{}{}:
				default:
				}
				return nil
			})
	}()

	writing, quit := context.WithCancel(t.Context())
	defer quit()
	written := make([]int, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for writing.Err() == nil {
				errs := log.Publish(t.Context(), []choreo.Record{{Topic: topic, Partition: choreo.AnyPartition,
					Key: fmt.Append(nil, "key-", w), Value: fmt.Append(nil, written[w])}})
				if errs != nil {
					t.Errorf("writer %d: %v", w, errs[0])
					return
				}
				written[w]++
			}
		})
	}
	readMore := func(n int) {
		mu.Lock()
		goal := total + n
		mu.Unlock()
		awaitTotal(t, read, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return total >= goal
		})
	}
	readMore(200)
	require.NoError(t, control.Kill(t.Context()))
	require.NoError(t, control.Start(t.Context()))
	readMore(200)
	require.NoError(t, control.Restart(t.Context()))
	readMore(200)
	quit()
	wg.Wait()
	all := 0
	for _, n := range written {
		all += n
	}
	awaitTotal(t, read, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return total >= all || order != nil
	})
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, order)
}

// awaitTotal waits until a condition holds that may change whenever changed gets a value.
func awaitTotal(t *testing.T, changed <-chan struct{}, holds func() bool) {
	t.Helper()
	late := time.NewTimer(2 * time.Minute)
	defer late.Stop()
	for !holds() {
		select {
		case <-changed:
		case <-late.C:
			require.FailNow(t, "the records do not come")
		}
	}
}
