package compat

import (
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/schema"
)

// Direction says who cannot read whom.
type Direction string

// The directions. A problem of [CanRead] has none: there neither schema is the newer.
const (
	Backwards Direction = "backward" // the new schema reads what an earlier one wrote
	Forwards  Direction = "forward"  // an earlier schema reads what the new one writes
)

// Severity says how bad a problem is.
type Severity string

// The severities.
const (
	// Error: something that may be written cannot be read.
	Error Severity = "error"
	// Warning: it can be read, but may mean something else, or a later change may break it.
	Warning Severity = "warning"
)

// Code names a kind of problem; the package's documentation lists them. Codes are stable.
type Code string

// Problem is one breach.
type Problem struct {
	Severity  Severity
	Direction Direction
	// Path leads to the part at fault: "Order.lines[].price".
	Path string
	Code Code
	// Text is a sentence that says what is wrong, Remedy one that says what would mend it.
	Text, Remedy string
	// Against is the position of the earlier schema among those that were handed to Check.
	Against int
}

// String returns the problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", p.Severity)
	if p.Direction != "" {
		fmt.Fprintf(&b, "%s, against earlier schema %d: ", p.Direction, p.Against+1)
	}
	fmt.Fprintf(&b, "%s: %s (%s): %s", p.Path, p.Text, p.Code, p.Remedy)
	return b.String()
}

// Report is what [Mode.Check] found.
type Report struct {
	Mode     Mode
	Name     string // of the new schema
	Problems []Problem
}

// Compatible says whether no problem is an [Error].
func (r Report) Compatible() bool { return len(r.errors()) == 0 }

func (r Report) errors() []Problem {
	var errs []Problem
	for _, p := range r.Problems {
		if p.Severity == Error {
			errs = append(errs, p)
		}
	}
	return errs
}

// Err returns nil where the schemas are compatible, else an error that wraps
// [schema.ErrIncompatible] and names every problem of severity [Error].
func (r Report) Err() error {
	errs := r.errors()
	if len(errs) == 0 {
		return nil
	}
	lines := make([]string, 0, len(errs))
	for _, p := range errs {
		lines = append(lines, p.String())
	}
	return fmt.Errorf("compat: %w: %s breaks mode %s:\n%s", schema.ErrIncompatible, nameOr(r.Name, "the new schema"), r.Mode, strings.Join(lines, "\n"))
}

func nameOr(name, other string) string {
	if name == "" {
		return other
	}
	return name
}
