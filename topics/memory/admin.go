package memory

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

const maxMessageBytes = "max.message.bytes"

// defaults are the settings of a topic that was created without, as a broker has them.
var defaults = map[string]string{
	"cleanup.policy":      "delete",
	"retention.ms":        "604800000",
	"min.insync.replicas": "1",
	maxMessageBytes:       "1048588",
}

var topicPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func newTopic(partitions int, settings map[string]string) *topic {
	t := &topic{partitions: make([][]choreo.Record, partitions), settings: maps.Clone(defaults)}
	maps.Copy(t.settings, settings)
	return t
}

// DescribeTopics implements [topics.Admin].
func (l *Log) DescribeTopics(ctx context.Context, names ...string) (map[string]topics.TopicState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reach(ctx); err != nil {
		return nil, err
	}
	states := make(map[string]topics.TopicState, len(names))
	for _, name := range names {
		if t := l.topics[name]; t != nil {
			states[name] = topics.TopicState{Partitions: len(t.partitions), Settings: maps.Clone(t.settings)}
		}
	}
	return states, nil
}

// CreateTopic implements [topics.Admin].
func (l *Log) CreateTopic(ctx context.Context, spec topics.TopicSpec) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reach(ctx); err != nil {
		return err
	}
	switch {
	case !topicPattern.MatchString(spec.Name):
		return fmt.Errorf("topic %q: letters, digits, '.', '_' and '-' make a name, at most 249 of them", spec.Name)
	case spec.Partitions < 1:
		return fmt.Errorf("topic %q: %d partitions: at least 1 is needed", spec.Name, spec.Partitions)
	case l.topics[spec.Name] != nil:
		return fmt.Errorf("topic %q: %w", spec.Name, topics.ErrTopicExists)
	}
	l.topics[spec.Name] = newTopic(spec.Partitions, spec.Settings)
	l.reassign(spec.Name)
	return nil
}

// AddPartitions implements [topics.Admin].
func (l *Log) AddPartitions(ctx context.Context, name string, total int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reach(ctx); err != nil {
		return err
	}
	t := l.topics[name]
	if t == nil {
		return fmt.Errorf("topic %q: %w", name, topics.ErrUnknownTopic)
	}
	if total <= len(t.partitions) {
		return fmt.Errorf("topic %q has %d partitions: their number can only grow, not become %d", name, len(t.partitions), total)
	}
	t.partitions = slices.Grow(t.partitions, total)[:total]
	l.reassign(name)
	return nil
}

// SetConfig implements [topics.Admin].
func (l *Log) SetConfig(ctx context.Context, name string, settings map[string]string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reach(ctx); err != nil {
		return err
	}
	t := l.topics[name]
	if t == nil {
		return fmt.Errorf("topic %q: %w", name, topics.ErrUnknownTopic)
	}
	maps.Copy(t.settings, settings)
	return nil
}

// reassign rebalances the groups that read a topic. l.mu is held.
func (l *Log) reassign(name string) {
	for _, g := range l.groups {
		if slices.ContainsFunc(g.members, func(m *member) bool { return slices.Contains(m.topics, name) }) {
			l.rebalance(g)
		}
	}
}
