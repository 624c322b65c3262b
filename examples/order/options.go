package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/tracker/api"
)

// options are the flags.
type options struct {
	orders, stock, accounts string // files; empty: the samples
	data                    string // directory; empty: a temporary one
	brokers                 []string
	postgres                string
	service                 string // empty: all of them
	saga                    int    // the version that new orders go by
	build                   int    // the newest version that the services know
	json                    bool
	serve                   bool
	listen                  string        // address of the page
	reach                   time.Duration // how long a server may take to answer at first
}

const defaultReach = 15 * time.Second

const usage = `Run order sagas through four services: orders, inventory, payments, shipping.

  go run ./examples/order [flags]

Without flags it starts an embedded Kafka-protocol broker, four SQLite databases
and all services in one process, and runs 500 sample orders.

Input
  --orders FILE         orders, a JSON object a line: order_id, customer,
                        items[{sku, quantity, unit_price}], ship_to
  --stock FILE          CSV: sku,on_hand
  --accounts FILE       CSV: customer,balance
                        Stock and accounts are loaded once, into new databases.
Where
  --data DIR            keep databases and log in DIR; the same command again
                        resumes what was interrupted
  --brokers HOST:PORT,… Kafka in place of the embedded broker
  --postgres DSN        PostgreSQL in place of SQLite, one schema a service
  --service NAME        run one service alone, until it is told to stop; orders
                        feeds the orders, waits for their sagas and audits.
                        Needs --brokers, and --data or --postgres
Versions
  --saga-version 1|2    which version of the saga new orders go by; 2 checks for
                        fraud before the charge. Default: 1
  --build 1|2           1: services as they were before version 2 was there, to
                        try a roll-out by --service. Default: 2, both are known
See
  --serve               go on after the orders, until it is told to stop, with
                        the page that shows all sagas
  --listen HOST:PORT    where the page is, on this machine. Default:
                        127.0.0.1:7654
Output
  --output table|json   default: table

Exit status: 0 every saga is at rest and the books balance, 1 not so or an
error, 2 wrong flags.
`

// parseOptions reads the command line. It returns flag.ErrHelp where help was asked
// for; any other error is one of usage and names every fault.
func parseOptions(args []string) (*options, error) {
	o := options{reach: defaultReach}
	var brokers, output string
	set := flag.NewFlagSet("order", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.orders, "orders", "", "")
	set.StringVar(&o.stock, "stock", "", "")
	set.StringVar(&o.accounts, "accounts", "", "")
	set.StringVar(&o.data, "data", "", "")
	set.StringVar(&brokers, "brokers", "", "")
	set.StringVar(&o.postgres, "postgres", "", "")
	set.StringVar(&o.service, "service", "", "")
	set.IntVar(&o.saga, "saga-version", contract.Order.Version(), "")
	set.IntVar(&o.build, "build", contract.OrderV2.Version(), "")
	set.BoolVar(&o.serve, "serve", false, "")
	set.StringVar(&o.listen, "listen", api.DefaultAddress, "")
	set.StringVar(&output, "output", "table", "")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if set.NArg() > 0 {
		fault("%q is not a flag: every argument is named", set.Arg(0))
	}
	set.Visit(func(f *flag.Flag) {
		if f.Value.String() == "" {
			fault("--%s is empty: leave it away or give it a value", f.Name)
		}
	})
	if contract.Version(o.build) == nil {
		fault("--build %d: use 1 or 2", o.build)
	}
	if contract.Version(o.saga) == nil || o.saga > o.build {
		fault("--saga-version %d: use 1, or 2 with --build 2", o.saga)
	}
	switch output {
	case "json":
		o.json = true
	case "table":
	default:
		fault("--output %q: use table or json", output)
	}
	if brokers != "" {
		o.brokers = strings.Split(brokers, ",")
		for _, b := range o.brokers {
			if err := checkAddress(b); err != nil {
				fault("--brokers: %w", err)
			}
		}
	}
	if err := checkAddress(o.listen); err != nil {
		fault("--listen: %w", err)
	}
	if o.service != "" {
		o.checkAlone(fault)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &o, nil
}

// checkAlone checks what a service needs that runs alone.
func (o *options) checkAlone(fault func(format string, args ...any)) {
	if services := contract.Order.Services(); !slices.Contains(services, o.service) {
		fault("--service %q: use one of %s", o.service, strings.Join(services, ", "))
	}
	if o.serve {
		fault("--serve needs all services in one process: run 'choreo tracker serve' beside services that run alone")
	}
	if len(o.brokers) == 0 {
		fault("--service needs --brokers: the services meet in Kafka")
	}
	if o.data == "" && o.postgres == "" {
		fault("--service needs --data or --postgres: the service's data must outlive the process")
	}
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("%q is no address: write HOST:PORT, several joined by commas", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q: the port is a number from 1 to 65535", address)
	}
	return nil
}
