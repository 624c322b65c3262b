package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/topics"
)

// topicsNoun is "choreo topics".
func (c *cli) topicsNoun() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "topics",
		Short: "make and check the topics that sagas need",
		Long: `Makes and checks the topics that the sagas of definitions need: their events and
snapshots, and those of dead letters, definitions and schemas. Nothing is ever
deleted, and no topic is made smaller.`,
		Example: `  choreo topics plan sagas/ --brokers localhost:9092
  choreo topics apply sagas/ --brokers localhost:9092 --yes`,
	}, c.topicsPlan(), c.topicsApply(), c.topicsVerify())
}

// topology are the flags that say how topics should be.
type topology struct {
	partitions, replicas int
	retention            time.Duration
}

func (s *topology) flags(cmd *cobra.Command) {
	s.sizeFlags(cmd)
	connect.Flags(cmd.Flags(), connect.Brokers|connect.Namespace)
}

func (s *topology) sizeFlags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&s.partitions, "partitions", 12, "`number` of partitions of topics by saga id: it bounds how many processes of a service can share the work")
	cmd.Flags().IntVar(&s.replicas, "replication", 0, "`number` of replicas of each topic (default the broker's)")
	cmd.Flags().DurationVar(&s.retention, "retention", 30*24*time.Hour, "how long events are kept, as a Go `duration`: longer than an outage of a service and the life of a saga; negative is without end")
}

// check refuses sizes that make no sense.
func (s *topology) check() error {
	var faults []error
	if s.partitions < 1 {
		faults = append(faults, fmt.Errorf("--partitions is %d: use a number from 1", s.partitions))
	}
	if s.replicas < 0 || s.replicas > 32767 {
		faults = append(faults, fmt.Errorf("--replication is %d: use a number from 1, or 0 for the broker's default", s.replicas))
	}
	if s.retention == 0 {
		faults = append(faults, errors.New("--retention is 0: use a duration, such as 720h, or -1s for without end"))
	}
	return exit.With(exit.Usage, errors.Join(faults...))
}

// withTopics calls do with the topics that the definitions need and what is to be done about
// them.
func (c *cli) withTopics(cmd *cobra.Command, args []string, s *topology, do func(settings *connect.Settings, log topics.Log, plan *topics.Plan) error) error {
	if err := s.check(); err != nil {
		return err
	}
	docs, err := c.documents(cmd.Context(), args)
	if err != nil {
		return err
	}
	settings, ctx, cancel, err := c.connection(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	names, err := settings.Names()
	if err != nil {
		return err
	}
	log, err := settings.Log()
	if err != nil {
		return err
	}
	var sagas []choreo.AnySaga
	for _, doc := range docs {
		sagas = append(sagas, doc.Definition)
	}
	specs := topics.Topology(names, sagas, topics.TopologyOptions{Partitions: s.partitions, ReplicationFactor: s.replicas, Retention: s.retention})
	plan, err := topics.NewPlan(ctx, log, specs)
	if err == nil {
		err = do(settings, log, plan)
	}
	return errors.Join(err, log.Close())
}

// change is a change of a plan in a report.
type change struct {
	Topic         string            `json:"topic"`
	Action        topics.Action     `json:"action"`
	Partitions    int               `json:"partitions"`
	HasPartitions int               `json:"has_partitions"`
	Replication   int               `json:"replication,omitempty"`
	Settings      map[string]string `json:"settings,omitempty"` // to be set
}

// planReport writes a plan.
func (c *cli) planReport(plan *topics.Plan) error {
	var changes []change
	for i := range plan.Changes {
		p := &plan.Changes[i]
		one := change{Topic: p.Topic, Action: p.Action, Partitions: p.Spec.Partitions, HasPartitions: p.Partitions}
		switch p.Action {
		case topics.ActionCreate:
			one.Replication, one.Settings = p.Spec.ReplicationFactor, p.Spec.Settings
		case topics.ActionSetConfig:
			one.Settings = map[string]string{}
			for _, s := range p.Settings {
				one.Settings[s.Name] = s.To
			}
		case topics.ActionAddPartitions, topics.ActionByHand:
		}
		changes = append(changes, one)
	}
	return out.List(c.printer(), changes, func(t *out.Text, _ []change) {
		for line := range strings.Lines(plan.String()) {
			style := out.Plain
			switch {
			case strings.HasPrefix(line, "  +"):
				style = out.Green
			case strings.HasPrefix(line, "  ~"):
				style = out.Yellow
			case strings.HasPrefix(line, "  !"):
				style = out.Red
			}
			t.Line(out.S(style, "%s", strings.TrimRight(line, "\n")))
		}
	})
}

// topicsPlan is "choreo topics plan".
func (c *cli) topicsPlan() *cobra.Command {
	var s topology
	cmd := &cobra.Command{
		Use:   "plan FILE|DIR… [flags]",
		Short: "say what differs from the topics that sagas need",
		Long: `Says what it takes to bring the topics of a cluster to what the definitions
need, and changes nothing. The exit code is 0 whether anything differs or not.`,
		Example: `  choreo topics plan sagas/ --brokers localhost:9092
  choreo topics plan sagas/ --partitions 24 --replication 3 --retention 1440h`,
		Args:              fileArgs(-1),
		ValidArgsFunction: completeDefinitions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withTopics(cmd, args, &s, func(_ *connect.Settings, _ topics.Log, plan *topics.Plan) error {
				return c.planReport(plan)
			})
		},
	}
	c.reports(cmd)
	s.flags(cmd)
	return cmd
}

