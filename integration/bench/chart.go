package main

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"strings"
	"text/template"
)

//go:embed chart.svg.tmpl
var chartText string

// The layout, in pixels.
const (
	chartWidth   = 1000
	chartTop     = 88 // where the first panel begins
	panelHeight  = 30 // of its title
	rowHeight    = 42
	barX         = 410
	barTrack     = 240
	barThickness = 16
	// lineShare is where in the track the line of the target stands. So a bar can show up to
	// 1/lineShare of what is asked for.
	lineShare = 0.6
)

// besides are the limits that stand beside a bar: their sum is what the machine does without
// Choreo.
var besides = map[string]struct {
	limits []string
	what   string
}{
	"real.sagas":              {[]string{"limits.business-sagas"}, "bare business statements"},
	"four.sagas":              {[]string{"limits.business-sagas"}, "bare business statements"},
	"embedded-postgres.sagas": {[]string{"limits.business-sagas"}, "bare business statements"},
	"real.hop-p50":            {[]string{"limits.step-idle-p50", "limits.kafka-record-p50"}, "bare transaction + bare record"},
	"real.saga-p50":           {[]string{"limits.business-saga-p50"}, "bare business statements"},
	"relay.rows":              {[]string{"limits.kafka-records"}, "bare kafka-go"},
}

type (
	chart struct {
		Width, Height int
		About         string
		Panels        []chartPanel
		FootY         int
	}
	chartPanel struct {
		Title string
		Y     int
		LineX string
		Rows  []chartRow
	}
	chartRow struct {
		What, Value, Target, Verdict, Beside, Class string
		// Beyond: the bar is longer than its track.
		Beyond                                      bool
		Y, TextY, BesideY, LimitY, LineTop, LineEnd int
		X, Track, EndX, ValueX, TargetX, VerdictX   int
		Bar, LineX, LimitX                          string
	}
)

// writeChart draws the bars of a report as SVG, each as a share of what is asked for.
func writeChart(w io.Writer, r *report) error {
	t, err := template.New("chart").Parse(chartText)
	if err != nil {
		return err
	}
	return t.Execute(w, layOut(r))
}

// layOut places all that is drawn.
func layOut(r *report) *chart {
	c := &chart{Width: chartWidth, About: fmt.Sprintf("%s on %s, %d cores, %s, median of %d",
		r.Go, r.System, r.Cores, r.At.Format("2006-01-02"), r.Sizes.Runs)}
	if r.Reduced {
		c.About += ", of less than the bars are set for"
	}
	y := chartTop
	for _, panel := range []struct {
		title  string
		atMost bool
	}{{"More is better: past the line is met", false}, {"Less is better: short of the line is met", true}} {
		p := chartPanel{Title: panel.title, Y: y, LineX: pixels(barX + lineShare*barTrack)}
		for i := range r.Bars {
			if f := &r.Bars[i]; f.Target.AtMost == panel.atMost {
				p.Rows = append(p.Rows, layOutRow(r, f, y+panelHeight/2+len(p.Rows)*rowHeight))
			}
		}
		if len(p.Rows) > 0 {
			c.Panels = append(c.Panels, p)
			y += panelHeight + len(p.Rows)*rowHeight + panelHeight/2
		}
	}
	c.FootY = y
	c.Height = y + 20
	return c
}

func layOutRow(r *report, f *figure, y int) chartRow {
	row := chartRow{
		What: f.What, Value: f.text(), Target: f.Target.text(f.Unit), Verdict: f.Target.verdict(),
		Class: "missed", Beyond: share(f.Value, f.Target) > 1,
		Y: y, TextY: y + 13, BesideY: y + 28, LimitY: y + barThickness/2 - 6, LineTop: y - 4, LineEnd: y + barThickness + 4,
		X: barX, Track: barTrack, EndX: barX + barTrack + 4, ValueX: barX + barTrack + 120, TargetX: barX + barTrack + 240,
		VerdictX: barX + barTrack + 258,
		Bar:      pixels(barTrack * min(share(f.Value, f.Target), 1)), LineX: pixels(barX + lineShare*barTrack),
	}
	if f.Target.Met {
		row.Class = "met"
	}
	if value, unit, ok := r.beside(f.Name); ok {
		row.Beside = besides[f.Name].what + ": " + amount(value, unit)
		row.LimitX = pixels(barX + barTrack*min(share(value, f.Target), 1))
	}
	return row
}

// share returns how much of the track a value takes.
func share(value float64, t *target) float64 { return lineShare * max(value, 0) / t.Value }

// beside returns what the machine does without Choreo, where a bar has such a thing and all of
// it was measured.
func (r *report) beside(name string) (value float64, unit string, ok bool) {
	for _, limit := range besides[name].limits {
		found := false
		for i := range r.Limits {
			if f := &r.Limits[i]; f.Name == limit {
				value, unit, found = value+f.Value, f.Unit, true
			}
		}
		if !found {
			return 0, "", false
		}
	}
	return value, unit, unit != ""
}

// pixels writes a length to a tenth of a pixel.
func pixels(x float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", math.Round(x*10)/10), ".0")
}
