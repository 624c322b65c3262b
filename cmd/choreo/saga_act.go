package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/tracker/api"
)

// act are the flags of commands that act on a saga.
type act struct {
	reason    string
	yes, wait bool
}

func (a *act) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&a.reason, "reason", "r", "", "why, in a `sentence`: it is kept in the saga's log")
	byFlag(cmd)
	flags.BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	flags.BoolVarP(&a.wait, "wait", "w", false, "wait for the saga's answer, for at most --timeout")
	connect.Flags(flags, sagaNeeds)
}

// check refuses what lacks a reason.
func (a *act) check() error {
	if strings.TrimSpace(a.reason) == "" {
		return exit.Usagef("--reason is missing: say why, it is kept in the saga's log")
	}
	return nil
}

// answer is what is told of a command.
type answer struct {
	Saga    string       `json:"saga"`
	ID      string       `json:"id"`
	Action  string       `json:"action"`
	EventID string       `json:"event_id"`
	Answer  *sagas.Event `json:"answer,omitempty"` // with --wait
}

// action makes a command that acts on a saga.
func (c *cli) action(cmd *cobra.Command, a *act, question string, of func(args []string) (sagas.Action, error)) *cobra.Command {
	cmd.ValidArgsFunction = c.completeSagaID
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.check(); err != nil {
			return err
		}
		action, err := of(args)
		if err != nil {
			return err
		}
		action.Reason = a.reason
		return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
			d, err := source.Saga(ctx, args[0], args[1])
			if err != nil {
				return c.noSaga(err, args)
			}
			c.say("%s %s: %s", whole(d.Saga), d.Saga.ID, cmp.Or(d.Verdict, string(d.Saga.Status)))
			if err := c.confirm(a.yes, fmt.Sprintf(question, wordsOf(args)...)); err != nil {
				return err
			}
			// However long the answer took, from now on the timeout counts anew.
			_, ctx, cancel, err := c.connection(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			sent, err := source.Act(ctx, args[0], args[1], action)
			if err != nil {
				return err
			}
			c.say("Sent: %s, as event %s.", sent.Action, sent.EventID)
			result := answer{Saga: args[0], ID: args[1], Action: sent.Action, EventID: sent.EventID}
			if !a.wait {
				c.say("The saga's log tells what comes of it: choreo saga events %s %s", args[0], args[1])
				return out.One(c.printer(), result, func(*out.Text, answer) {})
			}
			if err := c.awaitAnswer(ctx, source, &result); err != nil {
				return err
			}
			return c.answered(result)
		})
	}
	c.reports(cmd)
	a.flags(cmd)
	return cmd
}

func wordsOf(args []string) []any {
	words := make([]any, len(args))
	for i := range args {
		words[i] = args[i]
	}
	return words
}

// answered tells the saga's answer: no makes the exit code 1.
func (c *cli) answered(result answer) error {
	e := result.Answer
	err := out.One(c.printer(), result, func(t *out.Text, _ answer) {
		says := "the saga answers: " + what(e.Type)
		if note := noteOf(e); note != "" {
			says += ": " + note
		}
		t.Para("", "%s", says)
	})
	if err == nil && strings.HasSuffix(e.Type, "rejected") {
		return exit.ErrFindings
	}
	return err
}

// awaitAnswer waits for the event that answers a command.
func (c *cli) awaitAnswer(ctx context.Context, source sagas.Source, result *answer) error {
	outcome, err := source.Outcome(ctx, result.Saga, result.ID, result.EventID)
	if errors.Is(err, context.DeadlineExceeded) {
		return exit.With(exit.TimedOut, fmt.Errorf("timed out: no answer to event %s: does the service run that is to answer? see 'choreo participant list', and wait longer with --timeout", result.EventID))
	}
	if err != nil {
		return err
	}
	result.Answer = outcome.Answer
	return nil
}

