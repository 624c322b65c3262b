package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// writeTable writes the report for people.
func (r *report) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(r.Bars) > 0 {
		fmt.Fprintln(t, "bar\tis\tasked for\t")
		for i := range r.Bars {
			f := &r.Bars[i]
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.What, f.text(), f.Target.text(f.Unit), f.Target.verdict())
		}
	}
	for _, list := range []struct {
		title   string
		figures []figure
	}{{"details", r.Details}, {"limits of the machine, in the same run", r.Limits}} {
		if len(list.figures) == 0 {
			continue
		}
		fmt.Fprintf(t, "\n%s\n", list.title)
		for i := range list.figures {
			fmt.Fprintf(t, "%s\t%s\n", list.figures[i].What, list.figures[i].text())
		}
	}
	if r.Reduced {
		fmt.Fprint(t, "\nLess was measured than the bars are set for: see --help for the sizes.\n")
	}
	return t.Flush()
}

func (f *figure) text() string { return amount(f.Value, f.Unit) }

func (t *target) text(unit string) string {
	sign := "≥ "
	switch {
	case t.Value == none && t.AtMost:
		return "0"
	case t.AtMost:
		sign = "≤ "
	}
	return sign + amount(t.Value, unit)
}

// verdict says in a word whether the target is met.
func (t *target) verdict() string {
	switch {
	case t.Met && t.Goal:
		return "reached"
	case t.Met:
		return "met"
	case t.Goal:
		return "not yet"
	default:
		return "missed"
	}
}

// amount writes a value with its unit, to as many digits as say something.
func amount(value float64, unit string) string {
	digits := 0
	switch size := math.Abs(value); {
	case value == math.Trunc(value):
	case size < 0.1:
		digits = 4
	case size < 10:
		digits = 2
	case size < 100:
		digits = 1
	}
	text := grouped(strconv.FormatFloat(value, 'f', digits, 64))
	switch {
	case unit == "":
		return text
	case unit == perSecond, unit == ratio:
		return text + unit
	default:
		return text + " " + unit
	}
}

// grouped puts commas between the thousands of a number.
func grouped(number string) string {
	whole, fraction, _ := strings.Cut(number, ".")
	first := 0
	if strings.HasPrefix(whole, "-") {
		first = 1
	}
	for i := len(whole) - 3; i > first; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole
}
