package topics_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

func saga(name string, version int) choreo.AnySaga {
	return choreo.MustDefine[string](name, version, choreo.NewStep[string, string]("only").OwnedBy("service"))
}

func shop(t *testing.T) topics.Names {
	names, err := topics.NewNames("shop")
	require.NoError(t, err)
	return names
}

func TestTopologyByDefault(t *testing.T) {
	expiring := map[string]string{"cleanup.policy": "delete", "retention.ms": "2592000000"}
	compacted := map[string]string{"cleanup.policy": "compact"}
	require.Equal(t, []topics.TopicSpec{
		{Name: "shop.definitions", Partitions: 1, Settings: compacted},
		{Name: "shop.dlq", Partitions: 12, Settings: map[string]string{
			"cleanup.policy": "delete", "retention.ms": "2592000000", "max.message.bytes": "2097152",
		}},
		{Name: "shop.order.events", Partitions: 12, Settings: expiring},
		{Name: "shop.order.tracker", Partitions: 12, Settings: compacted},
		{Name: "shop.participants", Partitions: 1, Settings: map[string]string{
			"cleanup.policy": "compact,delete", "retention.ms": "86400000", "segment.ms": "600000",
		}},
		{Name: "shop.refund.events", Partitions: 12, Settings: expiring},
		{Name: "shop.refund.tracker", Partitions: 12, Settings: compacted},
		{Name: "shop.schemas", Partitions: 1, Settings: compacted},
	}, topics.Topology(shop(t), []choreo.AnySaga{saga("refund", 1), saga("order", 1), saga("order", 2)}, topics.TopologyOptions{}))
}

func TestTopologyOptions(t *testing.T) {
	specs := topics.Topology(shop(t), []choreo.AnySaga{saga("order", 1)}, topics.TopologyOptions{
		Partitions: 3, ReplicationFactor: 3, Retention: 48 * time.Hour,
	})
	require.Equal(t, topics.TopicSpec{
		Name: "shop.order.events", Partitions: 3, ReplicationFactor: 3, Settings: map[string]string{
			"cleanup.policy": "delete", "retention.ms": "172800000", "min.insync.replicas": "2",
		},
	}, specs[2])

	specs = topics.Topology(shop(t), nil, topics.TopologyOptions{Retention: -1})
	require.Len(t, specs, 4)
	require.Equal(t, "-1", specs[1].Settings["retention.ms"])
}
