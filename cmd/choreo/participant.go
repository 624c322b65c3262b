package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
)

// participantNoun is "choreo participant".
func (c *cli) participantNoun() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "participant",
		Short: "see the services that take part",
		Long: `Sees the services that take part in sagas, by what their processes tell of
themselves every few seconds.`,
		Example: `  choreo participant list`,
	}, c.participantList())
}

// participantList is "choreo participant list".
func (c *cli) participantList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "list services and their processes",
		Long: `Lists the processes of each service: build, when they were seen last, how many
partitions they read and how many events they are behind, what they have not
published yet, and what they have parked.`,
		Example: `  choreo participant list
  choreo participant list -o json | jq '.[] | select(.lag_events > 1000)'`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
				all, err := source.Participants(ctx)
				if err != nil {
					return err
				}
				if len(all) == 0 {
					c.say("No service has told of itself: none runs, or all have it switched off.")
				}
				return out.List(c.printer(), all, c.writeParticipants)
			})
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

func (c *cli) writeParticipants(t *out.Text, all []sagas.Participant) {
	if len(all) == 0 {
		return
	}
	now := c.now()
	var rows [][]out.Styled
	for i := range all {
		p := &all[i]
		if len(p.Instances) == 0 {
			rows = append(rows, []out.Styled{
				out.S(out.Bold, "%s", p.Service), out.S(out.Red, "none"), {}, {}, {}, out.S(out.Plain, "%d", p.LagEvents), {}, {},
			})
		}
		for n := range p.Instances {
			in := &p.Instances[n]
			style, seen := out.Plain, short(now.Sub(in.SeenAt))
			if in.Gone {
				style, seen = out.Faint, "gone "+seen
			}
			outbox := fmt.Sprint(in.Outbox.Entries)
			if in.Outbox.Entries > 0 {
				outbox += " (" + short(seconds(in.Outbox.OldestSeconds)) + ")"
			}
			rows = append(rows, []out.Styled{
				out.S(out.Bold, "%s", p.Service), out.S(style, "%s", name(in.Instance)), out.S(style, "%s", in.Build), out.S(style, "%s", seen),
				out.S(style, "%d", in.Partitions), out.S(style, "%d", p.LagEvents), out.S(style, "%s", outbox), out.S(style, "%d", in.Parked),
			})
		}
	}
	t.Table([]out.Column{
		{Title: "SERVICE"}, {Title: "PROCESS"}, {Title: "BUILD"}, {Title: "SEEN", Right: true}, {Title: "PARTS", Right: true},
		{Title: "LAG", Right: true}, {Title: "OUTBOX", Right: true}, {Title: "PARKED", Right: true},
	}, rows)
}

// name is the id of a process as a table shows it: of a long one its end, which tells most.
func name(instance string) string {
	const most = 20
	if runes := []rune(strings.TrimSpace(instance)); len(runes) > most {
		return "…" + string(runes[len(runes)-most+1:])
	}
	return instance
}
