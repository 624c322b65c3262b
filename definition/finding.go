package definition

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Code names a kind of [Finding] or [Change]. Codes are stable; the package's documentation lists
// them.
type Code string

// Severity says how bad a [Finding] is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // it cannot work: nothing should start
	Warning Severity = "warning" // it works, but hardly as it is meant to
	Info    Severity = "info"    // good to know
)

// Finding is one thing that [Lint] or [Compare] has to say, or one fault of a file. Its JSON
// form is stable.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Definition is "name/version"; empty where the file could not be read so far.
	Definition string `json:"definition,omitempty"`
	Step       string `json:"step,omitempty"` // empty: the whole definition is meant
	// File, Line and Column tell the place in YAML, lines and columns from 1; empty and 0 for what
	// was made from Go.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Reason string `json:"reason"`  // what is wrong, and why
	WayOut string `json:"way_out"` // what would mend it
}

// String returns the finding on one line.
func (f *Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
		}
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s: ", f.Severity)
	if f.Definition != "" {
		fmt.Fprintf(&b, "saga %s: ", f.Definition)
	}
	if f.Step != "" {
		fmt.Fprintf(&b, "step %q: ", f.Step)
	}
	fmt.Fprintf(&b, "%s [%s]: %s", f.Reason, f.Code, f.WayOut)
	return b.String()
}

// FaultsError is what keeps a file from being a document: every fault, not only the first.
type FaultsError struct{ Findings []Finding }

func (e *FaultsError) Error() string {
	lines := make([]string, 0, len(e.Findings)+1)
	lines = append(lines, fmt.Sprintf("definition: %d fault(s):", len(e.Findings)))
	for i := range e.Findings {
		lines = append(lines, "  "+e.Findings[i].String())
	}
	return strings.Join(lines, "\n")
}

// Worst returns the highest severity among findings, "" where there are none.
func Worst(findings []Finding) Severity {
	var worst Severity
	for i := range findings {
		if worst == "" || rank(findings[i].Severity) < rank(worst) {
			worst = findings[i].Severity
		}
	}
	return worst
}

// EncodeFindings returns the JSON form of findings: an array, "[]" where there are none.
func EncodeFindings(findings []Finding) ([]byte, error) {
	if findings == nil {
		findings = []Finding{}
	}
	return json.MarshalIndent(findings, "", "  ")
}

func rank(s Severity) int { return slices.Index([]Severity{Error, Warning, Info}, s) }

// sortFindings puts findings in the order of a reader: by definition and place, the worst first
// where one place has several.
func sortFindings(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			strings.Compare(a.File, b.File), strings.Compare(a.Definition, b.Definition),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(rank(a.Severity), rank(b.Severity)), strings.Compare(a.Step, b.Step),
			strings.Compare(string(a.Code), string(b.Code)), strings.Compare(a.Reason, b.Reason),
		)
	})
}
