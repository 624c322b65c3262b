package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Kind says what an edge stands for.
type Kind string

// The kinds of edges.
const (
	// Start leads from the start of the saga to the steps that wait for nothing.
	Start Kind = "start"
	// After leads from a step to one that waits for it.
	After Kind = "after"
	// Uses leads from a step to a later one that reads its output besides its own input.
	Uses Kind = "uses"
	// UndoUses leads from a step to a later one whose compensation reads its output.
	UndoUses Kind = "undo-uses"
	// Undo leads from a step to the one that is undone once that is settled.
	Undo Kind = "undo"
)

// link is an edge before it has a place: steps are indices, the start is -1.
type link struct {
	kind     Kind
	from, to int
	payload  string
}

// model is what all pictures show of a definition.
type model struct {
	def      *choreo.Definition
	steps    []choreo.StepDef
	index    map[string]int
	services []string
	links    []link // in the order of their targets
	pivot    int    // -1 without one
	past     []bool // beyond the pivot
	undoable []bool // has a compensation
	timeout  time.Duration
}

func newModel(saga choreo.AnySaga) *model {
	def := saga.Def()
	m := &model{def: def, steps: def.Steps(), services: def.Services(), pivot: -1}
	m.index = make(map[string]int, len(m.steps))
	m.past = make([]bool, len(m.steps))
	m.undoable = make([]bool, len(m.steps))
	for i := range m.steps {
		s := &m.steps[i]
		m.index[s.Name] = i
		m.undoable[i] = def.Compensates(s.Name)
		m.past[i] = slices.ContainsFunc(s.After, func(name string) bool {
			d := m.index[name] // before i: the steps are sorted
			return m.past[d] || d == m.pivot
		})
		if s.Pivot {
			m.pivot = i
		}
	}
	m.timeout = m.commonTimeout()
	for i := range m.steps {
		m.addLinks(i)
	}
	return m
}

func (m *model) addLinks(i int) {
	s := &m.steps[i]
	if len(s.After) == 0 {
		m.links = append(m.links, link{Start, -1, i, m.def.InputName()})
	}
	add := func(kind Kind, names []string, except ...[]string) {
		for _, name := range names {
			if !slices.ContainsFunc(except, func(l []string) bool { return slices.Contains(l, name) }) {
				from := m.index[name]
				m.links = append(m.links, link{kind, from, i, m.steps[from].Output})
			}
		}
	}
	add(After, s.After)
	add(Uses, s.Uses, s.After) // what it waits for it gets anyway
	add(UndoUses, s.UndoUses, s.After, s.Uses)
	for _, name := range m.undoWaits(i) {
		if from := m.index[name]; !m.past[i] && i != m.pivot && !m.past[from] && from != m.pivot {
			m.links = append(m.links, link{Undo, from, i, ""})
		}
	}
}

// undoWaits returns the steps that are settled before a step is undone.
func (m *model) undoWaits(i int) []string {
	switch m.def.Strategy() {
	case choreo.ReverseOrder, choreo.BestEffort:
		return m.def.Dependents(m.steps[i].Name)
	case choreo.CustomOrder:
		return m.steps[i].UndoAfter
	case choreo.ParallelOrder:
	}
	return nil
}

// mirrored reports whether compensations run along the same edges as the steps.
func (m *model) mirrored() bool {
	s := m.def.Strategy()
	return s == choreo.ReverseOrder || s == choreo.BestEffort
}

// undoLinks returns the order among the steps that have a compensation: one that has
// nothing to undo passes on that it is settled.
func (m *model) undoLinks() [][2]int {
	waits := make([][]int, len(m.steps))
	for _, l := range m.links {
		if l.kind == Undo {
			waits[l.to] = append(waits[l.to], l.from)
		}
	}
	var links [][2]int
	for i := range m.steps {
		if !m.undoable[i] {
			continue
		}
		seen := make([]bool, len(m.steps))
		queue := slices.Clone(waits[i])
		for len(queue) > 0 {
			k := queue[0]
			queue = queue[1:]
			switch {
			case seen[k]:
			case m.undoable[k]:
				links = append(links, [2]int{k, i})
			default:
				queue = append(queue, waits[k]...)
			}
			seen[k] = true
		}
	}
	slices.SortFunc(links, func(a, b [2]int) int {
		return cmp.Or(cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0]))
	})
	return links
}

// commonTimeout returns the timeout that all steps share, else 0.
func (m *model) commonTimeout() time.Duration {
	if len(m.steps) < 2 {
		return 0
	}
	for i := range m.steps {
		if m.steps[i].Timeout != m.steps[0].Timeout {
			return 0
		}
	}
	return m.steps[0].Timeout
}

