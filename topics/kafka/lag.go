package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// GroupLag implements topics.GroupLag.
func (l *Log) GroupLag(ctx context.Context, group string, names ...string) ([]topics.PartitionLag, error) {
	var list []topics.PartitionLag
	err := l.retry(ctx, func(ctx context.Context) (err error) {
		list, err = l.groupLag(ctx, group, names)
		return err
	})
	if unknownTopic(err) {
		err = fmt.Errorf("one of %q: %w", names, topics.ErrUnknownTopic)
	}
	if err != nil {
		return nil, fmt.Errorf("lag of group %s: %w", group, err)
	}
	return list, nil
}

func (l *Log) groupLag(ctx context.Context, group string, names []string) ([]topics.PartitionLag, error) {
	if len(names) == 0 {
		return nil, nil
	}
	v, err := l.cluster.renew(ctx, time.Now(), names...)
	if err != nil {
		return nil, err
	}
	byLeader := make(map[int32][]lanes.Partition)
	var list []topics.PartitionLag
	for _, name := range names {
		t := v.topics[name]
		if t.err != nil {
			return nil, t.err
		}
		for p := range int32(len(t.leaders)) {
			leader, err := v.leader(name, p)
			if err != nil {
				return nil, err
			}
			list = append(list, topics.PartitionLag{Topic: name, Partition: p})
			byLeader[leader] = append(byLeader[leader], lanes.Partition{Topic: name, Partition: p})
		}
	}
	// First what is committed: if it moves on meanwhile, the lag is too large and never
	// below what it was.
	committed, err := l.committed(ctx, group, list)
	if err != nil {
		return nil, err
	}
	oldest, end := make(map[lanes.Partition]int64), make(map[lanes.Partition]int64)
	for leader, partitions := range byLeader {
		if err := l.offsetsAt(ctx, leader, segmentio.FirstOffset, partitions, oldest); err != nil {
			return nil, err
		}
		if err := l.offsetsAt(ctx, leader, segmentio.LastOffset, partitions, end); err != nil {
			return nil, err
		}
	}
	for i := range list {
		at := lanes.Partition{Topic: list[i].Topic, Partition: list[i].Partition}
		list[i].Committed, list[i].Oldest, list[i].End = committed[at], oldest[at], end[at]
	}
	return list, nil
}

// committed asks the group's coordinator for the offsets of partitions: -1 without one.
func (l *Log) committed(ctx context.Context, group string, of []topics.PartitionLag) (map[lanes.Partition]int64, error) {
	coordinator, err := l.coordinator(ctx, group)
	if err != nil {
		return nil, err
	}
	request := &offsetfetch.Request{GroupID: group}
	for _, p := range of {
		i := slices.IndexFunc(request.Topics, func(t offsetfetch.RequestTopic) bool { return t.Name == p.Topic })
		if i < 0 {
			i = len(request.Topics)
			request.Topics = append(request.Topics, offsetfetch.RequestTopic{Name: p.Topic})
		}
		request.Topics[i].PartitionIndexes = append(request.Topics[i].PartitionIndexes, p.Partition)
	}
	ask := &routed{broker: coordinator, clientID: l.config.ClientID, request: request}
	if _, err := l.roundTrip(ctx, ask); err != nil {
		return nil, err
	}
	response, ok := ask.response.(*offsetfetch.Response)
	if !ok {
		return nil, errors.New("the broker did not answer with offsets")
	}
	offsets := make(map[lanes.Partition]int64, len(of))
	switch err := codeError(response.ErrorCode); {
	case errors.Is(err, segmentio.GroupIdNotFound): // so some say, and others name no offset
		for _, p := range of {
			offsets[lanes.Partition{Topic: p.Topic, Partition: p.Partition}] = -1
		}
		return offsets, nil
	case err != nil:
		return nil, err
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return nil, codeError(p.ErrorCode)
			}
			offsets[lanes.Partition{Topic: t.Name, Partition: p.PartitionIndex}] = p.CommittedOffset
		}
	}
	if len(offsets) != len(of) {
		return nil, errors.New("the broker's response does not name all partitions")
	}
	return offsets, nil
}

// coordinator returns the broker that is in charge of a group.
func (l *Log) coordinator(ctx context.Context, group string) (int32, error) {
	find := &routed{broker: anyBroker, clientID: l.config.ClientID, request: &findcoordinator.Request{Key: group}}
	if _, err := l.roundTrip(ctx, find); err != nil {
		return 0, err
	}
	coordinator, ok := find.response.(*findcoordinator.Response)
	if !ok {
		return 0, segmentio.GroupCoordinatorNotAvailable
	}
	return coordinator.NodeID, codeError(coordinator.ErrorCode)
}

// offsetsAt asks a broker for one end of partitions that it leads.
func (l *Log) offsetsAt(ctx context.Context, broker int32, which int64, partitions []lanes.Partition, into map[lanes.Partition]int64) error {
	const committedOnly = 1 // as fetches ask for
	request := &listoffsets.Request{ReplicaID: -1, IsolationLevel: committedOnly}
	for _, p := range partitions {
		i := slices.IndexFunc(request.Topics, func(t listoffsets.RequestTopic) bool { return t.Topic == p.Topic })
		if i < 0 {
			i = len(request.Topics)
			request.Topics = append(request.Topics, listoffsets.RequestTopic{Topic: p.Topic})
		}
		request.Topics[i].Partitions = append(request.Topics[i].Partitions,
			listoffsets.RequestPartition{Partition: p.Partition, CurrentLeaderEpoch: -1, Timestamp: which})
	}
	exchange := &routed{broker: broker, clientID: l.config.ClientID, request: request}
	if _, err := l.roundTrip(ctx, exchange); err != nil {
		return err
	}
	response, _ := exchange.response.(*listoffsets.Response)
	for _, p := range partitions {
		offset, err := offsetOf(&position{Partition: p}, response)
		if err != nil {
			return err
		}
		into[p] = offset
	}
	return nil
}
