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
	r, err := runShop(ctx, o, stderr)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "order: %v\n", err)
		return exitBad
	}
	if r == nil { // a service other than orders was told to stop
		return exitGood
	}
	write := r.writeTable
	if o.json {
		write = r.writeJSON
	}
	if err := write(stdout); err != nil {
		_, _ = fmt.Fprintf(stderr, "order: %v\n", err)
		return exitBad
	}
	if !r.good() {
		return exitBad
	}
	return exitGood
}
