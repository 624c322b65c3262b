package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Action is what a [Change] does to a topic.
type Action string

// The actions of a plan.
const (
	ActionCreate        Action = "create"
	ActionAddPartitions Action = "add partitions"
	ActionSetConfig     Action = "set config"
	// ActionByHand marks a drift that no plan mends: a topic is never shrunk or deleted.
	ActionByHand Action = "by hand"
)

// Change is one difference between a topic as it is and as it should be.
type Change struct {
	Topic  string
	Action Action
	// Spec is the topic as it should be.
	Spec TopicSpec
	// Partitions is how many the topic has, 0 where it does not exist.
	Partitions int
	// Settings are those to change, sorted by name. ActionSetConfig only.
	Settings []SettingChange
}

// SettingChange is a setting of a topic that differs.
type SettingChange struct{ Name, From, To string }

// Plan is what it takes to bring the topics of a cluster to their specs.
type Plan struct {
	// Changes are sorted by topic; a topic may have several.
	Changes []Change
	specs   []TopicSpec
}

// NewPlan compares the topics of a cluster with specs. It changes nothing.
func NewPlan(ctx context.Context, admin Admin, specs []TopicSpec) (*Plan, error) {
	names := make([]string, len(specs))
	for i := range specs {
		names[i] = specs[i].Name
	}
	states, err := admin.DescribeTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("topics: describe %d topics: %w", len(names), err)
	}
	p := &Plan{specs: slices.Clone(specs)}
	for _, spec := range specs {
		state, exists := states[spec.Name]
		p.Changes = append(p.Changes, diff(spec, state, exists)...)
	}
	slices.SortStableFunc(p.Changes, func(a, b Change) int { return strings.Compare(a.Topic, b.Topic) })
	return p, nil
}

// diff returns what is to be done about one topic.
func diff(spec TopicSpec, state TopicState, exists bool) []Change {
	change := Change{Topic: spec.Name, Spec: spec, Partitions: state.Partitions}
	if !exists {
		change.Action = ActionCreate
		return []Change{change}
	}
	var changes []Change
	switch {
	case state.Partitions < spec.Partitions:
		change.Action = ActionAddPartitions
		changes = append(changes, change)
	case state.Partitions > spec.Partitions:
		change.Action = ActionByHand
		changes = append(changes, change)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Settings)) {
		if from, to := state.Settings[name], spec.Settings[name]; from != to {
			change.Settings = append(change.Settings, SettingChange{Name: name, From: from, To: to})
		}
	}
	if len(change.Settings) > 0 {
		change.Action = ActionSetConfig
		changes = append(changes, change)
	}
	return changes
}

// Empty reports whether nothing differs.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 }

// Apply carries the plan out, all but what is to be done by hand. Applying it twice, or
// by two processes at once, is harmless: what another one did first counts as done. It
// goes on after an error, and returns them all.
func (p *Plan) Apply(ctx context.Context, admin Admin) error {
	var errs []error
	for i := range p.Changes {
		if err := apply(ctx, admin, &p.Changes[i]); err != nil {
			errs = append(errs, fmt.Errorf("topics: %s %s: %w", p.Changes[i].Action, p.Changes[i].Topic, err))
		}
	}
	return errors.Join(errs...)
}

func apply(ctx context.Context, admin Admin, c *Change) error {
	switch c.Action {
	case ActionCreate:
		err := admin.CreateTopic(ctx, c.Spec)
		if errors.Is(err, ErrTopicExists) {
			return applyToExisting(ctx, admin, c.Spec) // another process was first, perhaps with another spec
		}
		return err
	case ActionAddPartitions:
		err := admin.AddPartitions(ctx, c.Topic, c.Spec.Partitions)
		if err == nil {
			return nil
		}
		// Kafka refuses a count that the topic already has: another process may have been first.
		wide := func(s TopicState) bool { return s.Partitions >= c.Spec.Partitions }
		if _, lookErr := lookAgain(ctx, admin, c.Topic, wide); lookErr != nil {
			return err
		}
	case ActionSetConfig:
		settings := make(map[string]string, len(c.Settings))
		for _, s := range c.Settings {
			settings[s.Name] = s.To
		}
		if err := admin.SetConfig(ctx, c.Topic, settings); err != nil {
			return err
		}
		// It is set; waiting until it shows spares a Verify that comes next a false alarm.
		_, _ = lookAgain(ctx, admin, c.Topic, func(s TopicState) bool {
			for name, value := range settings {
				if s.Settings[name] != value {
					return false
				}
			}
			return true
		})
	case ActionByHand:
	}
	return nil
}

