// Command bench measures Choreo beside the limits of the machine, log and database
// that it runs on, and draws what it has measured. README.md says what is counted and what
// is not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if len(os.Args) == 2 && os.Args[1] == childFlag {
		err = runChild(ctx, os.Stdin, os.Stdout)
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.chart != "" {
		return draw(o.chart, stdout)
	}
	if err := o.checkServers(ctx); err != nil {
		return err
	}
	saved, err := openOutput(o.save)
	if err != nil {
		return fmt.Errorf("--save: %w", err)
	}
	defer func() { _ = saved.Close() }() // after it was synced
	began := time.Now()
	got, err := profiled(o.profile, func() (values, error) { return measure(ctx, o, stderr) })
	if err == nil {
		err = writeAllocations(o.allocations)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("interrupted, nothing is reported: %w", err)
	case err != nil:
		return err
	}
	r, err := newReport(o.sizes, got)
	if err != nil {
		return err
	}
	r.At, r.Seconds = began.UTC().Truncate(time.Second), time.Since(began).Round(time.Second).Seconds()
	if saved != nil {
		if err := errors.Join(saved.Truncate(0), r.writeJSON(saved), saved.Sync()); err != nil {
			return fmt.Errorf("--save: %w", err)
		}
	}
	if o.json {
		return r.writeJSON(stdout)
	}
	return r.writeTable(stdout)
}

// openOutput makes a file, or opens one to be written over: before anything is measured, so that it
// shows at once where that cannot be. Without a path it returns nil.
func openOutput(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
}

// profiled writes a CPU profile of what it does to a file, if one is named.
func profiled(path string, do func() (values, error)) (got values, err error) {
	file, err := openOutput(path)
	if err == nil && file != nil {
		if err = file.Truncate(0); err == nil {
			err = pprof.StartCPUProfile(file)
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, file.Close())
		}()
	}
	if err != nil {
		return nil, fmt.Errorf("--cpuprofile: %w", err)
	}
	return do()
}

// writeAllocations writes what this process has allocated since it began to a file, if one is named.
func writeAllocations(path string) error {
	file, err := openOutput(path)
	if err == nil && file != nil {
		err = errors.Join(file.Truncate(0), pprof.Lookup("allocs").WriteTo(file, 0), file.Close())
	}
	if err != nil {
		return fmt.Errorf("--allocprofile: %w", err)
	}
	return nil
}

// draw draws a report that stands in a file.
func draw(path string, to io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--chart: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	r, err := readReport(file)
	if err != nil {
		return fmt.Errorf("--chart %s: %w", path, err)
	}
	return writeChart(to, r)
}
