package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	kafkago "github.com/segmentio/kafka-go"
)

// options are the flags.
type options struct {
	parts       []string
	brokers     []string
	postgres    string
	json        bool
	save        string // where the report goes as JSON, besides
	profile     string // where the CPU profile of this process goes
	allocations string // where a profile of allocations goes
	chart       string // a report to draw, in place of measuring
	sizes
}

// sizes say how much is measured.
type sizes struct {
	Runs     int `json:"runs"`
	Sagas    int `json:"sagas_a_run"`
	Refused  int `json:"refused_percent"`
	Idle     int `json:"idle_sagas_a_run"`
	Orders   int `json:"orders_a_run"`
	Backlog  int `json:"backlog_rows"`
	Skipped  int `json:"skipped_events"`
	OldSteps int `json:"old_step_rows"`
	OldSagas int `json:"old_sagas"`
	InFlight int `json:"sagas_in_flight"`
	HotRows  int `json:"hot_rows"`
	// LimitMillis is how long a limit is measured in a run.
	LimitMillis int `json:"limit_ms_a_run"`
	// Wait has handlers on PostgreSQL wait for the result of their statement.
	Wait bool `json:"handlers_wait"`
}

func (s *sizes) limitFor() time.Duration { return time.Duration(s.LimitMillis) * time.Millisecond }

// named fills in the sizes that a text names.
func (s *sizes) named(text string) string {
	count := func(n int) string { return grouped(strconv.Itoa(n)) }
	return strings.NewReplacer("{backlog}", count(s.Backlog), "{old-steps}", count(s.OldSteps),
		"{in-flight}", count(s.InFlight), "{hot-rows}", count(s.HotRows)).Replace(text)
}

// reduced reports whether a size is below that of the bars.
func (s *sizes) reduced() bool {
	for _, f := range sizeFlags {
		if own, full := *s, whole; *f.of(&own) < *f.of(&full) && f.name != "limit-ms" {
			return true
		}
	}
	return false
}

// whole are the sizes of the bars, and quick those that only show that all of it works.
var (
	whole = sizes{
		Runs: 5, Sagas: 10_000, Refused: 20, Idle: 100, Orders: 10_000, Backlog: 500_000, Skipped: 1_000_000,
		OldSteps: 2_000_000, OldSagas: 1_000_000, InFlight: 100_000, HotRows: 10, LimitMillis: 300,
	}
	quick = sizes{
		Runs: 1, Sagas: 40, Refused: 20, Idle: 3, Orders: 50, Backlog: 2000, Skipped: 20_000,
		OldSteps: 5000, OldSagas: 2500, InFlight: 200, HotRows: 10, LimitMillis: 20,
	}
)

