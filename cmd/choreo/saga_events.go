package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
)

// sagaEvents is "choreo saga events".
func (c *cli) sagaEvents() *cobra.Command {
	var payload bool
	cmd := &cobra.Command{
		Use:   "events SAGA ID [flags]",
		Short: "show the log of one saga",
		Long: `Shows the events of one saga in the order of its log: what happened, where, who
said so and when. Headers are in the JSON forms, payloads by --payload where the
tracker lets you see them.`,
		Example: `  choreo saga events order 1042
  choreo saga events order 1042 --payload -o jsonl | jq .payload`,
		Args:              sagaArgs(0, ""),
		ValidArgsFunction: c.completeSagaID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
				events, err := source.Events(ctx, args[0], args[1], payload)
				if err != nil {
					return c.noSaga(err, args)
				}
				return out.List(c.printer(), events, writeEvents)
			})
		},
	}
	c.reports(cmd)
	cmd.Flags().BoolVar(&payload, "payload", false, "also what the events carry")
	connect.Flags(cmd.Flags(), sagaNeeds)
	return cmd
}

func writeEvents(t *out.Text, events []sagas.Event) {
	var rows [][]out.Styled
	notes := make([]string, len(events))
	for i := range events {
		e := &events[i]
		after := ""
		if i > 0 {
			after = "+" + short(e.Time.Sub(events[i-1].Time))
		}
		rows = append(rows, []out.Styled{
			out.S(out.Faint, "%d", e.Offset), out.S(out.Plain, "%s", e.Time.UTC().Format(time.TimeOnly)), out.S(out.Faint, "%s", after),
			out.S(eventStyle(e.Type), "%s", what(e.Type)), out.S(out.Plain, "%s", e.Step),
			out.S(out.Plain, "%s", e.Source),
		})
		notes[i] = noteOf(e)
	}
	t.Noted([]out.Column{
		{Title: "OFFSET", Right: true}, {Title: "TIME"}, {Title: "AFTER", Right: true}, {Title: "EVENT", Whole: true}, {Title: "STEP"}, {Title: "FROM"},
	}, rows, notes)
}

// what is the last word of a type of events: whether the saga or a step is meant shows by the
// step.
func what(kind string) string { return kind[strings.LastIndex(kind, ".")+1:] }

// noteOf says what else there is to an event.
func noteOf(e *sagas.Event) string {
	var notes []string
	if e.Attempt > 1 {
		notes = append(notes, fmt.Sprintf("attempt %d", e.Attempt))
	}
	if e.Error != nil {
		notes = append(notes, errorOf(e.Error))
	}
	if e.By != "" {
		notes = append(notes, "by "+e.By)
	}
	if e.Note != "" && (e.Error == nil || e.Error.Message != e.Note) {
		notes = append(notes, e.Note)
	}
	if len(e.Payload) > 0 {
		notes = append(notes, compact(e.Payload))
	}
	return strings.Join(notes, ", ")
}

func compact(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func eventStyle(kind string) out.Style {
	switch {
	case strings.HasSuffix(kind, "failed"), strings.HasSuffix(kind, "stuck"), strings.HasSuffix(kind, "parked"):
		return out.Red
	case strings.HasSuffix(kind, "completed"):
		return out.Green
	case strings.HasSuffix(kind, "compensated"):
		return out.Blue
	case strings.Contains(kind, "abort"):
		return out.Yellow
	}
	return out.Plain
}