func applyToExisting(ctx context.Context, admin Admin, spec TopicSpec) error {
	state, err := lookAgain(ctx, admin, spec.Name, func(s TopicState) bool { return s.Partitions > 0 })
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range diff(spec, state, true) {
		errs = append(errs, apply(ctx, admin, &c))
	}
	return errors.Join(errs...)
}

// What one broker of a cluster knows, another may learn a moment later.
const (
	lookEvery = 100 * time.Millisecond
	lookTimes = 20
)

// lookAgain describes a topic until it is as it should be by now.
func lookAgain(ctx context.Context, admin Admin, name string, shown func(TopicState) bool) (TopicState, error) {
	for range lookTimes {
		states, err := admin.DescribeTopics(ctx, name)
		if err != nil {
			return TopicState{}, err
		}
		if state := states[name]; shown(state) {
			return state, nil
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return TopicState{}, context.Cause(ctx)
		}
	}
	return TopicState{}, errors.New("it was changed by another process, and the change does not show yet: apply again")
}

// DriftError says how the topics of a cluster differ from what they should be.
type DriftError struct{ Plan *Plan }

func (e *DriftError) Error() string {
	return "topics differ from what they should be\n" + strings.TrimSuffix(e.Plan.String(), "\n")
}

// Verify returns nil when every topic is as its spec says, and a [*DriftError] that
// names each drift and what to do about it when not.
func Verify(ctx context.Context, admin Admin, specs []TopicSpec) error {
	plan, err := NewPlan(ctx, admin, specs)
	if err != nil {
		return err
	}
	if !plan.Empty() {
		return &DriftError{Plan: plan}
	}
	return nil
}

// String returns the plan for people, a topic a paragraph. Lines are at most 80
// columns wide unless a topic's name or a setting alone is wider.
func (p *Plan) String() string {
	if p.Empty() {
		return fmt.Sprintf("All %d topics are as they should be.\n", len(p.specs))
	}
	var b strings.Builder
	topic, differing, byHand := "", 0, 0
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Topic != topic {
			topic = c.Topic
			differing++
			fmt.Fprintf(&b, "%s\n", topic)
		}
		if c.Action == ActionByHand {
			byHand++
		}
		c.write(&b)
	}
	fmt.Fprintf(&b, "%d of %d topics differ", differing, len(p.specs))
	if changes := len(p.Changes) - byHand; changes > 0 {
		fmt.Fprintf(&b, "; 'topics apply' makes %s", count(changes, "change"))
	}
	if byHand > 0 {
		fmt.Fprintf(&b, "; %d to mend by hand", byHand)
	}
	b.WriteString(".\n")
	return b.String()
}

func (c *Change) write(b *strings.Builder) {
	switch c.Action {
	case ActionCreate:
		replicas := "replicas as the broker has it"
		if c.Spec.ReplicationFactor > 0 {
			replicas = count(c.Spec.ReplicationFactor, "replica")
		}
		fmt.Fprintf(b, "  + create with %s, %s\n", count(c.Spec.Partitions, "partition"), replicas)
		for _, name := range slices.Sorted(maps.Keys(c.Spec.Settings)) {
			fmt.Fprintf(b, "      %s = %s\n", name, c.Spec.Settings[name])
		}
	case ActionAddPartitions:
		fmt.Fprintf(b, "  ~ add partitions: %d -> %d\n", c.Partitions, c.Spec.Partitions)
	case ActionSetConfig:
		for _, s := range c.Settings {
			fmt.Fprintf(b, "  ~ set %s: %s -> %s\n", s.Name, orUnset(s.From), s.To)
		}
	case ActionByHand:
		fmt.Fprintf(b, "  ! has %d partitions, %d wanted: a topic cannot be shrunk.\n", c.Partitions, c.Spec.Partitions)
		if c.Spec.Partitions == 1 {
			b.WriteString("    The order of its records counts: move them to a new topic with one\n" +
				"    partition, under this name.\n")
			return
		}
		fmt.Fprintf(b, "    Ask for %d from now on, or let its sagas end and make it anew.\n", c.Partitions)
	}
}

func orUnset(s string) string {
	if s == "" {
		return "(unset)"
	}
	return s
}

// count returns "1 thing" or "2 things".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
