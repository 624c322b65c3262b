// Command order runs order sagas through four services and checks that the books
// balance. See README.md beside it, or run it with --help.
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
		_, _ = fmt.Fprintf(stderr, "order: %v\n\n%s", err, usage)
		return exitUsage
	}
	tell := func(r *report) error {
		if o.json {
			return r.writeJSON(stdout)
		}
		return r.writeTable(stdout)
	}
	r, err := runShop(ctx, o, stderr, tell)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "order: %v\n", err)
		return exitBad
	}
	if r != nil && !r.good() { // none: a service other than orders was told to stop
		return exitBad
	}
	return exitGood
}
