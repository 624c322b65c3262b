package choreo

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// DefinitionError names every fault of a definition.
type DefinitionError struct {
	Definition string // name/version
	Faults     []Fault
}

// Fault is one fault of a definition.
type Fault struct {
	Code string // stable, for programs: "cycle"
	Step string // empty where the whole definition is meant
	Text string // what is wrong and what would mend it
}

func (e *DefinitionError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "saga %s has %d fault(s):", e.Definition, len(e.Faults))
	for _, f := range e.Faults {
		b.WriteString("\n  - ")
		if f.Step != "" {
			fmt.Fprintf(&b, "step %q: ", f.Step)
		}
		fmt.Fprintf(&b, "%s [%s]", f.Text, f.Code)
	}
	return b.String()
}

// graph holds what is derived from the steps, as indices into Definition.steps.
type graph struct {
	pivot       int // -1 without one
	sinks       []int
	deps        [][]int
	dependents  [][]int
	descendants [][]int // without the step itself
	carried     [][]int
}

// name is what Kafka topics, CloudEvents and shells all take without quoting.
var namePattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

const maxName = 80 // bytes: leaves room in a topic name of at most 249

type checker struct {
	d       *Definition
	faults  []Fault
	unsound bool // the steps make no graph, so that nothing can be said about it
}

func (c *checker) fault(code, step, format string, args ...any) {
	c.faults = append(c.faults, Fault{Code: code, Step: step, Text: fmt.Sprintf(format, args...)})
}

// finish checks the definition, derives its graph and fills in defaults. The functions
// of bindings are in the steps already.
func (d *Definition) finish(bindings ...Binding) error {
	c := &checker{d: d}
	c.names()
	c.bindings(bindings)
	c.payloads()
	c.references()
	c.settings()
	c.kinds()
	if !c.unsound && c.sort() {
		d.derive()
		c.pivot()
		c.data()
		c.order()
	}
	if len(c.faults) > 0 {
		return &DefinitionError{Definition: d.String(), Faults: c.faults}
	}
	for i := range d.steps {
		d.steps[i].fillIn()
	}
	return nil
}

// fillIn sets the retry policies that were left out.
func (s *StepDef) fillIn() {
	if s.Retry.isZero() {
		s.Retry = DefaultRetry()
	}
	if s.UndoRetry.isZero() {
		s.UndoRetry = s.Retry
		if s.UndoRetry.Backoff == BackoffNone {
			s.UndoRetry = DefaultRetry()
		}
		s.UndoRetry.Attempts = max(s.UndoRetry.Attempts, 10)
	}
}

func (c *checker) name(step, what, name string) {
	switch {
	case !namePattern.MatchString(name):
		c.fault("name", step, "%s %q: use lower-case letters and digits in words joined by '-'", what, name)
	case len(name) > maxName:
		c.fault("name", step, "%s is %d characters long: at most %d", what, len(name), maxName)
	}
}

func (c *checker) names() {
	d := c.d
	c.name("", "saga name", d.name)
	if d.version < 1 {
		c.fault("version", "", "version %d: versions start at 1", d.version)
	}
	if len(d.steps) == 0 {
		c.fault("no-steps", "", "a saga needs at least one step")
	}
	d.index = make(map[string]int, len(d.steps))
	for i := range d.steps {
		s := &d.steps[i]
		c.name(s.Name, "step name", s.Name)
		if s.Owner == "" {
			c.fault("no-owner", s.Name, "nobody owns it: name a service in OwnedBy")
		} else {
			c.name(s.Name, "owner", s.Owner)
		}
		if _, twice := d.index[s.Name]; twice {
			c.fault("duplicate-step", s.Name, "defined twice: step names are unique within a saga")
			c.unsound = true
		}
		d.index[s.Name] = i
	}
}

func (c *checker) references() {
	before := len(c.faults)
	defer func() { c.unsound = c.unsound || len(c.faults) > before }()
	for i := range c.d.steps {
		s := &c.d.steps[i]
		lists := []struct {
			what  string
			names []string
		}{{"After", s.After}, {"Uses", s.Uses}, {"UndoUses", s.UndoUses}, {"UndoAfter", s.UndoAfter}}
		for _, l := range lists {
			for n, name := range l.names {
				if _, ok := c.d.index[name]; !ok {
					c.fault("unknown-step", s.Name, "%s names %q, which this saga does not have", l.what, name)
				}
				if name == s.Name {
					c.fault("cycle", s.Name, "%s names the step itself", l.what)
				}
				if slices.Contains(l.names[:n], name) {
					c.fault("duplicate-reference", s.Name, "%s names %q twice", l.what, name)
				}
			}
		}
	}
}

