package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// report is what the command prints as JSON, and what the chart is drawn from.
type report struct {
	Go      string    `json:"go"`
	System  string    `json:"system"`
	Cores   int       `json:"cores"`
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"` // that the whole run took
	Sizes   sizes     `json:"sizes"`
	// Reduced: some size is below that for which the bars are set.
	Reduced bool     `json:"reduced"`
	Bars    []figure `json:"bars"`
	Details []figure `json:"details"`
	Limits  []figure `json:"limits"`
}

// figure is a metric that was measured. Its value is the median of the runs.
type figure struct {
	Name   string    `json:"name"`
	What   string    `json:"what"`
	Unit   string    `json:"unit"`
	Value  float64   `json:"value"`
	Runs   []float64 `json:"of_each_run"`
	Target *target   `json:"target,omitempty"` // of bars
}

// target is what a bar asks for.
type target struct {
	Value float64 `json:"value"`
	// AtMost: less is better. Otherwise more is.
	AtMost bool `json:"at_most"`
	// Goal: it is aimed at, and not held to.
	Goal bool `json:"goal"`
	Met  bool `json:"met"`
}

// newReport sorts what was measured by the catalog.
func newReport(s sizes, got values) (*report, error) {
	r := &report{
		Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Sizes: s, Reduced: s.reduced(),
		Bars: []figure{}, Details: []figure{}, Limits: []figure{},
	}
	for name, runs := range got {
		if _, known := find(name); !known || len(runs) == 0 {
			return nil, fmt.Errorf("%d values of %q: the catalog of figures has no place for them", len(runs), name)
		}
	}
	for _, m := range catalog {
		runs := got[m.name]
		if len(runs) == 0 {
			continue
		}
		f := figure{Name: m.name, What: s.named(m.what), Unit: m.unit, Value: median(runs), Runs: runs}
		switch m.kind {
		case bar, goal:
			f.Target = &target{Value: m.target, AtMost: m.less, Goal: m.kind == goal, Met: meets(f.Value, m.target, m.less)}
			r.Bars = append(r.Bars, f)
		case detail:
			r.Details = append(r.Details, f)
		case limit:
			r.Limits = append(r.Limits, f)
		}
	}
	return r, nil
}

// meets reports whether a value is as good as the target.
func meets(value, target float64, atMost bool) bool {
	if atMost {
		return value <= target
	}
	return value >= target
}

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// readReport reads what writeJSON has written.
func readReport(from io.Reader) (*report, error) {
	var r report
	if err := json.NewDecoder(from).Decode(&r); err != nil {
		return nil, fmt.Errorf("it is not a report, which --output json makes: %w", err)
	}
	if r.Go == "" {
		return nil, errors.New("it is not a report, which --output json makes")
	}
	for _, f := range r.Bars {
		if f.Target == nil || f.Target.Value <= 0 {
			return nil, fmt.Errorf("the bar %q has no target above 0: let this build of bench make the report", f.Name)
		}
	}
	return &r, nil
}
