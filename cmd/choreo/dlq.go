package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
)

// dlqNoun is "choreo dlq".
func (c *cli) dlqNoun() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "dlq",
		Short: "see dead letters, and send them again",
		Long: `Sees the records that a service could not read, which lie in the topic of dead
letters as they were, and sends them to where they came from once more.`,
		Example: `  choreo dlq list
  choreo dlq redrive GROUP --dry-run`,
	}, c.dlqList(), c.dlqShow(), c.dlqRedrive())
}

// dlqList is "choreo dlq list".
func (c *cli) dlqList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "list dead letters by what is wrong with them",
		Long: `Lists the dead letters by what is wrong with them, the most frequent first.
GROUP names those of a line to 'choreo dlq show' and 'choreo dlq redrive'.`,
		Example: `  choreo dlq list
  choreo dlq list -o jsonl | jq -r .group`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
				groups, err := source.Groups(ctx)
				if err != nil {
					return err
				}
				if len(groups) == 0 {
					c.say("There are no dead letters.")
				}
				return out.List(c.printer(), groups, c.writeGroups)
			})
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

func (c *cli) writeGroups(t *out.Text, groups []sagas.LetterGroup) {
	if len(groups) == 0 {
		return
	}
	var rows [][]out.Styled
	for i := range groups {
		g := &groups[i]
		rows = append(rows, []out.Styled{
			out.S(out.Bold, "%s", g.Group), out.S(out.Plain, "%d", g.Count), out.S(out.Plain, "%s", short(c.now().Sub(g.Last))),
			out.S(out.Plain, "%s", g.Service), out.S(out.Plain, "%s", g.Topic), out.S(out.Plain, "%s", g.Error),
		})
	}
	t.Table([]out.Column{
		{Title: "GROUP", Whole: true}, {Title: "COUNT", Right: true}, {Title: "LAST", Right: true}, {Title: "SERVICE"}, {Title: "TOPIC"}, {Title: "ERROR"},
	}, rows)
}

// dlqShow is "choreo dlq show".
func (c *cli) dlqShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show GROUP [flags]",
		Short:             "show the dead letters of a group",
		Long:              `Shows the dead letters of a group: where each lies and where it came from.`,
		Example:           `  choreo dlq show 5f0c2a91`,
		Args:              between(1, 1, "one GROUP, which 'choreo dlq list' has"),
		ValidArgsFunction: c.completeGroup,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
				letters, err := source.Letters(ctx, args[0])
				if err == nil && len(letters) == 0 {
					err = noGroup(args[0])
				}
				if err != nil {
					return err
				}
				return out.List(c.printer(), letters, c.writeLetters)
			})
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

func noGroup(group string) error {
	return exit.NotFoundf("there is no group %q of dead letters: see 'choreo dlq list'", group)
}

func (c *cli) writeLetters(t *out.Text, letters []sagas.Letter) {
	var rows [][]out.Styled
	for i := range letters {
		l := &letters[i]
		again := ""
		if l.Redriven {
			again = "sent again; "
		}
		rows = append(rows, []out.Styled{
			out.S(out.Bold, "%d:%d", l.Partition, l.Offset), out.S(out.Plain, "%s", short(c.now().Sub(l.Time))),
			out.S(out.Plain, "%s:%d:%d", l.Topic, l.From, l.At), out.S(out.Plain, "%s", l.Key), out.S(out.Plain, "%s%s", again, l.Error),
		})
	}
	t.Table([]out.Column{{Title: "LETTER", Whole: true}, {Title: "AGE", Right: true}, {Title: "FROM"}, {Title: "KEY"}, {Title: "ERROR"}}, rows)
}