// sort puts the steps into topological order, keeping the given order where it can.
func (c *checker) sort() bool {
	d := c.d
	sorted := make([]StepDef, 0, len(d.steps))
	index := make(map[string]int, len(d.steps))
	for len(sorted) < len(d.steps) {
		before := len(sorted)
		for i := range d.steps {
			s := &d.steps[i]
			_, placed := index[s.Name]
			waits := slices.ContainsFunc(s.After, func(n string) bool { _, ok := index[n]; return !ok })
			if !placed && !waits {
				index[s.Name] = len(sorted)
				sorted = append(sorted, *s)
				break // from the front again: the given order is kept
			}
		}
		if len(sorted) == before {
			var left []string
			for i := range d.steps {
				if _, ok := index[d.steps[i].Name]; !ok {
					left = append(left, d.steps[i].Name)
				}
			}
			c.fault("cycle", "", "these steps wait for each other in a circle: %s", strings.Join(left, ", "))
			return false
		}
	}
	d.steps, d.index = sorted, index
	return true
}

// derive computes the graph of sorted steps.
func (d *Definition) derive() {
	n := len(d.steps)
	g := graph{
		pivot: -1, deps: make([][]int, n), dependents: make([][]int, n),
		descendants: make([][]int, n), carried: make([][]int, n),
	}
	for i := range d.steps {
		if d.steps[i].Pivot {
			g.pivot = i
		}
		for _, name := range d.steps[i].After {
			dep := d.index[name]
			g.deps[i] = append(g.deps[i], dep)
			g.dependents[dep] = append(g.dependents[dep], i)
		}
	}
	for i := n - 1; i >= 0; i-- {
		for _, k := range g.dependents[i] {
			g.descendants[i] = append(append(g.descendants[i], k), g.descendants[k]...)
		}
		slices.Sort(g.descendants[i])
		g.descendants[i] = slices.Compact(g.descendants[i])
		if len(g.dependents[i]) == 0 {
			g.sinks = append(g.sinks, i)
		}
	}
	slices.Sort(g.sinks)
	// Completed(s) passes u on where s lies between u and a reader of u.
	for reader := range d.steps {
		for _, name := range d.steps[reader].Reads() {
			u := d.index[name]
			if slices.Contains(g.deps[reader], u) {
				continue
			}
			for _, s := range g.descendants[u] {
				if slices.Contains(g.descendants[s], reader) && !slices.Contains(g.carried[s], u) {
					g.carried[s] = append(g.carried[s], u)
				}
			}
		}
	}
	d.graph = g
}

// kinds checks what makes no sense together, whatever the graph.
func (c *checker) kinds() {
	d := c.d
	switch d.strategy {
	case ReverseOrder, ParallelOrder, BestEffort, CustomOrder:
	default:
		c.fault("strategy", "", "unknown compensation strategy %q: use reverse, parallel, best-effort or custom", d.strategy)
	}
	var pivots []string
	for i := range d.steps {
		s := &d.steps[i]
		if s.Pivot {
			pivots = append(pivots, s.Name)
			c.pivotKind(s)
		}
		fromGo := s.In != nil
		switch {
		case s.Condition == "" && s.when != nil:
			c.fault("condition", s.Name, "When needs a name: it stands for the condition in exports")
		case s.Condition != "" && s.when == nil && fromGo:
			c.fault("condition", s.Name, "When %q has no function: nothing could decide it", s.Condition)
		}
		switch {
		case s.CompensateIf == "" && s.compensateErr != nil:
			c.fault("compensate-when", s.Name, "CompensateWhen needs a name: it stands for the filter in exports")
		case s.CompensateIf != "" && s.compensateErr == nil && fromGo:
			c.fault("compensate-when", s.Name, "CompensateWhen %q has no function: nothing could decide it", s.CompensateIf)
		case s.CompensateIf != "" && s.Optional:
			c.fault("compensate-when", s.Name, "an optional step never fails: CompensateWhen has no meaning there")
		}
		switch {
		case s.UndoAfter == nil:
		case d.strategy != CustomOrder:
			c.fault("undo-after", s.Name, "UndoAfter needs choreo.Compensation(choreo.CustomOrder)")
		case s.NoCompensate:
			c.fault("undo-after", s.Name, "it has UndoAfter but NoCompensation: drop one of the two")
		}
		if s.UndoUses != nil && (s.NoCompensate || s.Pivot) {
			c.fault("undo-data", s.Name, "it has UndoUses but is never compensated: name in Uses what Execute reads")
		}
	}
	if len(pivots) > 1 {
		c.fault("pivots", "", "%s are all pivots: a saga has at most one", strings.Join(pivots, ", "))
		c.unsound = true
	}
}

func (c *checker) pivotKind(s *StepDef) {
	if s.Optional {
		c.fault("pivot", s.Name, "the pivot cannot be optional: its completion is what commits the saga")
	}
	if s.Condition != "" {
		c.fault("pivot", s.Name, "the pivot cannot have a condition: its completion is what commits the saga")
	}
	if s.UndoAfter != nil {
		c.fault("undo-after", s.Name, "the pivot is never undone: UndoAfter has no meaning there")
	}
}