// sagaCancel is "choreo saga cancel".
func (c *cli) sagaCancel() *cobra.Command {
	return c.action(&cobra.Command{
		Use:   "cancel SAGA ID --reason WHY [flags]",
		Short: "ask for a saga to be undone",
		Long: `Asks for a saga to be undone. The answer is an event of the saga's log: no,
where the saga has closed or its pivot has completed.`,
		Example: `  choreo saga cancel order 1042 --reason "customer called"
  choreo saga cancel order 1042 --reason "customer called" --yes --wait`,
		Args: sagaArgs(0, ""),
	}, new(act), "Undo %s %s?", func([]string) (sagas.Action, error) { return sagas.Action{Action: api.ActionCancel}, nil })
}

// sagaForceAbort is "choreo saga force-abort".
func (c *cli) sagaForceAbort() *cobra.Command {
	return c.action(&cobra.Command{
		Use:   "force-abort SAGA ID --reason WHY [flags]",
		Short: "undo also a saga that would stay as it is",
		Long: `Undoes also what would stay as it is: a saga without a pivot that has completed,
or one whose failure kept what was done.`,
		Example: `  choreo saga force-abort order 1042 --reason "wrong price"`,
		Args:    sagaArgs(0, ""),
	}, new(act), "Undo %s %s, even if it has completed?", func([]string) (sagas.Action, error) { return sagas.Action{Action: api.ActionForceAbort}, nil })
}

// sagaRetry is "choreo saga retry".
func (c *cli) sagaRetry() *cobra.Command {
	return c.action(&cobra.Command{
		Use:   "retry SAGA ID STEP --reason WHY [flags]",
		Short: "try a step again now",
		Long: `Has the owner of a step try it again now, whatever its retry policy says: a step
that is stuck, or one that waits for its next attempt.`,
		Example: `  choreo saga retry order 1042 charge-payment --reason "gateway is back"`,
		Args:    sagaArgs(1, "and a STEP"),
	}, new(act), "Try %[3]s of %[1]s %[2]s again?", func(args []string) (sagas.Action, error) {
		return sagas.Action{Action: api.ActionRetry, Step: args[2]}, nil
	})
}

// sagaResolve is "choreo saga resolve".
func (c *cli) sagaResolve() *cobra.Command {
	var done, undone bool
	var output string
	cmd := c.action(&cobra.Command{
		Use:   "resolve SAGA ID STEP --done|--undone --reason WHY [flags]",
		Short: "count a stuck step as done or undone by hand",
		Long: `Counts a stuck step as done or as undone, since somebody has done or undone it
by hand. What later steps read of a step that counts as done is its --result.`,
		Example: `  choreo saga resolve order 1042 charge --undone --reason "refunded by hand"
  choreo saga resolve order 1042 ship --done --result @parcel.json -r "by hand"`,
		Args: sagaArgs(1, "and a STEP"),
	}, new(act), "Count %[3]s of %[1]s %[2]s as settled?", func(args []string) (sagas.Action, error) {
		action := sagas.Action{Action: api.ActionResolve, Step: args[2], Resolve: choreo.ResolveUndone}
		if done == undone {
			return action, exit.Usagef("say --done or --undone: what the step counts as")
		}
		if done {
			action.Resolve = choreo.ResolveDone
		} else if output != "" {
			return action, exit.Usagef("--result belongs to --done: a step that is undone has none")
		}
		var err error
		action.Output, err = c.jsonOf("--result", output)
		return action, err
	})
	cmd.Flags().BoolVar(&done, "done", false, "it counts as completed")
	cmd.Flags().BoolVar(&undone, "undone", false, "it counts as compensated")
	cmd.Flags().StringVar(&output, "result", "", "its output as `JSON`, @FILE, or - for the standard input")
	return cmd
}

// sagaRelease is "choreo saga release".
func (c *cli) sagaRelease() *cobra.Command {
	return c.action(&cobra.Command{
		Use:   "release SAGA ID SERVICE --reason WHY [flags]",
		Short: "have a service go on with a saga that it has parked",
		Long: `Has a service try again to go on with a saga that it has parked. It parks it
once more where the cause is still there.`,
		Example: `  choreo saga release order 1042 payments --reason "schema registered"`,
		Args:    sagaArgs(1, "and the SERVICE that has parked it"),
	}, new(act), "Have %[3]s go on with %[1]s %[2]s?", func(args []string) (sagas.Action, error) {
		return sagas.Action{Action: api.ActionRelease, Service: args[2]}, nil
	})
}

