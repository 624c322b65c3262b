package compat

import (
	"errors"
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/schema"
)

// Mode is what must hold between a new schema and earlier ones. Its string is that of
// Confluent's registry.
type Mode string

// The modes.
const (
	None               Mode = "NONE"                // nothing
	Backward           Mode = "BACKWARD"            // the new schema reads what the last one wrote
	BackwardTransitive Mode = "BACKWARD_TRANSITIVE" // the new schema reads what all earlier ones wrote
	Forward            Mode = "FORWARD"             // the last schema reads what the new one writes
	ForwardTransitive  Mode = "FORWARD_TRANSITIVE"  // all earlier schemas read what the new one writes
	Full               Mode = "FULL"                // Backward and Forward
	FullTransitive     Mode = "FULL_TRANSITIVE"     // BackwardTransitive and ForwardTransitive
)

// Modes returns all modes, from the loosest on.
func Modes() []Mode {
	return []Mode{None, Backward, BackwardTransitive, Forward, ForwardTransitive, Full, FullTransitive}
}

// ParseMode reads the name of a mode, in either case, with "-" as good as "_".
func ParseMode(name string) (Mode, error) {
	want := Mode(strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(name), "-", "_")))
	if err := want.check(); err != nil {
		return "", fmt.Errorf("compat: mode %q is unknown: choose one of %s", name, modeNames())
	}
	return want, nil
}

func modeNames() string {
	names := make([]string, 0, len(Modes()))
	for _, mode := range Modes() {
		names = append(names, string(mode))
	}
	return strings.Join(names, ", ")
}

var errMode = errors.New("unknown mode")

func (m Mode) check() error {
	for _, mode := range Modes() {
		if m == mode {
			return nil
		}
	}
	return errMode
}

func (m Mode) backward() bool {
	return m == Backward || m == BackwardTransitive || m == Full || m == FullTransitive
}

func (m Mode) forward() bool {
	return m == Forward || m == ForwardTransitive || m == Full || m == FullTransitive
}

func (m Mode) transitive() bool {
	return m == BackwardTransitive || m == ForwardTransitive || m == FullTransitive
}

// Check finds all that the mode forbids between a schema and the earlier ones, oldest first as
// a registry has them: the last alone, or, where the mode is transitive, all. The error says
// which schema cannot be understood; breaches of the mode are in the [Report].
func (m Mode) Check(next schema.Schema, earlier ...schema.Schema) (Report, error) {
	if err := m.check(); err != nil {
		return Report{}, fmt.Errorf("compat: mode %q is unknown: choose one of %s", m, modeNames())
	}
	report := Report{Mode: m, Name: next.Name}
	if m == None {
		return report, nil
	}
	first := 0
	if !m.transitive() {
		first = max(0, len(earlier)-1)
	}
	parsed, err := parse(next, "the new schema")
	if err != nil {
		return Report{}, err
	}
	for against := first; against < len(earlier); against++ {
		before, err := parse(earlier[against], fmt.Sprintf("earlier schema %d", against+1))
		if err != nil {
			return Report{}, err
		}
		for _, direction := range []Direction{Backwards, Forwards} {
			if direction == Backwards && !m.backward() || direction == Forwards && !m.forward() {
				continue
			}
			f := &finder{direction: direction, against: against}
			if direction == Backwards {
				err = f.compare(parsed, before)
			} else {
				err = f.compare(before, parsed)
			}
			if err != nil {
				return Report{}, err
			}
			report.Problems = append(report.Problems, f.found()...)
		}
	}
	return report, nil
}

// CanRead finds all that keeps who reads by one schema from reading what was written by
// another. No problem of severity [Error]: it can be read.
func CanRead(reader, writer schema.Schema) ([]Problem, error) {
	r, err := parse(reader, "the reader's schema")
	if err != nil {
		return nil, err
	}
	w, err := parse(writer, "the writer's schema")
	if err != nil {
		return nil, err
	}
	f := &finder{}
	if err := f.compare(r, w); err != nil {
		return nil, err
	}
	return f.found(), nil
}