// parse reads the command line. It returns flag.ErrHelp where help was asked for; any other
// error names every fault.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := options{sizes: whole}
	var only, brokers, output string
	var small bool
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&only, "only", "", "parts to measure, joined by commas: "+strings.Join(partNames(), ", ")+" (default all)")
	flags.BoolVar(&small, "quick", false, "measure little of everything, to see that it works: the figures say nothing")
	flags.StringVar(&brokers, "brokers", os.Getenv("CHOREO_TEST_BROKERS"), "brokers of Kafka, as host:port,…")
	flags.StringVar(&o.postgres, "postgres", os.Getenv("CHOREO_TEST_POSTGRES"), "DSN of PostgreSQL, of a role that may create schemas")
	flags.StringVar(&output, "output", "table", "table or json")
	flags.StringVar(&o.save, "save", "", "write the report to this file, too, as JSON")
	flags.StringVar(&o.allocations, "allocprofile", "", "write a profile of what this process allocates to this file")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of this process to this file, for go tool pprof")
	flags.StringVar(&o.chart, "chart", "", "draw this report, made by --output json, as SVG in place of measuring")
	flags.BoolVar(&o.Wait, "wait", false, "have handlers on PostgreSQL wait for the result of their statement (tx.Exec) and not queue it (postgres.Queue)")
	for _, f := range sizeFlags {
		flags.IntVar(f.of(&o.sizes), f.name, *f.of(&o.sizes), f.usage)
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if small {
		given := o.sizes
		o.sizes = quick
		o.Wait = given.Wait
		flags.Visit(func(visited *flag.Flag) {
			for _, f := range sizeFlags {
				if f.name == visited.Name {
					*f.of(&o.sizes) = *f.of(&given)
				}
			}
		})
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, f := range sizeFlags {
		if n := *f.of(&o.sizes); n < 1 && f.name != "refused" {
			fault("--%s is %d: use a positive number", f.name, n)
		}
	}
	if o.Refused < 0 || o.Refused > 100 {
		fault("--refused is %d: use a percentage", o.Refused)
	}
	if flags.NArg() > 0 {
		fault("%q is not a flag: every argument is named", flags.Arg(0))
	}
	if o.json = output == "json"; !o.json && output != "table" {
		fault("--output is %q: use table or json", output)
	}
	o.parts = partNames()
	if only != "" {
		o.parts = strings.Split(only, ",")
	}
	for _, name := range o.parts {
		if !slices.Contains(partNames(), name) {
			fault("--only: there is no part %q: use some of %s", name, strings.Join(partNames(), ", "))
		}
	}
	if brokers != "" {
		o.brokers = strings.Split(brokers, ",")
	}
	return &o, errors.Join(faults...)
}

// sizeFlags are the flags of the sizes.
var sizeFlags = []struct {
	name, usage string
	of          func(*sizes) *int
}{
	{"runs", "runs of each figure; the median is reported", func(s *sizes) *int { return &s.Runs }},
	{"sagas", "sagas of a run", func(s *sizes) *int { return &s.Sagas }},
	{"refused", "percentage of sagas that are refused at their fourth step and undone", func(s *sizes) *int { return &s.Refused }},
	{"idle", "sagas of a run that go one after another, for the idle figures", func(s *sizes) *int { return &s.Idle }},
	{"orders", "orders of a run of examples/order", func(s *sizes) *int { return &s.Orders }},
	{"backlog", "outbox rows of the relay's figure", func(s *sizes) *int { return &s.Backlog }},
	{"skipped", "events of the figure of those that are skipped", func(s *sizes) *int { return &s.Skipped }},
	{"old-steps", "old step rows, over all databases", func(s *sizes) *int { return &s.OldSteps }},
	{"old-sagas", "ended sagas in the initiator's database", func(s *sizes) *int { return &s.OldSagas }},
	{"in-flight", "sagas in flight of the figure of memory", func(s *sizes) *int { return &s.InFlight }},
	{"hot-rows", "rows that all steps of a service write to, in the figure of contention", func(s *sizes) *int { return &s.HotRows }},
	{"limit-ms", "how long each limit of the machine is measured in a run", func(s *sizes) *int { return &s.LimitMillis }},
}

// reach is how long a server may take to answer at first.
const reach = 10 * time.Second

// checkServers makes sure that the servers which the parts need are there.
func (o *options) checkServers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	var faults []error
	for _, s := range []struct {
		name, flag string
		needs      func(*part) bool
		given      bool
		ask        func(context.Context) error
	}{
		{"Kafka", "--brokers", func(p *part) bool { return p.kafka }, len(o.brokers) > 0, o.askKafka},
		{"PostgreSQL", "--postgres", func(p *part) bool { return p.postgres }, o.postgres != "", o.askPostgres},
	} {
		var needed, others []string
		for i := range parts {
			switch p := &parts[i]; {
			case !slices.Contains(o.parts, p.name):
			case s.needs(p):
				needed = append(needed, p.name)
			default:
				others = append(others, p.name)
			}
		}
		if len(needed) == 0 {
			continue
		}
		advice := "'make bench' starts it"
		if len(others) > 0 {
			advice += ", and --only " + strings.Join(others, ",") + " does without"
		}
		if !s.given {
			faults = append(faults, fmt.Errorf("%s is needed for %s, and %s is not given: %s", s.name, strings.Join(needed, ", "), s.flag, advice))
		} else if err := s.ask(ctx); err != nil {
			faults = append(faults, fmt.Errorf("%s, which is needed for %s, does not answer at the address of %s: %s: %w",
				s.name, strings.Join(needed, ", "), s.flag, advice, err))
		}
	}
	return errors.Join(faults...)
}

func (o *options) askKafka(ctx context.Context) error {
	client := &kafkago.Client{Addr: kafkago.TCP(o.brokers...), Timeout: reach}
	_, err := client.Metadata(ctx, &kafkago.MetadataRequest{Topics: []string{}})
	return err
}

func (o *options) askPostgres(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, o.postgres)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