// payloads checks that a name stands for one Go type, and a code of refusal for one refusal.
func (c *checker) payloads() {
	d := c.d
	types := map[string]reflect.Type{d.inputName: d.input}
	for i := range d.steps {
		s := &d.steps[i]
		if known, ok := types[s.Output]; s.Output == "" || s.Out == nil {
			continue
		} else if ok && known != nil && known != s.Out {
			c.fault("payload-name", s.Name, "%q is the name of both %v and %v: call one differently by OutputName or choreo.InputName",
				s.Output, known, s.Out)
		}
		types[s.Output] = s.Out
	}
	for i := range d.steps {
		s := &d.steps[i]
		for n, code := range s.Refusals {
			if code == "" || slices.Contains(s.Refusals[:n], code) {
				c.fault("refusals", s.Name, "Refuses names the code %q twice, or an empty one", code)
			}
		}
	}
}

// pivot checks where the other steps stand to the pivot.
func (c *checker) pivot() {
	d := c.d
	p := d.graph.pivot
	if p < 0 {
		return
	}
	name := d.steps[p].Name
	for i := range d.steps {
		s := &d.steps[i]
		past := slices.Contains(d.graph.descendants[p], i)
		if i != p && !past && !slices.Contains(d.graph.descendants[i], p) {
			c.fault("beside-pivot", s.Name,
				"it runs beside the pivot %q: let it come before or after it, so that it is known whether it can still be undone", name)
		}
		if past && s.CompensateIf != "" {
			c.fault("past-pivot", s.Name, "it comes after the pivot %q and never fails: CompensateWhen has no meaning there", name)
		}
		if past && len(s.Refusals) > 0 {
			c.fault("past-pivot", s.Name, "it comes after the pivot %q and cannot refuse (%s): let it come before the pivot, or never refuse",
				name, strings.Join(s.Refusals, ", "))
		}
		if past && s.UndoUses != nil {
			c.fault("past-pivot", s.Name, "it comes after the pivot %q and is never undone: UndoUses has no meaning there", name)
		}
		if past && s.UndoAfter != nil {
			c.fault("past-pivot", s.Name, "it comes after the pivot %q and is never undone: UndoAfter has no meaning there", name)
		}
	}
}

// joinType is the input of a step that waits for several.
var joinType = reflect.TypeFor[Join]()

func (c *checker) data() {
	d := c.d
	for i := range d.steps {
		s := &d.steps[i]
		for _, name := range s.Uses {
			if u := d.index[name]; !slices.Contains(d.graph.descendants[u], i) {
				c.fault("uses", s.Name, "Uses names %q, which does not come before it: its output may not exist yet", name)
			}
		}
		for _, name := range s.UndoUses {
			if u := d.index[name]; !slices.Contains(d.graph.descendants[u], i) {
				c.fault("undo-data", s.Name, "UndoUses names %q, which does not come before it: nobody carries its output here", name)
			}
		}
		if s.In == nil {
			continue
		}
		switch want, why := d.inputOf(s); {
		case want == s.In || want == nil:
		default:
			c.fault("type", s.Name, "its input is %v but %s: make it %v", s.In, why, want)
		}
	}
}

// inputOf returns the type that a step's input must have, and why.
func (d *Definition) inputOf(s *StepDef) (reflect.Type, string) {
	switch len(s.After) {
	case 0:
		return d.input, "it waits for nothing and so gets the saga's input"
	case 1:
		dep := d.Step(s.After[0])
		if dep.mayBeBypassed() {
			return joinType, fmt.Sprintf("%q may be bypassed and then has no output", dep.Name)
		}
		return dep.Out, fmt.Sprintf("it gets the output of %q", dep.Name)
	}
	return joinType, "it waits for several steps"
}

// order checks the graph of a custom order of compensation.
func (c *checker) order() {
	d := c.d
	if d.strategy != CustomOrder {
		return
	}
	done := make(map[string]bool, len(d.steps))
	for progress := true; progress; {
		progress = false
		for i := range d.steps {
			s := &d.steps[i]
			if !done[s.Name] && !slices.ContainsFunc(s.UndoAfter, func(n string) bool { return !done[n] }) {
				done[s.Name], progress = true, true
			}
		}
	}
	for i := range d.steps {
		s := &d.steps[i]
		if !done[s.Name] {
			c.fault("undo-cycle", s.Name, "its UndoAfter leads into a circle: neither it nor a step of the circle could ever be undone")
		}
		for _, n := range s.UndoAfter {
			if d.pastPivot(n) {
				c.fault("undo-after", s.Name, "UndoAfter names %q, which comes after the pivot and is never undone", n)
			}
		}
	}
}

func (c *checker) settings() {
	d := c.d
	if d.deadline < 0 {
		c.fault("deadline", "", "deadline %v: use a positive duration, or 0 for none", d.deadline)
	}
	for i := range d.steps {
		s := &d.steps[i]
		if s.Timeout < 0 {
			c.fault("timeout", s.Name, "timeout %v: use a positive duration, or 0 for none", s.Timeout)
		}
		if !s.Retry.isZero() {
			for _, text := range s.Retry.faults() {
				c.fault("retry", s.Name, "%s", text)
			}
		}
		if !s.UndoRetry.isZero() {
			for _, text := range s.UndoRetry.faults() {
				c.fault("retry", s.Name, "undo %s", text)
			}
		}
	}
}
