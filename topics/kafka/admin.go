package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	segmentio "github.com/segmentio/kafka-go"

	"github.com/choreo-go/choreo/topics"
)

// retry calls do until it succeeds, fails for good, or ctx or the delivery timeout ends.
func (l *Log) retry(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := l.bind(ctx)
	defer cancel()
	ctx, cancelTimeout := context.WithTimeoutCause(ctx, l.config.DeliveryTimeout,
		fmt.Errorf("no success within %s: %w", l.config.DeliveryTimeout, context.DeadlineExceeded))
	defer cancelTimeout()
	var fault error
	for failures := 1; ; failures++ {
		if ctx.Err() != nil {
			return ended(ctx, fault)
		}
		err := do(ctx)
		if err == nil || unknownTopic(err) || ctx.Err() == nil && !passing(err) {
			return err
		}
		if fault == nil || ctx.Err() == nil {
			fault = err
		}
		pause := time.NewTimer(backoff(failures))
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
}

// DescribeTopics implements topics.Admin.
func (l *Log) DescribeTopics(ctx context.Context, names ...string) (map[string]topics.TopicState, error) {
	var states map[string]topics.TopicState
	err := l.retry(ctx, func(ctx context.Context) (err error) {
		states, err = l.describe(ctx, names)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("describing topics: %w", err)
	}
	return states, nil
}

func (l *Log) describe(ctx context.Context, names []string) (map[string]topics.TopicState, error) {
	states := make(map[string]topics.TopicState, len(names))
	if len(names) == 0 {
		return states, nil
	}
	v, err := l.cluster.renew(ctx, time.Now(), names...)
	if err != nil {
		return nil, err
	}
	request := &segmentio.DescribeConfigsRequest{}
	for _, name := range names {
		t := v.topics[name]
		if unknownTopic(t.err) {
			continue
		}
		if t.err != nil {
			return nil, fmt.Errorf("%s: %w", name, t.err)
		}
		states[name] = topics.TopicState{Partitions: len(t.leaders), Settings: make(map[string]string)}
		request.Resources = append(request.Resources, segmentio.DescribeConfigRequestResource{
			ResourceType: segmentio.ResourceTypeTopic, ResourceName: name})
	}
	if len(states) == 0 {
		return states, nil
	}
	response, err := l.client.DescribeConfigs(ctx, request)
	if err != nil {
		return nil, err
	}
	for _, resource := range response.Resources {
		if resource.Error != nil {
			return nil, fmt.Errorf("settings of %s: %w", resource.ResourceName, resource.Error)
		}
		for _, entry := range resource.ConfigEntries {
			states[resource.ResourceName].Settings[entry.ConfigName] = entry.ConfigValue
		}
	}
	return states, nil
}

// CreateTopic implements topics.Admin. It returns once the topic has its leaders.
func (l *Log) CreateTopic(ctx context.Context, spec topics.TopicSpec) error {
	topic := segmentio.TopicConfig{Topic: spec.Name, NumPartitions: spec.Partitions, ReplicationFactor: spec.ReplicationFactor}
	if spec.ReplicationFactor == 0 {
		topic.ReplicationFactor = -1
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Settings)) {
		topic.ConfigEntries = append(topic.ConfigEntries, segmentio.ConfigEntry{ConfigName: name, ConfigValue: spec.Settings[name]})
	}
	unclear := false // an attempt ended without an answer, and may have made the topic
	err := l.retry(ctx, func(ctx context.Context) error {
		response, err := l.client.CreateTopics(ctx, &segmentio.CreateTopicsRequest{Topics: []segmentio.TopicConfig{topic}})
		if err != nil {
			unclear = true
			return err
		}
		err = response.Errors[spec.Name]
		if unclear && errors.Is(err, segmentio.TopicAlreadyExists) {
			return nil
		}
		return err
	})
	if errors.Is(err, segmentio.TopicAlreadyExists) {
		return fmt.Errorf("creating topic %s: %w", spec.Name, topics.ErrTopicExists)
	}
	if err == nil {
		err = l.awaitPartitions(ctx, spec.Name, max(spec.Partitions, 1))
	}
	if err != nil {
		return fmt.Errorf("creating topic %s: %w", spec.Name, err)
	}
	return nil
}

// AddPartitions implements topics.Admin. It returns once the partitions have leaders.
func (l *Log) AddPartitions(ctx context.Context, name string, total int) error {
	err := l.retry(ctx, func(ctx context.Context) error {
		response, err := l.client.CreatePartitions(ctx, &segmentio.CreatePartitionsRequest{
			Topics: []segmentio.TopicPartitionsConfig{{Name: name, Count: int32(total)}}})
		if err != nil {
			return err
		}
		return response.Errors[name]
	})
	if err == nil {
		err = l.awaitPartitions(ctx, name, total)
	}
	return l.changed(name, "adding partitions to", err)
}

// SetConfig implements topics.Admin.
func (l *Log) SetConfig(ctx context.Context, name string, settings map[string]string) error {
	resource := segmentio.IncrementalAlterConfigsRequestResource{ResourceType: segmentio.ResourceTypeTopic, ResourceName: name}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		resource.Configs = append(resource.Configs, segmentio.IncrementalAlterConfigsRequestConfig{
			Name: key, Value: settings[key], ConfigOperation: segmentio.ConfigOperationSet})
	}
	err := l.retry(ctx, func(ctx context.Context) error {
		response, err := l.client.IncrementalAlterConfigs(ctx, &segmentio.IncrementalAlterConfigsRequest{
			Resources: []segmentio.IncrementalAlterConfigsRequestResource{resource}})
		if err != nil {
			return err
		}
		for _, r := range response.Resources {
			err = errors.Join(err, r.Error)
		}
		return err
	})
	return l.changed(name, "changing settings of", err)
}

func (l *Log) changed(name, what string, err error) error {
	if unknownTopic(err) {
		err = topics.ErrUnknownTopic
	}
	if err != nil {
		return fmt.Errorf("%s topic %s: %w", what, name, err)
	}
	return nil
}

// awaitPartitions waits until the topic has so many partitions, all with a leader, as
// far as the broker knows that answers.
func (l *Log) awaitPartitions(ctx context.Context, name string, total int) error {
	return l.retry(ctx, func(ctx context.Context) error {
		v, err := l.cluster.renew(ctx, time.Now(), name)
		if err != nil {
			return err
		}
		t := v.topics[name]
		if t.err != nil && !unknownTopic(t.err) {
			return t.err
		}
		if len(t.leaders) < total || slices.Contains(t.leaders, noLeader) {
			return errors.New(strconv.Itoa(len(t.leaders)) + " partitions are known yet, or some have no leader")
		}
		return nil
	})
}
