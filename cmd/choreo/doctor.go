package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker/cluster"
)

// health is how a check came out.
type health string

// The outcomes.
const (
	healthy health = "ok"
	warning health = "warn"
	wrong   health = "fail"
)

// check is one thing that the doctor has looked at.
type check struct {
	Check string `json:"check"`
	State health `json:"state"`
	Says  string `json:"says"`
	Mend  string `json:"mend,omitempty"`
}

// doctor is "choreo doctor".
func (c *cli) doctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "say what is wrong, and how to mend it",
		Long: `Looks at all that sagas need: brokers, topics, schemas, what services have
published and how their processes stand, dead letters, the tracker, clocks, and
the database that is named, if any. Each is ok, worth a look or wrong; then it
says how to mend it. Nothing is changed.

The exit code is 1 where something is wrong.`,
		Example: `  choreo doctor --brokers localhost:9092
  choreo doctor -o json | jq '.[] | select(.state == "fail")'`,
		Args:              between(0, 0, ""),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := connect.Resolve(cmd.Flags(), c.env)
			if err != nil {
				return err
			}
			d := &patient{cli: c, settings: settings}
			return d.report(d.examine(cmd.Context()))
		},
	}
	c.reports(cmd)
	connect.Flags(cmd.Flags(), sagaNeeds|connect.Database)
	return cmd
}

// patient is what the doctor looks at.
type patient struct {
	*cli
	settings *connect.Settings

	log       topics.Log
	names     topics.Names
	cluster   *cluster.Cluster
	contracts []definition.Contract
	statuses  []topics.Status
	found     []check
}

func (d *patient) ok(name, format string, args ...any) {
	d.found = append(d.found, check{Check: name, State: healthy, Says: fmt.Sprintf(format, args...)})
}

func (d *patient) warn(name, mend, format string, args ...any) {
	d.found = append(d.found, check{Check: name, State: warning, Says: fmt.Sprintf(format, args...), Mend: mend})
}

func (d *patient) fail(name, mend, format string, args ...any) {
	d.found = append(d.found, check{Check: name, State: wrong, Says: fmt.Sprintf(format, args...), Mend: mend})
}

// broken is fail for an error, which says by itself what to do. It reports whether there is one.
func (d *patient) broken(name string, err error) bool {
	if err == nil {
		return false
	}
	message := inFlags(err.Error())
	if exit.Of(err) == exit.TimedOut && !strings.Contains(message, "timed out") {
		message += ": nobody answered in time"
	}
	d.fail(name, "", "%s", message)
	return true
}

// examine carries out all checks. Each has its own time, so that one that hangs does not hide the
// others.
func (d *patient) examine(ctx context.Context) []check {
	d.ok("choreo", "%s, built with %s for %s", thisBuild().Version, thisBuild().Go, thisBuild().Platform)
	timed := func(look func(context.Context)) {
		ctx, cancel := context.WithTimeout(ctx, d.settings.Timeout)
		defer cancel()
		look(ctx)
	}
	reached := false
	if len(d.settings.Brokers) == 0 {
		d.warn("brokers", "say --brokers host:port to have the cluster looked at", "none are named, so that only the tracker is asked")
	} else {
		timed(func(ctx context.Context) { reached = d.brokers(ctx) })
		if reached {
			for _, look := range []func(context.Context){d.published, d.topics, d.agreement, d.heard, d.behind, d.clocks, d.dead} {
				timed(look)
			}
		}
	}
	if reached || len(d.settings.Registry) > 0 {
		timed(d.schemas)
	}
	if d.settings.Tracker != "" {
		timed(d.tracker)
	}
	if d.settings.Database != "" {
		timed(d.database)
	}
	if d.log != nil {
		if err := d.log.Close(); err != nil && ctx.Err() == nil {
			d.broken("brokers", err)
		}
	}
	return d.found
}

// brokers reports whether they answer.
func (d *patient) brokers(ctx context.Context) bool {
	var err error
	if d.names, err = d.settings.Names(); d.broken("brokers", err) {
		return false
	}
	log, err := d.settings.Log()
	if d.broken("brokers", err) {
		return false
	}
	d.log = log
	begun := time.Now()
	_, err = log.DescribeTopics(ctx, d.names.Definitions())
	if err != nil {
		mend := "check --brokers, --tls and --sasl, and that the brokers' advertised addresses can be reached from here"
		d.fail("brokers", mend, "%s: %s", strings.Join(d.settings.Brokers, ","), inFlags(err.Error()))
		return false
	}
	took := time.Since(begun)
	if took > time.Second {
		d.warn("brokers", "look at their load and at the way there", "%s answer, but only after %s", strings.Join(d.settings.Brokers, ","), short(took))
	} else {
		d.ok("brokers", "%s answer", strings.Join(d.settings.Brokers, ","))
	}
	d.cluster = cluster.New(log, d.names, &cluster.Config{Now: d.now})
	return true
}

// report writes what was found.
func (d *patient) report(found []check) error {
	counts := map[health]int{}
	for _, one := range found {
		counts[one.State]++
	}
	err := out.List(d.printer(), found, func(t *out.Text, found []check) {
		for _, one := range found {
			style := map[health]out.Style{healthy: out.Green, warning: out.Yellow, wrong: out.Red}[one.State]
			t.Entry(out.S(style, "%-4s", one.State), fmt.Sprintf("  %-12s  ", one.Check), "%s", one.Says)
			if one.Mend != "" {
				t.Para(strings.Repeat(" ", 20)+"→ ", "%s", one.Mend)
			}
		}
		t.Blank()
		t.Line(out.S(out.Bold, "%s", sum(counts)))
	})
	if err == nil && counts[wrong] > 0 {
		err = exit.ErrFindings
	}
	return err
}

func sum(counts map[health]int) string {
	if counts[wrong] == 0 && counts[warning] == 0 {
		return "All is well."
	}
	if counts[wrong] == 0 {
		return fmt.Sprintf("Nothing is wrong, %d worth a look, %d well.", counts[warning], counts[healthy])
	}
	return fmt.Sprintf("%s wrong, %d worth a look, %d well.", counted(counts[wrong], "thing is", "things are"), counts[warning], counts[healthy])
}

// schemas looks at the registry, or the topic of schemas.
func (d *patient) schemas(ctx context.Context) {
	registry, closing, err := d.settings.OpenRegistry(ctx)
	if exit.Of(err) == exit.NotFound && len(d.settings.Registry) == 0 {
		d.warn("schemas", "'choreo topics apply' makes it; nothing needs it while all payloads are JSON", "there is no topic %s", d.names.Schemas())
		return
	}
	if d.broken("schemas", err) {
		return
	}
	subjects, err := registry.Subjects(ctx)
	if !d.broken("schemas", errors.Join(err, closing())) {
		d.ok("schemas", "%s", counted(len(subjects), "subject", "subjects"))
	}
}
