package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// measureInFlight measures the memory of a process with many sagas in flight: they are
// started, their first step is done, and the service of the second does not run. It takes so
// much longer than all else that it is measured once.
func measureInFlight(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	at := b.place("in-flight", b.brokers)
	at.Services = []string{orders}
	if _, err := open.real(ctx, at, create); err != nil {
		return err
	}
	b.note("  starting %d sagas", b.InFlight)
	holder, err := open.child(ctx, orders, &task{Role: roleHolder, Place: *at, Sagas: b.InFlight})
	if err != nil {
		return err
	}
	got, err := holder.hear()
	if err != nil {
		return err
	}
	for name, value := range got {
		b.add("in-flight."+name, value)
	}
	return nil
}

// hold starts sagas that cannot go on, and says what memory this process then has.
func hold(ctx context.Context, t *task, say func(map[string]float64) error) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	s, err := open.real(ctx, &t.Place, attach)
	if err != nil {
		return err
	}
	sys, err := start(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.close()) }()
	before, err := residentMemory()
	if err != nil {
		return err
	}
	if err := sys.launch(ctx, &load{Run: newUUID(), Sagas: t.Sagas, Rows: accounts}); err != nil {
		return err
	}
	err = untilEvery(ctx, 100*time.Millisecond, func() (bool, error) {
		total, err := s.total(ctx, orders) // the first step of each adds 1
		if err != nil || total < int64(t.Sagas) {
			return false, errors.Join(err, sys.failure())
		}
		backlog, err := s.stores[orders][0].Backlog(ctx)
		return backlog.Entries == 0, err
	})
	if err != nil {
		return err
	}
	now, err := residentMemory()
	if err != nil {
		return err
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	return say(map[string]float64{
		"rss": now.resident, "rss-peak": now.peak, "rss-before": before.resident, "heap": float64(mem.HeapAlloc) / 1e6,
	})
}

// resident is the memory of this process, in MB of 1,000,000 bytes.
type resident struct{ resident, peak float64 }

func residentMemory() (resident, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return resident{}, fmt.Errorf("the memory of a process is read as Linux tells it; leave in-flight out elsewhere: %w", err)
	}
	return parseStatus(status)
}

// parseStatus reads what /proc/self/status says of memory; see proc_pid_status(5).
func parseStatus(status []byte) (r resident, err error) {
	for _, field := range []struct {
		name string
		to   *float64
	}{{"VmRSS:", &r.resident}, {"VmHWM:", &r.peak}} {
		_, rest, found := bytes.Cut(status, []byte("\n"+field.name))
		if !found {
			return r, fmt.Errorf("/proc/self/status has no line %s", field.name)
		}
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		kib, err := strconv.Atoi(string(bytes.TrimSpace(bytes.TrimSuffix(line, []byte(" kB")))))
		if err != nil {
			return r, fmt.Errorf("/proc/self/status: %s%s", field.name, line)
		}
		*field.to = float64(kib) * 1024 / 1e6
	}
	return r, nil
}
