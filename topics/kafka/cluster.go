package kafka

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// cluster knows the partitions of topics and who leads them. Unlike the transport's
// own metadata it can be renewed at once.
type cluster struct {
	roundTrip func(context.Context, segmentio.Request) (segmentio.Response, error)
	clientID  string
	view      atomic.Pointer[view]
	fetching  chan struct{} // holds a value while metadata are fetched
	mu        sync.Mutex
	names     map[string]struct{} // the topics that are of interest
}

// view is what was known of the topics at a time. It is never changed.
type view struct {
	asked  time.Time // just before the request was sent
	topics map[string]topicView
}

// topicView is a topic; err is why nothing is known of it.
type topicView struct {
	err     error
	leaders []int32 // by partition; noLeader while there is none
}

const noLeader = -1

func newCluster(clientID string, roundTrip func(context.Context, segmentio.Request) (segmentio.Response, error)) *cluster {
	c := &cluster{roundTrip: roundTrip, clientID: clientID, fetching: make(chan struct{}, 1), names: make(map[string]struct{})}
	c.view.Store(&view{})
	return c
}

// topic returns what is known of a topic, without asking anybody.
func (c *cluster) topic(name string) (topicView, bool) {
	t, ok := c.view.Load().topics[name]
	return t, ok
}

// leader returns who leads a partition, as far as is known.
func (v *view) leader(topic string, partition int32) (int32, error) {
	t, ok := v.topics[topic]
	switch {
	case !ok:
		return noLeader, segmentio.LeaderNotAvailable
	case t.err != nil:
		return noLeader, t.err
	case int(partition) >= len(t.leaders):
		return noLeader, segmentio.UnknownTopicOrPartition
	case t.leaders[partition] == noLeader:
		return noLeader, segmentio.LeaderNotAvailable
	}
	return t.leaders[partition], nil
}

// counts returns how many partitions the topics have, of those that are known.
func (v *view) counts(names []string) map[string]int {
	counts := make(map[string]int, len(names))
	for _, name := range names {
		if t := v.topics[name]; t.err == nil && len(t.leaders) > 0 {
			counts[name] = len(t.leaders)
		}
	}
	return counts
}

// renew returns a view that was asked for after since and holds the named topics,
// along with all that were of interest before. Calls at the same time share a request.
func (c *cluster) renew(ctx context.Context, since time.Time, names ...string) (*view, error) {
	c.mu.Lock()
	for _, name := range names {
		c.names[name] = struct{}{}
	}
	c.mu.Unlock()
	select {
	case c.fetching <- struct{}{}:
		defer func() { <-c.fetching }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if v := c.view.Load(); v.asked.After(since) && v.has(names) {
		return v, nil
	}
	v, err := c.fetch(ctx)
	if err != nil {
		return nil, err
	}
	c.view.Store(v)
	return v, nil
}

func (v *view) has(names []string) bool {
	for _, name := range names {
		if _, ok := v.topics[name]; !ok {
			return false
		}
	}
	return true
}

// fetch asks any broker about the topics of interest.
func (c *cluster) fetch(ctx context.Context) (*view, error) {
	c.mu.Lock()
	request := &metadata.Request{TopicNames: make([]string, 0, len(c.names))}
	for name := range maps.Keys(c.names) {
		request.TopicNames = append(request.TopicNames, name)
	}
	c.mu.Unlock()
	v := &view{asked: time.Now(), topics: make(map[string]topicView, len(request.TopicNames))}
	exchange := &routed{broker: anyBroker, clientID: c.clientID, request: request}
	if _, err := c.roundTrip(ctx, exchange); err != nil {
		return nil, err
	}
	response, ok := exchange.response.(*metadata.Response)
	if !ok {
		return nil, errors.New("the broker did not answer with metadata")
	}
	for _, t := range response.Topics {
		known := topicView{err: codeError(t.ErrorCode), leaders: make([]int32, len(t.Partitions))}
		for i := range known.leaders {
			known.leaders[i] = noLeader
		}
		for _, p := range t.Partitions {
			if int(p.PartitionIndex) < len(known.leaders) && p.LeaderID >= 0 {
				known.leaders[p.PartitionIndex] = p.LeaderID
			}
		}
		v.topics[t.Name] = known
	}
	return v, nil
}
