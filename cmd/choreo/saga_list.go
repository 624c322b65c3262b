package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/tracker"
)

// orders are the words of --sort.
func orders() []string {
	var words []string
	for _, order := range []tracker.Order{tracker.ByStarted, tracker.ByUpdated, tracker.ByEnded} {
		words = append(words, string(order), "-"+string(order))
	}
	return words
}

// sagaList is "choreo saga list".
func (c *cli) sagaList() *cobra.Command {
	var f filter
	var order, after string
	var limit int
	var all, strict bool
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "list sagas",
		Long: `Lists sagas with where they stand: a sign for each step, in the definition's
order, and what they wait for, or why they were undone.

  ` + strings.Replace(legend, "  ◂", "\n  ◂", 1),
		Example: `  choreo saga list --status stuck,parked
  choreo saga list --saga order --idle 10m --sort started
  choreo saga list -q customer=c-17 -o jsonl | jq -r .id`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen, err := f.of(c.now())
			if err != nil {
				return err
			}
			if limit < 1 || limit > 1000 {
				return exit.Usagef("--limit is %d: use a number from 1 to 1000, or --all for all pages", limit)
			}
			q := tracker.Query{Filter: chosen, Limit: limit, After: after, Descending: strings.HasPrefix(order, "-")}
			q.Order = tracker.Order(strings.TrimPrefix(order, "-"))
			if all {
				q.Limit = 1000
			}
			return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error { return c.list(ctx, source, q, all, strict) })
		},
	}
	c.reports(cmd)
	f.flags(cmd)
	choiceFlag(cmd, &order, "sort", "", "-started", orders(), "by what the list is sorted; with - the latest come first")
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "at most this `number` of sagas")
	cmd.Flags().StringVar(&after, "after", "", "go on behind a page: the `cursor` that it named")
	cmd.Flags().BoolVar(&all, "all", false, "all pages")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail where one of several trackers is away, whose sagas the list lacks")
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

// list writes the pages of a list.
func (c *cli) list(ctx context.Context, source sagas.Source, q tracker.Query, all, strict bool) error {
	var page *sagas.List
	var found []*tracker.Snapshot
	for {
		var err error
		if page, err = source.List(ctx, q); err != nil {
			return err
		}
		if away := strings.Join(page.Missing, ", "); away != "" {
			if strict {
				return fmt.Errorf("%s is away, whose sagas are missing: try again once its tracker runs, or leave out --strict", away)
			}
			c.say("The list lacks the sagas of %s, which is away.", away)
		}
		found = append(found, page.Sagas...)
		if q.After = page.Next; !all || page.Next == "" {
			break
		}
		if c.format == string(out.JSONL) { // however many there are, they need no room
			if err := out.List(c.printer(), found, nil); err != nil {
				return err
			}
			found = nil
		}
	}
	if len(found) == 0 && c.format == string(out.Table) {
		c.say("There is no such saga.")
	}
	err := out.List(c.printer(), found, func(t *out.Text, found []*tracker.Snapshot) {
		if len(found) > 0 {
			c.writeSagas(t, found)
		}
	})
	if err == nil && page.Next != "" {
		c.say("There are more: --all, or --after %s", page.Next)
	}
	c.freshness(page.Freshness)
	return err
}

func (c *cli) writeSagas(t *out.Text, found []*tracker.Snapshot) {
	now := c.now()
	var rows [][]out.Styled
	for _, s := range found {
		rows = append(rows, []out.Styled{
			out.S(out.Plain, "%s", whole(s)), out.S(out.Plain, "%s", s.ID), out.S(styleOf(s.Status), "%s", s.Status),
			out.S(out.Plain, "%s", bar(s)), out.S(out.Faint, "%s", age(s, now)), out.S(out.Plain, "%s", stands(s)),
		})
	}
	t.Table([]out.Column{
		{Title: "SAGA"}, {Title: "ID"}, {Title: "STATUS"}, {Title: "STEPS", Whole: true}, {Title: "AGE", Right: true}, {Title: "WAITS FOR, OR WHY"},
	}, rows)
}

