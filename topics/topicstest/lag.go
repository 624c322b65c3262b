package topicstest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// lag is what GroupLag is to say while a group gets along.
func lag(r *rig) {
	const partitions = 3
	topic, other, group := r.topic(partitions), r.topic(1), r.name()
	records := make([]choreo.Record, 0, 2*partitions)
	for p := range int32(partitions) {
		for i := range p + 1 { // 1, 2 and 3 records
			rec := record(topic, fmt.Sprintf("key-%d", p), int(i))
			rec.Partition = p
			records = append(records, rec)
		}
	}
	r.publish(records...)
	at := func(topic string, p int32, committed, end int64) topics.PartitionLag {
		return topics.PartitionLag{Topic: topic, Partition: p, Committed: committed, End: end}
	}
	ask := func() []topics.PartitionLag {
		r.Helper()
		list, err := r.log.GroupLag(r.ctx, group, topic, other)
		require.NoError(r, err)
		return list
	}
	require.Equal(r, []topics.PartitionLag{
		at(topic, 0, -1, 1), at(topic, 1, -1, 2), at(topic, 2, -1, 3), at(other, 0, -1, 0),
	}, ask(), "a group that nobody has seen")
	require.Equal(r, int64(3), ask()[2].Lag())

	c := r.consume(topics.ConsumeConfig{Group: group, Topics: []string{topic}}, nil)
	c.untilHandled(len(records))
	c.stop()
	require.Equal(r, []topics.PartitionLag{
		at(topic, 0, 1, 1), at(topic, 1, 2, 2), at(topic, 2, 3, 3), at(other, 0, -1, 0),
	}, ask(), "all is handled")
	require.Zero(r, ask()[2].Lag())

	more := record(topic, "key-1", 9)
	more.Partition = 1
	r.publish(more)
	require.Equal(r, at(topic, 1, 2, 3), ask()[1], "something comes while nobody reads")
	require.Equal(r, int64(1), ask()[1].Lag())
}

func lagUnknown(r *rig) {
	_, err := r.log.GroupLag(r.ctx, r.name(), r.topic(1), r.name())
	require.ErrorIs(r, err, topics.ErrUnknownTopic)
	list, err := r.log.GroupLag(r.ctx, r.name())
	require.NoError(r, err)
	require.Empty(r, list)
}
