package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// part is something that is measured by itself.
type part struct {
	name            string
	kafka, postgres bool // it needs them
	measure         func(context.Context, *bench) error
}

// parts are measured in this order: the limits in the middle, near to what they are
// compared with.
var parts = []part{
	{"memory", false, false, measureMemory},
	{"embedded-sqlite", false, false, measureEmbeddedSQLite},
	{"order", false, false, measureOrder},
	{"embedded-postgres", false, true, measureEmbeddedPostgres},
	{"real", true, true, measureReal},
	{"four", true, true, measureFour},
	{"limits", true, true, measureLimits},
	{"hot-rows", true, true, measureHotRows},
	{"relay", true, true, measureRelay},
	{"skipped", true, false, measureSkipped},
	{"in-flight", true, true, measureInFlight},
	{"old-rows", true, true, measureOldRows},
}

func partNames() []string {
	names := make([]string, len(parts))
	for i := range parts {
		names[i] = parts[i].name
	}
	return names
}

// patient bounds a part.
const patient = 10 * time.Minute

// bench is one run of the command.
type bench struct {
	*options
	values
	id   string // of schemas and topics, so that two runs do not meet
	note func(format string, args ...any)
}

// measure goes through the parts that are asked for.
func measure(ctx context.Context, o *options, progress io.Writer) (values, error) {
	b := &bench{options: o, values: make(values), id: strings.ToLower(rand.Text()[:8])}
	b.note = func(format string, args ...any) { fmt.Fprintf(progress, format+"\n", args...) }
	err := b.runAll(ctx)
	if slices.ContainsFunc(parts, func(p part) bool { return p.kafka && slices.Contains(o.parts, p.name) }) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropWithin)
		defer cancel()
		err = errors.Join(err, b.dropGroups(ctx))
	}
	return b.values, err
}

func (b *bench) runAll(ctx context.Context) error {
	for i := range parts {
		if p := &parts[i]; slices.Contains(b.parts, p.name) {
			if err := b.run(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return nil
}

// run measures a part and takes away what it leaves behind.
func (b *bench) run(ctx context.Context, p *part) (err error) {
	began := time.Now()
	b.note("measuring %s", p.name)
	defer func() {
		// Also what was interrupted is taken away.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropWithin)
		defer cancel()
		if p.postgres {
			err = errors.Join(err, b.dropSchemas(ctx))
		}
		if p.kafka {
			err = errors.Join(err, b.dropTopics(ctx))
		}
		b.note("measured %s in %.0f s", p.name, time.Since(began).Seconds())
	}()
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	return p.measure(ctx, b)
}

// namespace names the topics of something that is measured.
func (b *bench) namespace(name string) string { return "bench-" + b.id + "-" + name }

// schemas begins the names of its schemas.
func (b *bench) schemas(name string) string {
	return "bench_" + b.id + "_" + strings.ReplaceAll(name, "-", "_") + "_"
}