// sagaShow is "choreo saga show".
func (c *cli) sagaShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SAGA ID [flags]",
		Short: "show one saga: its steps, their times, what is to come",
		Long: `Shows one saga: where it stands in a sentence, its steps with their times,
attempts and errors, and what is still to come.`,
		Example: `  choreo saga show order 1042
  choreo saga show order 1042 -o json | jq .saga.cause`,
		Args:              sagaArgs(0, ""),
		ValidArgsFunction: c.completeSagaID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
				d, err := source.Saga(ctx, args[0], args[1])
				if err != nil {
					return c.noSaga(err, args)
				}
				c.freshness(d.Freshness)
				return out.One(c.printer(), d, func(t *out.Text, d *sagas.Detail) { c.writeSaga(t, d) })
			})
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

// writeSaga writes all that is known of a saga.
func (c *cli) writeSaga(t *out.Text, d *sagas.Detail) {
	s, now := d.Saga, c.now()
	t.Line(out.S(out.Bold, "%s %s", whole(s), s.ID), out.S(out.Plain, "  "), out.S(styleOf(s.Status), "%s", s.Status), out.S(out.Plain, "  %s", bar(s)))
	if d.Verdict != "" {
		t.Para("", "%s", d.Verdict)
	}
	t.Blank()
	field := func(name, format string, args ...any) { t.Para(fmt.Sprintf("%-10s", name), format, args...) }
	field("started", "%s, %s ago%s", stamp(s.StartedAt), short(now.Sub(s.StartedAt)), by(s.Initiator))
	if s.EndedAt != nil {
		field("ended", "%s, after %s", stamp(*s.EndedAt), short(s.EndedAt.Sub(s.StartedAt)))
	} else {
		field("changed", "%s, %s ago", stamp(s.UpdatedAt), short(now.Sub(s.UpdatedAt)))
	}
	if s.Deadline != nil && s.EndedAt == nil {
		field("deadline", "%s", dueIn(s.Deadline, now))
	}
	if s.Cause != nil {
		field("cause", "%s", causeOf(s.Cause))
	}
	for _, p := range s.Parked {
		field("parked", "by %s for %s%s", p.Service, short(now.Sub(p.Since)), orCode(p.Error))
	}
	for _, name := range sortedKeys(s.Tags) {
		field("tag", "%s=%s", name, s.Tags[name])
	}
	if s.TraceID != "" {
		field("trace", "%s", s.TraceID)
	}
	field("log", "partition %d, offset %d, %s", s.Partition, s.Offset, counted(int(s.Events), "event", "events"))
	if s.Unknown {
		t.Para("", "Nobody has published this version's definition: what is to come is not known.")
	}
	t.Blank()
	writeSteps(t, s)
}

func writeSteps(t *out.Text, s *tracker.Snapshot) {
	waits := map[string]string{}
	for _, n := range s.Next {
		if !n.Ready && len(n.WaitsFor) > 0 {
			waits[n.Step] = "after " + strings.Join(n.WaitsFor, ", ")
		}
	}
	var rows [][]out.Styled
	for i := range s.Steps {
		step := &s.Steps[i]
		took, attempts, note := "", "", waits[step.Name]
		if step.Seconds > 0 || step.EndedAt != nil && step.ReadyAt != nil {
			took = short(seconds(step.Seconds))
		}
		if step.Attempts > 0 {
			attempts = fmt.Sprint(step.Attempts)
		}
		if step.Error != nil {
			note = errorOf(step.Error)
		}
		m := mark(step.Status)
		name := step.Name
		if step.Pivot {
			name += " (pivot)"
		}
		rows = append(rows, []out.Styled{
			m, out.S(out.Plain, "%s", name), out.S(out.Plain, "%s", step.Service), out.S(m.Style, "%s", step.Status),
			out.S(out.Plain, "%s", attempts), out.S(out.Plain, "%s", took), out.S(out.Plain, "%s", note),
		})
	}
	t.Table([]out.Column{
		{Title: " "}, {Title: "STEP"}, {Title: "SERVICE"}, {Title: "STATUS"}, {Title: "TRIES", Right: true}, {Title: "TOOK", Right: true}, {Title: "NOTE"},
	}, rows)
}
