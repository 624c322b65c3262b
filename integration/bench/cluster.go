package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// client speaks to the cluster beside Choreo.
func (b *bench) client() *kafkago.Client {
	return &kafkago.Client{Addr: kafkago.TCP(b.brokers...), Transport: &kafkago.Transport{}}
}

// dropTopics deletes the topics of this run.
func (b *bench) dropTopics(ctx context.Context) error {
	client := b.client()
	have, err := client.Metadata(ctx, &kafkago.MetadataRequest{})
	if err != nil {
		return fmt.Errorf("topics %s… are left behind: %w", b.namespace(""), err)
	}
	var topics []string
	for _, t := range have.Topics {
		if b.owns(t.Name) {
			topics = append(topics, t.Name)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	res, err := client.DeleteTopics(ctx, &kafkago.DeleteTopicsRequest{Topics: topics})
	if err != nil {
		return fmt.Errorf("topics %s… are left behind: %w", b.namespace(""), err)
	}
	var faults []error
	for topic, err := range res.Errors {
		if err != nil {
			faults = append(faults, fmt.Errorf("topic %s is left behind: %w", topic, err))
		}
	}
	return errors.Join(faults...)
}

// dropGroups deletes the consumer groups of this run. A member that could not say that it
// leaves belongs to its group until its session is over, which is waited for.
func (b *bench) dropGroups(ctx context.Context) error {
	client := b.client()
	var left error
	err := untilEvery(ctx, groupsEvery, func() (_ bool, err error) {
		left, err = b.dropIdleGroups(ctx, client)
		return left == nil, err
	})
	if err != nil {
		return fmt.Errorf("consumer groups %s… are left behind: %w", b.namespace(""), errors.Join(err, left))
	}
	return nil
}

// owns reports whether a topic or a group belongs to this run.
func (b *bench) owns(name string) bool { return strings.HasPrefix(name, b.namespace("")) }

// dropIdleGroups deletes those that have no member, and returns as left why others are there
// still.
func (b *bench) dropIdleGroups(ctx context.Context, client *kafkago.Client) (left, err error) {
	have, err := client.ListGroups(ctx, &kafkago.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, g := range have.Groups {
		if b.owns(g.GroupID) {
			groups = append(groups, g.GroupID)
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	res, err := client.DeleteGroups(ctx, &kafkago.DeleteGroupsRequest{GroupIDs: groups})
	if err != nil {
		return nil, err
	}
	for group, err := range res.Errors {
		if errors.Is(err, kafkago.NonEmptyGroup) {
			left = fmt.Errorf("%s: %w", group, err)
		} else if err != nil && !errors.Is(err, kafkago.GroupIdNotFound) {
			return nil, fmt.Errorf("%s: %w", group, err)
		}
	}
	return left, nil
}

const (
	// dropWithin is how long taking away what is left behind may take: longer than a session
	// of a consumer group.
	dropWithin  = time.Minute
	groupsEvery = 200 * time.Millisecond
)
