// Command travel books trips through six services, with Protobuf payloads, and checks that
// the books balance. See README.md beside it, or run it with --help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitGood  = 0 // every saga is at rest and the books balance
	exitBad   = 1 // not so, or an error
	exitUsage = 2
)

const usage = `Book trips through six services: trips, documents, flights, hotels, cars and
payments.

  go run ./examples/travel [flags]

It starts an embedded Kafka-protocol broker, six SQLite databases and all
services in one process, and books made-up trips.

  --trips N     how many trips; default 200
  --seed N      of the sample, from 0; default 1
  --data DIR    keep databases and log in DIR; the same command again resumes
                what was interrupted
  --json        print the outcome as JSON in place of a table

Exit status: 0 every saga is at rest and the books balance, 1 not so or an
error, 2 wrong flags.
`

// options are the flags.
type options struct {
	trips int
	seed  uint64
	data  string // directory; empty: a temporary one
	json  bool
}

const maxTrips = 1_000_000

// parseOptions reads the command line. It returns flag.ErrHelp where help was asked for; any
// other error is one of usage and names every fault.
func parseOptions(args []string) (*options, error) {
	var o options
	set := flag.NewFlagSet("travel", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.IntVar(&o.trips, "trips", 200, "")
	set.Uint64Var(&o.seed, "seed", 1, "")
	set.StringVar(&o.data, "data", "", "")
	set.BoolVar(&o.json, "json", false, "")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	var faults []error
	if set.NArg() > 0 {
		faults = append(faults, fmt.Errorf("%q is not a flag: every argument is named", set.Arg(0)))
	}
	if o.trips < 0 || o.trips > maxTrips {
		faults = append(faults, fmt.Errorf("--trips is %d: use 0 to %d", o.trips, maxTrips))
	}
	set.Visit(func(f *flag.Flag) {
		if f.Value.String() == "" {
			faults = append(faults, fmt.Errorf("--%s is empty: leave it away or give it a value", f.Name))
		}
	})
	return &o, errors.Join(faults...)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(stdout, usage)
		return exitGood
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "travel: %v\n\n%s", err, usage)
		return exitUsage
	}
	r, err := book(ctx, o, stderr)
	if err == nil {
		write := r.writeTable
		if o.json {
			write = r.writeJSON
		}
		err = write(stdout)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "travel: %v\n", err)
		return exitBad
	}
	if !r.good() {
		return exitBad
	}
	return exitGood
}
