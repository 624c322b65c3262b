// Command bench measures Choreo beside the limits of the machine, log and database
// that it runs on. README.md says what is counted and what is not.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

type options struct {
	settings []string
	brokers  []string
	postgres string
	sagas    int
	runs     int
	idle     int
	refused  int
	backlog  int
	output   string
}

// report is what the command prints as JSON.
type report struct {
	Go       string    `json:"go"`
	Cores    int       `json:"cores"`
	At       time.Time `json:"at"`
	Sagas    int       `json:"sagas_per_run"`
	Runs     int       `json:"runs"`
	Refused  int       `json:"refused_percent"`
	Settings []figures `json:"settings"`
	Limits   *limits   `json:"limits,omitempty"`
}

// figures are those of one setting; durations are in milliseconds.
type figures struct {
	Setting          string    `json:"setting"`
	SagasPerSecond   float64   `json:"sagas_per_second"`
	SagasPerSecondOf []float64 `json:"sagas_per_second_of_each_run"`
	StepsPerSecond   float64   `json:"steps_per_second"`
	HopP50           float64   `json:"step_hop_idle_p50_ms"`
	HopP99           float64   `json:"step_hop_idle_p99_ms"`
	SagaP50          float64   `json:"saga_idle_p50_ms"`
	RelayRows        float64   `json:"relay_rows_per_second,omitempty"`
	CPUPerStep       float64   `json:"cpu_seconds_per_step"`
	AllocsPerStep    float64   `json:"allocations_per_step"`
	BytesPerStep     float64   `json:"allocated_bytes_per_step"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	out := report{
		Go: runtime.Version(), Cores: runtime.NumCPU(), At: time.Now().UTC().Truncate(time.Second),
		Sagas: opts.sagas, Runs: opts.runs, Refused: opts.refused,
	}
	for _, name := range opts.settings {
		fmt.Fprintln(os.Stderr, "measuring", name)
		f, err := measureSetting(ctx, name, opts)
		if err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		out.Settings = append(out.Settings, f)
	}
	if opts.postgres != "" {
		fmt.Fprintln(os.Stderr, "measuring the limits")
		if out.Limits, err = measureLimits(ctx, opts); err != nil {
			return fmt.Errorf("limits: %w", err)
		}
	}
	if opts.output == "json" {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(out)
	}
	return printTable(os.Stdout, &out)
}

func parse(args []string) (*options, error) {
	var o options
	var settings, brokers string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&settings, "settings", "memory,embedded,real", "settings to measure: memory, embedded, real")
	flags.StringVar(&brokers, "brokers", os.Getenv("CHOREO_TEST_BROKERS"), "brokers of the setting 'real', as host:port,…")
	flags.StringVar(&o.postgres, "postgres", os.Getenv("CHOREO_TEST_POSTGRES"), "DSN of the setting 'real'")
	flags.IntVar(&o.sagas, "sagas", 5000, "sagas of a run")
	flags.IntVar(&o.runs, "runs", 5, "runs of a setting; the median is reported")
	flags.IntVar(&o.idle, "idle", 300, "sagas that run one after another for the idle figures")
	flags.IntVar(&o.refused, "refused", 20, "percentage of sagas that are refused at their fourth step and undone")
	flags.IntVar(&o.backlog, "backlog", 100_000, "outbox rows of the relay's figure")
	flags.StringVar(&o.output, "output", "table", "table or json")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	o.settings = strings.Split(settings, ",")
	if brokers != "" {
		o.brokers = strings.Split(brokers, ",")
	}
	if slices.Contains(o.settings, "real") && (len(o.brokers) == 0 || o.postgres == "") {
		return nil, fmt.Errorf("the setting 'real' needs --brokers and --postgres: 'make bench' starts both")
	}
	if o.sagas < 1 || o.runs < 1 || o.idle < 1 || o.backlog < 1 || o.refused < 0 || o.refused > 100 {
		return nil, fmt.Errorf("--sagas, --runs, --idle and --backlog must be positive, --refused a percentage")
	}
	if o.output != "table" && o.output != "json" {
		return nil, fmt.Errorf("--output is %q: use table or json", o.output)
	}
	return &o, nil
}