// topicsApply is "choreo topics apply".
func (c *cli) topicsApply() *cobra.Command {
	var s topology
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "apply FILE|DIR… [flags]",
		Short: "make the topics that sagas need",
		Long: `Shows what differs, as 'choreo topics plan' does, asks, and makes it so. Nothing
is deleted and no topic is made smaller: what would need that is named, left
alone, and makes the exit code 1. To apply twice, or from two places at once, is
harmless.`,
		Example: `  choreo topics apply sagas/ --brokers localhost:9092
  choreo topics apply sagas/ --yes --replication 3      # in a pipeline
  choreo topics apply sagas/ --dry-run`,
		Args:              fileArgs(-1),
		ValidArgsFunction: completeDefinitions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withTopics(cmd, args, &s, func(settings *connect.Settings, log topics.Log, plan *topics.Plan) error {
				if err := c.planReport(plan); err != nil || plan.Empty() || dryRun {
					return err
				}
				if err := c.confirmPlan(plan, yes); err != nil {
					return err
				}
				// However long the answer took, from now on the timeout counts anew.
				ctx, cancel := context.WithTimeout(cmd.Context(), settings.Timeout)
				defer cancel()
				return c.apply(ctx, log, plan)
			})
		},
	}
	c.reports(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what differs, and change nothing")
	s.flags(cmd)
	return cmd
}

// byHand returns how many changes of a plan there are to make, and to make by hand.
func byHand(plan *topics.Plan) (changes, hand int) {
	for i := range plan.Changes {
		if plan.Changes[i].Action == topics.ActionByHand {
			hand++
		}
	}
	return len(plan.Changes) - hand, hand
}

func (c *cli) confirmPlan(plan *topics.Plan, yes bool) error {
	changes, _ := byHand(plan)
	if changes == 0 {
		return nil
	}
	return c.confirm(yes, fmt.Sprintf("Make %s?", counted(changes, "change", "changes")))
}

// apply carries a plan out.
func (c *cli) apply(ctx context.Context, log topics.Log, plan *topics.Plan) error {
	changes, hand := byHand(plan)
	if changes > 0 {
		if err := plan.Apply(ctx, log); err != nil {
			return err
		}
		c.say("Made %s.", counted(changes, "change", "changes"))
	}
	if hand > 0 {
		return fmt.Errorf("%s to be mended by hand: see above", counted(hand, "topic is", "topics are"))
	}
	return nil
}

// topicsVerify is "choreo topics verify".
func (c *cli) topicsVerify() *cobra.Command {
	var s topology
	cmd := &cobra.Command{
		Use:   "verify FILE|DIR… [flags]",
		Short: "fail where topics are not what sagas need",
		Long: `Says what differs, as 'choreo topics plan' does, and ends with exit code 1 where
anything does: for pipelines and probes.`,
		Example:           `  choreo topics verify sagas/ --brokers localhost:9092`,
		Args:              fileArgs(-1),
		ValidArgsFunction: completeDefinitions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withTopics(cmd, args, &s, func(_ *connect.Settings, _ topics.Log, plan *topics.Plan) error {
				if err := c.planReport(plan); err != nil || plan.Empty() {
					return err
				}
				return exit.ErrFindings
			})
		},
	}
	c.reports(cmd)
	s.flags(cmd)
	return cmd
}