// sagaStart is "choreo saga start".
func (c *cli) sagaStart() *cobra.Command {
	var a act
	var input string
	var version int
	var tags []string
	cmd := &cobra.Command{
		Use:   "start SAGA ID --input JSON [flags]",
		Short: "ask the service that starts such sagas to start one",
		Long: `Asks the service that starts such sagas to start one by this id. It starts an id
once, however often it is asked. With --wait it is waited for until it has
started, or the service has refused.`,
		Example: `  choreo saga start order 1042 --input @order.json --tag customer=c-17 --wait
  jq -c .order message.json | choreo saga start order 1042 --input -`,
		Args: sagaArgs(0, ""), ValidArgsFunction: c.completeSagaID,
		RunE: func(cmd *cobra.Command, args []string) error {
			start := sagas.Start{ID: args[1], Version: version, Reason: a.reason}
			if start.Reason == "" {
				start.Reason = "started by hand" // a start needs no excuse
			}
			var err error
			if start.Tags, err = tagsOf(tags); err != nil {
				return err
			}
			if start.Input, err = c.jsonOf("--input", input); err != nil {
				return err
			}
			if start.Input == nil {
				return exit.Usagef("--input is missing: write the saga's input as JSON, @FILE, or - for the standard input")
			}
			if err := c.confirm(a.yes, fmt.Sprintf("Start %s %s?", args[0], args[1])); err != nil {
				return err
			}
			return c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
				return c.start(ctx, source, args[0], start, a.wait)
			})
		},
	}
	c.reports(cmd)
	cmd.Flags().StringVarP(&input, "input", "i", "", "the saga's input as `JSON`, @FILE, or - for the standard input")
	cmd.Flags().IntVar(&version, "saga-version", 0, "the `version` to start by (default the latest)")
	cmd.Flags().StringArrayVarP(&tags, "tag", "t", nil, "a `name=value` to find the saga by; several times for several")
	a.flags(cmd)
	return cmd
}

func (c *cli) start(ctx context.Context, source sagas.Source, saga string, start sagas.Start, wait bool) error {
	sent, err := source.Start(ctx, saga, start)
	if err != nil {
		return err
	}
	c.say("Sent: start of %s %s, as event %s.", saga, start.ID, sent.EventID)
	result := answer{Saga: saga, ID: start.ID, Action: "start", EventID: sent.EventID}
	if !wait {
		return out.One(c.printer(), result, func(*out.Text, answer) {})
	}
	if err := c.awaitAnswer(ctx, source, &result); err != nil {
		return err
	}
	return c.answered(result)
}

// tagsOf reads tags as name=value.
func tagsOf(words []string) (map[string]string, error) {
	var tags map[string]string
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, exit.Usagef("--tag %q: write it as name=value", word)
		}
		if tags == nil {
			tags = map[string]string{}
		}
		if _, twice := tags[name]; twice {
			return nil, exit.Usagef("--tag %q: there is one of that name already", word)
		}
		tags[name] = value
	}
	return tags, nil
}

// jsonOf reads JSON from a flag: as it is, of a file, or of the standard input.
func (c *cli) jsonOf(flag, text string) (json.RawMessage, error) {
	data := []byte(text)
	var err error
	switch {
	case text == "":
		return nil, nil
	case text == "-":
		data, err = c.readAll(c.in)
	case strings.HasPrefix(text, "@"):
		data, err = c.readFile(text[1:])
	}
	if err != nil {
		return nil, exit.With(exit.Usage, fmt.Errorf("%s: %w", flag, err))
	}
	if !json.Valid(data) {
		return nil, exit.Usagef("%s is no JSON: write a document, @FILE, or - for the standard input", flag)
	}
	return data, nil
}
