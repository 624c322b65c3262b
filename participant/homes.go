package participant

import (
	"context"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/topics"
)

// homesEvery is how often partition counts are looked up again.
const homesEvery = time.Minute

// homes knows the partition counts of topics, so that Start can fix a saga's home
// partition in the outbox. Otherwise a first event that is published twice, once
// before and once after partitions were added, would begin the saga in two places. A
// count that is out of date does no harm: it names fewer partitions, all of which
// exist.
type homes struct {
	mu     sync.RWMutex
	counts map[string]int
}

// of returns the home partition of a new saga, or AnyPartition where the count is
// not known yet.
func (h *homes) of(topic, sagaID string) int32 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if n := h.counts[topic]; n > 0 {
		return topics.PartitionFor([]byte(sagaID), n)
	}
	return choreo.AnyPartition
}

func (h *homes) set(states map[string]topics.TopicState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil {
		h.counts = make(map[string]int, len(states))
	}
	for topic, s := range states {
		h.counts[topic] = s.Partitions
	}
}

// refresh keeps the counts fresh until ctx ends. A look-up that fails changes nothing.
func (h *homes) refresh(ctx context.Context, admin topics.Admin, names []string) {
	for drive.Sleep(ctx, homesEvery) == nil {
		_ = h.lookUp(ctx, admin, names)
	}
}

func (h *homes) lookUp(ctx context.Context, admin topics.Admin, names []string) error {
	states, err := admin.DescribeTopics(ctx, names...)
	if err == nil {
		h.set(states)
	}
	return err
}
