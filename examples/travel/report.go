package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/examples/internal/console"
)

// report is how a run ended. Its JSON is the example's machine-readable output.
type report struct {
	Trips        int            `json:"trips"`
	Completed    int            `json:"completed"`
	WithCar      int            `json:"with_car"`
	NoCarWanted  int            `json:"no_car_wanted"`
	NoCarLeft    int            `json:"no_car_left"`
	TurnedBack   int            `json:"turned_back"`
	Refusals     map[string]int `json:"refusals"`
	Stuck        int            `json:"stuck"`
	Undone       map[string]int `json:"steps_undone"`
	Unordered    int            `json:"undone_out_of_reverse_order"`
	Reprinted    int            `json:"documents_retried"`
	Duration     float64        `json:"duration_seconds"`
	BooksBalance bool           `json:"books_balance"`

	tally *tally
}

func newReport(t *tally, took time.Duration, balance bool) *report {
	undone := make(map[string]int)
	for _, s := range t.steps {
		if s.undone > 0 {
			undone[s.name] = s.undone
		}
	}
	return &report{
		Trips: t.trips, Completed: t.completed, WithCar: t.withCar, NoCarWanted: t.noCarWanted, NoCarLeft: t.noCarLeft,
		TurnedBack: t.turnedBack, Refusals: t.refusals, Stuck: t.stuck,
		Undone: undone, Unordered: t.unordered, Reprinted: t.reprinted,
		Duration: float64(took.Microseconds()) / 1e6, BooksBalance: balance, tally: t,
	}
}

// good reports whether every saga is at rest and the books balance.
func (r *report) good() bool { return r.BooksBalance && r.Stuck == 0 && r.tally.open == 0 }

func (r *report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// writeTable writes the report for people, at most 80 columns wide.
func (r *report) writeTable(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	rule := strings.Repeat("─", 70)
	outcome := func(name string, n int) {
		if n == 0 || r.Trips == 0 {
			line("  %-26s %8s", name, console.Count(n))
			return
		}
		line("  %-26s %8s %8.1f %%", name, console.Count(n), 100*float64(n)/float64(r.Trips))
	}
	line("Trip sagas on an embedded broker and SQLite, payloads in Protobuf")
	line("")
	line("  %-26s %8s %10s", "outcome", "trips", "share")
	line("  %s", rule)
	outcome("completed", r.Completed)
	line("    %-24s %8s", "with a car", console.Count(r.WithCar))
	line("    %-24s %8s", "no car wanted", console.Count(r.NoCarWanted))
	line("    %-24s %8s", "no car left", console.Count(r.NoCarLeft))
	outcome("turned back", r.TurnedBack)
	codes := slices.Sorted(maps.Keys(r.Refusals))
	slices.SortStableFunc(codes, func(a, b string) int { return r.Refusals[b] - r.Refusals[a] })
	for _, code := range codes {
		line("    %-24s %8s", code, console.Count(r.Refusals[code]))
	}
	outcome("stuck", r.Stuck)
	line("  %s", rule)
	line("  %-26s %8s", "trips", console.Count(r.Trips))
	line("")
	line("  %-16s %-10s %10s %10s %9s %10s", "step", "service", "executed", "bypassed", "refused", "undone")
	line("  %s", rule)
	for _, s := range r.tally.steps {
		line("  %-16s %-10s %10s %10s %9s %10s", s.name, s.owner,
			console.Count(s.executed), console.Count(s.bypassed), console.Count(s.refused), console.Count(s.undone))
	}
	line("  %s", rule)
	line("")
	line("  %-26s %s, of which %s not in reverse order", "undone side by side",
		tripCount(r.tally.sideBySide), console.Count(r.Unordered))
	line("  %-26s %s", "from refusal to undone", quantiles(r.tally.undoing))
	line("  %-26s %s", "documents tried again", tripCount(r.Reprinted))
	line("  %-26s %s", "at rest after", console.Short(time.Duration(r.Duration*float64(time.Second))))
	line("  %-26s %s", "one trip", quantiles(r.tally.times))
	balance := "yes"
	if !r.BooksBalance {
		balance = "NO"
	}
	line("  %-26s %s", "books balance", balance)
	_, err := io.WriteString(w, b.String())
	return err
}

func tripCount(n int) string {
	if n == 1 {
		return "1 trip"
	}
	return console.Count(n) + " trips"
}

// quantiles tells of sorted times.
func quantiles(times []time.Duration) string {
	n := len(times)
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("p50 %s   p99 %s", console.Short(times[n/2]), console.Short(times[n*99/100]))
}
