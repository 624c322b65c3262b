package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/tracker"
)

// sagaNeeds are the settings of commands that look at sagas.
const sagaNeeds = connect.Tracker | connect.Brokers | connect.Namespace | connect.Registry

// sagaNoun is "choreo saga".
func (c *cli) sagaNoun() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "saga",
		Short: "see sagas, and act on them",
		Long: `Sees sagas and acts on them: where they stand, why they were undone, what they
wait for. It asks a tracker (--tracker), or reads what a tracker has written to
the topics of the cluster (--brokers).`,
		Example: `  choreo saga list --status stuck,parked
  choreo saga why order 1042
  choreo saga retry order 1042 charge-payment --reason "gateway is back"`,
	}, c.sagaList(), c.sagaShow(), c.sagaEvents(), c.sagaWhy(), c.sagaWatch(), c.sagaWait(), c.sagaStart(),
		c.sagaCancel(), c.sagaRetry(), c.sagaResolve(), c.sagaRelease(), c.sagaForceAbort())
}

// source opens where sagas are seen. The caller closes it.
func (c *cli) source(settings *connect.Settings, flags *pflag.FlagSet) (sagas.Source, error) {
	if settings.Tracker != "" {
		return settings.Remote()
	}
	return settings.Topics(c.operator(flags), c.now)
}

// withSource opens where sagas are seen, and calls do with it.
func (c *cli) withSource(cmd *cobra.Command, do func(ctx context.Context, source sagas.Source) error) error {
	settings, ctx, cancel, err := c.connection(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	source, err := c.source(settings, cmd.Flags())
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, source), source.Close())
}

// sagaArgs takes "SAGA ID" and what comes behind.
func sagaArgs(behind int, what string) cobra.PositionalArgs {
	return between(2+behind, 2+behind, strings.TrimSpace("a SAGA and its ID "+what))
}

// completeSagaID completes names of sagas, then ids, by what the source has.
func (c *cli) completeSagaID(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 || cmd.Flags().Set("timeout", patience.String()) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	err := c.withSource(cmd, func(ctx context.Context, source sagas.Source) error {
		q := tracker.Query{Order: tracker.ByUpdated, Descending: true, Limit: 200}
		if len(args) == 1 {
			q.Sagas, q.Search = args, begun
		}
		list, err := source.List(ctx, q)
		if err != nil {
			return err
		}
		for _, saga := range list.Sagas {
			word := saga.Saga
			if len(args) == 1 {
				word = saga.ID
			}
			if strings.HasPrefix(word, begun) {
				found = append(found, word)
			}
		}
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	slices.Sort(found)
	return slices.Compact(found), cobra.ShellCompDirectiveNoFileComp
}

// filter are the flags that choose sagas.
type filter struct {
	sagas, statuses, steps, services, codes []string
	versions                                []int
	search                                  string
	from, to, idle                          string
}

func statuses() []string {
	return []string{
		string(choreo.StatusRunning), string(choreo.StatusCancelling), string(choreo.StatusCompensating),
		string(choreo.StatusParked), string(choreo.StatusStuck), string(choreo.StatusCompleted),
		string(choreo.StatusCompensated), string(choreo.StatusFailed),
	}
}

func (f *filter) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.sagas, "saga", nil, "only these `sagas`, joined by ','")
	flags.IntSliceVar(&f.versions, "saga-version", nil, "only these `versions` of the saga")
	flags.StringSliceVarP(&f.statuses, "status", "s", nil, "only in these `states`: "+strings.Join(statuses(), ", "))
	flags.StringSliceVar(&f.steps, "step", nil, "only what waits for, or is stuck at, one of these `steps`")
	flags.StringSliceVar(&f.services, "service", nil, "only what waits for one of these `services`")
	flags.StringSliceVar(&f.codes, "code", nil, "only with one of these `codes` of an error")
	flags.StringVar(&f.from, "since", "", "only those that started since: a `time` as 2026-01-31T12:00:00Z, or an age such as 2h or 3d")
	flags.StringVar(&f.to, "before", "", "only those that started before: a `time` or an age")
	flags.StringVar(&f.idle, "idle", "", "only those of which nothing was heard for so long: an `age`, or a time")
	flags.StringVarP(&f.search, "search", "q", "", "only with this `text` in the id or in a tag's value, or with a tag as name=value")
	complete := cobra.FixedCompletions(statuses(), cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc("status", complete); err != nil {
		panic(err) // as in choiceFlag
	}
}

// of returns the filter that the flags mean.
func (f *filter) of(now time.Time) (tracker.Filter, error) {
	chosen := tracker.Filter{
		Sagas: f.sagas, Versions: f.versions, Steps: f.steps, Services: f.services, Codes: f.codes, Search: f.search,
	}
	var faults []error
	for _, word := range f.statuses {
		if !slices.Contains(statuses(), word) {
			faults = append(faults, fmt.Errorf("--status %q is no state: use %s", word, strings.Join(statuses(), ", ")))
		}
		chosen.Statuses = append(chosen.Statuses, choreo.Status(word))
	}
	for _, v := range f.versions {
		if v < 1 {
			faults = append(faults, fmt.Errorf("--saga-version %d: versions count from 1", v))
		}
	}
	for _, at := range []struct {
		flag, text string
		into       *time.Time
	}{{"since", f.from, &chosen.StartedFrom}, {"before", f.to, &chosen.StartedTo}, {"idle", f.idle, &chosen.UpdatedTo}} {
		if at.text == "" {
			continue
		}
		moment, err := momentOf(at.text, now)
		if err != nil {
			faults = append(faults, fmt.Errorf("--%s %w", at.flag, err))
		}
		*at.into = moment
	}
	return chosen, exit.With(exit.Usage, errors.Join(faults...))
}

// momentOf reads a time, or an age as seen from now.
func momentOf(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, nil
	}
	age, err := ageOf(text)
	if err != nil || age < 0 {
		return time.Time{}, fmt.Errorf("%q is neither a time nor an age: write 2026-01-31, 2026-01-31T12:00:00Z, 90s, 2h or 3d", text)
	}
	return now.Add(-age), nil
}

