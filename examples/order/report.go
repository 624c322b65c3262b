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
	Orders       int     `json:"orders"`
	Rejected     int     `json:"rejected"`
	Completed    int     `json:"completed"`
	Compensated  int     `json:"compensated"`
	Stuck        int     `json:"stuck"`
	Duration     float64 `json:"duration_seconds"`
	Executed     int     `json:"steps_executed"`
	Undone       int     `json:"steps_compensated"`
	BooksBalance bool    `json:"books_balance"`

	tally *tally
	where string // what the run ran on
}

func newReport(t *tally, rejected int, took time.Duration, balance bool, where string) *report {
	return &report{
		Orders: t.sagas, Rejected: rejected,
		Completed: t.completed, Compensated: t.compensated, Stuck: t.stuck,
		Duration: float64(took.Microseconds()) / 1e6,
		Executed: t.executed(), Undone: t.undone(),
		BooksBalance: balance,
		tally:        t, where: where,
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
	rule := strings.Repeat("─", 64)

	line("Order sagas on %s", r.where)
	line("")
	line("  %-24s %10s %10s", "outcome", "orders", "share")
	line("  %s", rule)
	r.outcome(line, "completed", r.Completed)
	r.outcome(line, "compensated", r.Compensated)
	for _, code := range r.tally.byCount() {
		line("    %-22s %10s", code, console.Count(r.tally.refusals[code]))
	}
	r.outcome(line, "stuck", r.Stuck)
	line("  %s", rule)
	line("  %-24s %10s", "orders", console.Count(r.Orders))
	line("  %-24s %10s", "lines rejected", console.Count(r.Rejected))
	line("")
	line("  %-15s %-11s %11s %10s %13s", "step", "service", "executed", "refused", "compensated")
	line("  %s", rule)
	for _, s := range r.tally.steps {
		line("  %-15s %-11s %11s %10s %13s", s.name, s.owner, console.Count(s.executed), console.Count(s.failed), console.Count(s.undone))
	}
	line("  %s", rule)
	line("  %-15s %-11s %11s %10s %13s", "all", "", console.Count(r.Executed), "", console.Count(r.Undone))
	line("")
	line("  %-24s %s", "at rest after", r.speed())
	if n := len(r.tally.times); n > 0 {
		line("  %-24s p50 %s   p99 %s", "one saga", console.Short(r.tally.times[n/2]), console.Short(r.tally.times[n*99/100]))
	}
	balance := "yes"
	if !r.BooksBalance {
		balance = "NO"
	}
	line("  %-24s %s", "books balance", balance)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *report) outcome(line func(string, ...any), name string, n int) {
	if n == 0 || r.Orders == 0 {
		line("  %-24s %10s", name, console.Count(n))
		return
	}
	line("  %-24s %10s %8.1f %%", name, console.Count(n), 100*float64(n)/float64(r.Orders))
}

func (r *report) speed() string {
	took := time.Duration(r.Duration * float64(time.Second))
	if took <= 0 || r.Orders == 0 {
		return console.Short(took)
	}
	return fmt.Sprintf("%s   %s orders/s", console.Short(took), console.Count(int(float64(r.Orders)/took.Seconds())))
}

// byCount returns the codes of refusals, the most frequent first.
func (t *tally) byCount() []string {
	codes := slices.Sorted(maps.Keys(t.refusals))
	slices.SortStableFunc(codes, func(a, b string) int { return t.refusals[b] - t.refusals[a] })
	return codes
}
