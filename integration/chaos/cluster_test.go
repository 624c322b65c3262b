//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// cluster looks at the log and at the groups that read it by other clients than the
// services have: kafka-go's own for the groups, franz-go for the records.
type cluster struct {
	brokers []string
	names   topics.Names
	client  *segmentio.Client
}

const clusterTimeout = 5 * time.Second

func newCluster(brokers []string, names topics.Names) *cluster {
	return &cluster{brokers: brokers, names: names, client: &segmentio.Client{
		Addr: segmentio.TCP(brokers...), Timeout: clusterTimeout,
		Transport: &segmentio.Transport{MetadataTTL: time.Second},
	}}
}

func (c *cluster) events() []string {
	return []string{c.names.Events(delivery.Name()), c.names.Events(pickup.Name())}
}

// remove deletes topics.
func (c *cluster) remove(t *testing.T, topology []topics.TopicSpec) {
	t.Helper()
	request := &segmentio.DeleteTopicsRequest{}
	for i := range topology {
		request.Topics = append(request.Topics, topology[i].Name)
	}
	if _, err := c.client.DeleteTopics(context.Background(), request); err != nil {
		t.Logf("the topics are left: %v", err)
	}
}

// evicted reports whether a member's group does without it. False, too, where the broker
// does not say.
func (c *cluster) evicted(ctx context.Context, m *member) bool {
	group := c.names.Group(m.Service)
	answer, err := c.client.DescribeGroups(ctx, &segmentio.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil || len(answer.Groups) != 1 || answer.Groups[0].Error != nil || len(answer.Groups[0].Members) == 0 {
		return false
	}
	return !slices.ContainsFunc(answer.Groups[0].Members, func(g segmentio.DescribeGroupsResponseMember) bool {
		return g.ClientID == m.Process
	})
}

// ends returns the end of each partition of some topics.
func (c *cluster) ends(ctx context.Context, names ...string) (map[string]map[int]int64, error) {
	meta, err := c.client.Metadata(ctx, &segmentio.MetadataRequest{Topics: names})
	if err != nil {
		return nil, err
	}
	request := &segmentio.ListOffsetsRequest{Topics: make(map[string][]segmentio.OffsetRequest)}
	for _, topic := range meta.Topics {
		if topic.Error != nil {
			return nil, topic.Error
		}
		for _, p := range topic.Partitions {
			request.Topics[topic.Name] = append(request.Topics[topic.Name], segmentio.LastOffsetOf(p.ID))
		}
	}
	answer, err := c.client.ListOffsets(ctx, request)
	if err != nil {
		return nil, err
	}
	ends := make(map[string]map[int]int64)
	for topic, partitions := range answer.Topics {
		ends[topic] = make(map[int]int64)
		for _, p := range partitions {
			if p.Error != nil {
				return nil, p.Error
			}
			ends[topic][p.Partition] = p.LastOffset
		}
	}
	return ends, nil
}

// lag returns how many records the groups of all services have not handled yet.
func (c *cluster) lag(ctx context.Context) (int64, error) {
	ends, err := c.ends(ctx, c.events()...)
	if err != nil {
		return 0, err
	}
	var lag int64
	for _, service := range services {
		request := &segmentio.OffsetFetchRequest{GroupID: c.names.Group(service), Topics: make(map[string][]int)}
		for topic, partitions := range ends {
			for p := range partitions {
				request.Topics[topic] = append(request.Topics[topic], p)
			}
		}
		answer, err := c.client.OffsetFetch(ctx, request)
		if err == nil {
			err = answer.Error
		}
		if err != nil {
			return 0, fmt.Errorf("offsets of %s: %w", service, err)
		}
		for topic, partitions := range answer.Topics {
			for _, p := range partitions {
				if p.Error != nil {
					return 0, p.Error
				}
				lag += ends[topic][p.Partition] - max(p.CommittedOffset, 0)
			}
		}
	}
	return lag, nil
}

// read returns all records of some topics, each partition in its order.
func (c *cluster) read(ctx context.Context, names ...string) ([]choreo.Record, error) {
	ends, err := c.ends(ctx, names...)
	if err != nil {
		return nil, err
	}
	left := 0 // partitions that are not read to their end
	for _, partitions := range ends {
		for _, end := range partitions {
			if end > 0 {
				left++
			}
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.ConsumeTopics(names...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var records []choreo.Record
	for left > 0 {
		fetches := client.PollFetches(ctx)
		for _, fault := range fetches.Errors() {
			return nil, fmt.Errorf("read %s, partition %d: %w", fault.Topic, fault.Partition, fault.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			headers := make([]choreo.Header, len(r.Headers))
			for i, h := range r.Headers {
				headers[i] = choreo.Header{Key: h.Key, Value: h.Value}
			}
			records = append(records, choreo.Record{
				Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp,
				Key: r.Key, Value: r.Value, Headers: headers,
			})
			if r.Offset == ends[r.Topic][int(r.Partition)]-1 {
				left--
			}
		})
	}
	return records, nil
}