// ageOf reads a duration in which days are allowed.
func ageOf(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		age, err := time.ParseDuration(days + "h")
		if age > 100*365*time.Hour {
			return 0, fmt.Errorf("%q is too long", text)
		}
		return 24 * age, err
	}
	return time.ParseDuration(text)
}

// short writes a duration in two figures or so: "4.2s", "14m", "3h", "12d".
func short(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// stamp writes a time for people.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05Z") }

// styleOf is how a state looks.
func styleOf(status choreo.Status) out.Style {
	switch status {
	case choreo.StatusCompleted:
		return out.Green
	case choreo.StatusStuck, choreo.StatusFailed:
		return out.Red
	case choreo.StatusParked, choreo.StatusCompensating, choreo.StatusCancelling:
		return out.Yellow
	case choreo.StatusCompensated:
		return out.Blue
	case choreo.StatusRunning:
	}
	return out.Plain
}

// freshness says on standard error where what was shown may be old.
func (c *cli) freshness(f sagas.Freshness) {
	if f.LagEvents == 0 {
		return
	}
	who, of := "The tracker", tracker.PartLag{LagEvents: f.LagEvents, LagSeconds: f.LagSeconds}
	if i := slices.IndexFunc(f.Parts, func(p tracker.PartLag) bool { return !p.Away && p.LagEvents > 0 }); i >= 0 {
		of = f.Parts[i] // which is furthest behind
		who = "Of the trackers, " + of.Part
	}
	c.say("%s is behind the log: by %s, %s.", who, counted(int(of.LagEvents), "event", "events"), short(seconds(of.LagSeconds)))
}

// noSaga says where to look for a saga that is not there.
func (c *cli) noSaga(err error, args []string) error {
	if !errors.Is(err, tracker.ErrNotFound) {
		return err
	}
	return exit.NotFoundf("there is no saga %s %s: see 'choreo saga list --saga %s'; one that ended long ago is forgotten", args[0], args[1], args[0])
}

func by(service string) string {
	if service == "" {
		return ""
	}
	return ", by " + service
}

func dueIn(at *time.Time, now time.Time) string {
	if at.Before(now) {
		return fmt.Sprintf("%s, over for %s", stamp(*at), short(now.Sub(*at)))
	}
	return fmt.Sprintf("%s, in %s", stamp(*at), short(at.Sub(now)))
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// operator returns who gives commands where no token says it: --by, else the user of this machine.
func (c *cli) operator(flags *pflag.FlagSet) string {
	if f := flags.Lookup("by"); f != nil && f.Value.String() != "" {
		return f.Value.String()
	}
	for _, name := range []string{"USER", "LOGNAME", "USERNAME"} {
		if user := c.env(name); user != "" {
			return user
		}
	}
	return "choreo-cli"
}

// byFlag adds the flag that says who it is.
func byFlag(cmd *cobra.Command) {
	cmd.Flags().String("by", "", "`who` wants it, where brokers are named (default the user of this machine); a tracker knows it by the token")
}
