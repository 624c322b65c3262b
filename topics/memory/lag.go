package memory

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/topics"
)

// GroupLag implements [topics.GroupLag].
func (l *Log) GroupLag(ctx context.Context, group string, names ...string) ([]topics.PartitionLag, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reach(ctx); err != nil {
		return nil, fmt.Errorf("lag of group %s: %w", group, err)
	}
	g := l.groups[group]
	var list []topics.PartitionLag
	for _, name := range names {
		t := l.topics[name]
		if t == nil {
			return nil, fmt.Errorf("lag of group %s: topic %q: %w", group, name, topics.ErrUnknownTopic)
		}
		for p := range t.partitions {
			lag := topics.PartitionLag{Topic: name, Partition: int32(p), Committed: -1, End: int64(len(t.partitions[p]))}
			if g != nil {
				if committed, ok := g.committed[lanesPartition(name, int32(p))]; ok {
					lag.Committed = committed
				}
			}
			list = append(list, lag)
		}
	}
	return list, nil
}