// caption says of the whole saga what no step says.
func (m *model) caption() string {
	parts := []string{"no deadline"}
	if d := m.def.Deadline(); d > 0 {
		parts[0] = "deadline " + short(d)
	}
	if m.timeout > 0 {
		parts = append(parts, "timeout "+short(m.timeout)+" an attempt")
	}
	parts = append(parts, map[choreo.Strategy]string{
		choreo.ReverseOrder:  "undone in reverse order",
		choreo.ParallelOrder: "undone in parallel",
		choreo.BestEffort:    "undone in reverse order, as far as it goes",
		choreo.CustomOrder:   "undone in an order of its own",
	}[m.def.Strategy()])
	if e := m.def.EncodingOf(""); e != "" {
		parts = append(parts, encodingName(e))
	}
	return strings.Join(parts, " · ")
}

// marks says what is special about a step, a mark an element, and is the same in all pictures.
func (m *model) marks(i int) []string {
	s := &m.steps[i]
	var marks []string
	if i == m.pivot {
		marks = append(marks, "pivot: no way back")
	}
	if s.Optional {
		marks = append(marks, "optional")
	}
	if s.Condition != "" {
		marks = append(marks, "when "+s.Condition)
	}
	if s.CompensateIf != "" {
		marks = append(marks, "undo only when "+s.CompensateIf)
	}
	if !m.undoable[i] && !m.past[i] && i != m.pivot {
		marks = append(marks, "nothing to undo")
	}
	return marks
}

// owner says who runs a step, and with which settings of its own.
func (m *model) owner(i int) string {
	s := &m.steps[i]
	parts := []string{s.Owner}
	if s.Timeout > 0 && m.timeout == 0 {
		parts = append(parts, short(s.Timeout))
	}
	if s.Encoding != "" && s.Encoding != m.def.EncodingOf("") {
		parts = append(parts, encodingName(s.Encoding))
	}
	return strings.Join(parts, " · ")
}

// sentence says everything about a step in words.
func (m *model) sentence(i int) string {
	s := &m.steps[i]
	var b strings.Builder
	fmt.Fprintf(&b, "%s is run by %s", s.Name, s.Owner)
	if len(s.After) == 0 {
		b.WriteString(" when the saga starts")
	} else {
		b.WriteString(" after " + strings.Join(s.After, ", "))
	}
	if s.Output != "" {
		b.WriteString(", gives " + s.Output)
	}
	if len(s.Uses) > 0 {
		b.WriteString(", reads also what " + strings.Join(s.Uses, ", ") + " gave")
	}
	if len(s.UndoUses) > 0 {
		b.WriteString(", is undone with what " + strings.Join(s.UndoUses, ", ") + " gave")
	}
	if s.Timeout > 0 {
		b.WriteString(", has " + short(s.Timeout) + " an attempt")
	}
	if m.past[i] {
		b.WriteString(", lies past the pivot")
	}
	for _, mark := range m.marks(i) {
		b.WriteString("; " + mark)
	}
	if len(s.Refusals) > 0 {
		b.WriteString("; may refuse with " + strings.Join(s.Refusals, ", "))
	}
	b.WriteString(".")
	return b.String()
}

// serviceOf returns the position of a step's owner among the services.
func (m *model) serviceOf(i int) int {
	n, _ := slices.BinarySearch(m.services, m.steps[i].Owner)
	return n
}

func encodingName(e choreo.MediaType) string {
	switch e {
	case choreo.JSON:
		return "JSON"
	case choreo.Avro:
		return "Avro"
	case choreo.Protobuf:
		return "Protobuf"
	}
	return string(e)
}

// short is a duration without the units that are zero: 30m, not 30m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// clip shortens free text to a number of runes and leaves no line breaks or other control
// characters in it.
func clip(s string, limit int) string {
	runes := []rune(s)
	if len(runes) > limit {
		runes = append(runes[:limit-1], '…')
	}
	for i, r := range runes {
		runes[i] = printable(r)
	}
	return string(runes)
}

// printable keeps a rune that XML and a line of text may hold, and that cannot turn the
// direction of the text after it.
func printable(r rune) rune {
	switch {
	case r == '\t' || r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029':
		return ' '
	case r < ' ' || r >= 0x7F && r < 0xA0 || r == 0xFFFE || r == 0xFFFF ||
		r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069':
		return '\uFFFD'
	}
	return r
}
