package integration

import (
	"context"
	"errors"
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
	brokers, control := servers.Kafka(t), servers.KafkaControl(t)
	log := openKafka(t, kafka.Config{Brokers: brokers, DeliveryTimeout: 2 * time.Minute, RequestTimeout: 5 * time.Second})
	topic := newTopic(t, log, nil)
	require.NoError(t, log.AddPartitions(t.Context(), topic, 4))

	n := newNumbers()
	consuming, stop := context.WithCancel(t.Context())
	defer stop()
	consumed := make(chan error, 1)
	go func() {
		consumed <- log.Consume(consuming, topics.ConsumeConfig{Group: topic, Topics: []string{topic}}, n.handle)
	}()
	writing, quit := context.WithCancel(t.Context())
	defer quit()
	written := make(chan int, 8)
	for w := range cap(written) {
		go func() {
			count, err := writeNumbers(writing, log, topic, fmt.Sprint("key-", w))
			if err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
			written <- count
		}()
	}

	n.awaitMore(t, 200)
	require.NoError(t, control.Kill(t.Context()))
	require.NoError(t, control.Start(t.Context()))
	n.awaitMore(t, 200)
	require.NoError(t, control.Restart(t.Context()))
	n.awaitMore(t, 200)
	quit()
	all := 0
	for range cap(written) {
		all += <-written
	}
	n.await(t, func() bool { return n.total >= all || n.gap != nil })
	stop()
	require.NoError(t, <-consumed)
	require.NoError(t, n.gap)
}

// writeNumbers writes 0, 1, 2 and so on under a key, each after the acknowledgement of
// the one before, until ctx ends. It returns how many were acknowledged.
func writeNumbers(ctx context.Context, log topics.Log, topic, key string) (int, error) {
	for i := 0; ; i++ {
		if ctx.Err() != nil {
			return i, nil
		}
		errs := log.Publish(context.WithoutCancel(ctx), []choreo.Record{
			{Topic: topic, Partition: choreo.AnyPartition, Key: []byte(key), Value: fmt.Append(nil, i)}})
		if errs != nil {
			return i, errors.Join(errs...)
		}
	}
}

// numbers reads what writeNumbers writes.
type numbers struct {
	mu      sync.Mutex
	next    map[string]int // by key, the number that has to be read next for the first time
	total   int            // numbers that were read, each counted once
	gap     error          // the first number that came too early
	changed chan struct{}  // holds a value after something was read
}

func newNumbers() *numbers {
	return &numbers{next: make(map[string]int), changed: make(chan struct{}, 1)}
}

func (n *numbers) handle(_ context.Context, batch []choreo.Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range batch {
		var number int
		if _, err := fmt.Sscan(string(r.Value), &number); err != nil {
			return err
		}
		switch want := n.next[string(r.Key)]; {
		case number == want:
			n.next[string(r.Key)]++
			n.total++
		case number > want && n.gap == nil:
			n.gap = fmt.Errorf("key %s: %d was read before %d", r.Key, number, want)
		}
	}
	select {
	case n.changed <- struct{}{}:
	default:
	}
	return nil
}

// awaitMore waits until so many more are read.
func (n *numbers) awaitMore(t *testing.T, more int) {
	t.Helper()
	n.mu.Lock()
	goal := n.total + more
	n.mu.Unlock()
	n.await(t, func() bool { return n.total >= goal })
}

// await waits until a condition holds, which is asked under the lock.
func (n *numbers) await(t *testing.T, holds func() bool) {
	t.Helper()
	late := time.NewTimer(2 * time.Minute)
	defer late.Stop()
	for {
		n.mu.Lock()
		held := holds()
		n.mu.Unlock()
		if held {
			return
		}
		select {
		case <-n.changed:
		case <-late.C:
			require.FailNow(t, "the records do not come")
		}
	}
}
