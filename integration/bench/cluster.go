package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// dropTopics deletes the topics of this run, and its consumer groups.
func (b *bench) dropTopics(ctx context.Context) error {
	client := &kafkago.Client{Addr: kafkago.TCP(b.brokers...), Transport: &kafkago.Transport{}}
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
	var faults []error
	if len(topics) > 0 {
		res, err := client.DeleteTopics(ctx, &kafkago.DeleteTopicsRequest{Topics: topics})
		if err != nil {
			return fmt.Errorf("topics %s… are left behind: %w", b.namespace(""), err)
		}
		for topic, err := range res.Errors {
			if err != nil {
				faults = append(faults, fmt.Errorf("topic %s is left behind: %w", topic, err))
			}
		}
	}
	var left error
	err = until(ctx, func() (bool, error) {
		left, err = b.dropGroups(ctx, client)
		return left == nil, err
	})
	if err != nil {
		faults = append(faults, fmt.Errorf("consumer groups %s… are left behind: %w", b.namespace(""), errors.Join(err, left)))
	}
	return errors.Join(faults...)
}

// owns reports whether a topic or a group belongs to this run.
func (b *bench) owns(name string) bool { return strings.HasPrefix(name, b.namespace("")) }

// dropGroups deletes the consumer groups of this run. It returns as left why some are there
// still: a member that could not say that it leaves belongs to its group until its session
// is over.
func (b *bench) dropGroups(ctx context.Context, client *kafkago.Client) (left, err error) {
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

// dropWithin is how long taking away what a part left behind may take: longer than a session
// of a consumer group.
const dropWithin = time.Minute