// completeGroup completes with the groups that there are.
func (c *cli) completeGroup(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || cmd.Flags().Set("timeout", patience.String()) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	err := c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
		groups, err := source.Groups(ctx)
		for i := range groups {
			if strings.HasPrefix(groups[i].Group, begun) {
				found = append(found, groups[i].Group)
			}
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// dlqRedrive is "choreo dlq redrive".
func (c *cli) dlqRedrive() *cobra.Command {
	var what sagas.Redrive
	var letters []string
	var yes bool
	cmd := &cobra.Command{
		Use:   "redrive GROUP | --letter PARTITION:OFFSET… [flags]",
		Short: "send dead letters to where they came from once more",
		Long: `Sends dead letters to the topic and partition that they came from, as they were.
Do it when what was wrong is mended. A letter that was sent before is passed
over, unless --force says otherwise: a saga takes an event once, however often
it comes.`,
		Example: `  choreo dlq redrive 5f0c2a91 --dry-run
  choreo dlq redrive --letter 3:17,3:18 --yes`,
		Args:              between(0, 1, "one GROUP, which 'choreo dlq list' has"),
		ValidArgsFunction: c.completeGroup,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (len(letters) > 0) {
				return exit.Usagef("say a GROUP, which 'choreo dlq list' has, or --letter, which 'choreo dlq show' has")
			}
			if len(args) == 1 {
				what.Group = args[0]
			}
			var err error
			if what.Letters, err = placesOf(letters); err != nil {
				return err
			}
			return c.redrive(cmd, what, yes)
		},
	}
	c.reports(cmd)
	cmd.Flags().StringSliceVar(&letters, "letter", nil, "these `letters`, as PARTITION:OFFSET, joined by ','")
	cmd.Flags().BoolVar(&what.DryRun, "dry-run", false, "say what would be sent, and send nothing")
	cmd.Flags().BoolVar(&what.Force, "force", false, "also what was sent again before")
	cmd.Flags().StringVarP(&what.Reason, "reason", "r", "", "why, in a `sentence`: it is noted beside the letters")
	byFlag(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

func placesOf(words []string) ([]sagas.Place, error) {
	var places []sagas.Place
	for _, word := range words {
		partition, offset, ok := strings.Cut(word, ":")
		p, err := strconv.ParseInt(partition, 10, 32)
		o, err2 := strconv.ParseInt(offset, 10, 64)
		if !ok || err != nil || err2 != nil || p < 0 || o < 0 {
			return nil, exit.Usagef("--letter %q: write it as PARTITION:OFFSET, such as 3:17", word)
		}
		places = append(places, sagas.Place{Partition: int32(p), Offset: o})
	}
	return places, nil
}

// redrive says first what would be sent.
func (c *cli) redrive(cmd *cobra.Command, what sagas.Redrive, yes bool) error {
	var would *sagas.Redriven
	look := what
	look.DryRun = true
	err := c.withSource(cmd, func(ctx context.Context, source sagas.Source) (err error) {
		would, err = source.Redrive(ctx, look)
		return err
	})
	if err != nil {
		return err
	}
	if what.Group != "" && would.Redriven == 0 && len(would.Skipped) == 0 {
		return noGroup(what.Group)
	}
	if what.DryRun || would.Redriven == 0 {
		return c.redriven(would)
	}
	if err := c.confirm(yes, fmt.Sprintf("Send %s again?", counted(int(would.Redriven), "letter", "letters"))); err != nil {
		return err
	}
	return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
		did, err := source.Redrive(ctx, what)
		if err != nil {
			return err
		}
		return c.redriven(did)
	})
}

func (c *cli) redriven(did *sagas.Redriven) error {
	return out.One(c.printer(), did, func(t *out.Text, did *sagas.Redriven) {
		verb := "sent again"
		if did.DryRun {
			verb = "would be sent again"
		}
		t.Line(out.S(out.Plain, "%s %s, %d passed over", counted(int(did.Redriven), "letter", "letters"), verb, len(did.Skipped)))
		for _, s := range did.Skipped {
			t.Para(fmt.Sprintf("  %d:%d  ", s.Partition, s.Offset), "%s", s.Why)
		}
	})
}
