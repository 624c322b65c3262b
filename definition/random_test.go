package definition_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
)

// drawDocument draws a valid document of up to 8 steps.
func drawDocument(t *rapid.T) *definition.Document {
	g := &generator{t: t, spec: choreo.Spec{
		Name:     name(t, "saga"),
		Version:  rapid.IntRange(1, 1000).Draw(t, "version"),
		Strategy: rapid.SampledFrom([]choreo.Strategy{choreo.ReverseOrder, choreo.ParallelOrder, choreo.BestEffort, choreo.CustomOrder}).Draw(t, "strategy"),
		Deadline: duration(t, "deadline"),
		Encoding: encoding(t),
		Input:    text(t, "input"),
	}}
	n := rapid.IntRange(1, 8).Draw(t, "steps")
	g.pivot = rapid.IntRange(-n, n-1).Draw(t, "pivot")
	for i := range n {
		g.step(i)
	}
	def, err := choreo.FromSpec(g.spec)
	if err != nil {
		t.Fatalf("the generator made a definition that does not hold: %v", err)
	}
	d := &definition.Document{Definition: def}
	g.payloads(d)
	return d
}

type generator struct {
	t     *rapid.T
	spec  choreo.Spec
	pivot int
}

// step draws step i. With a pivot the steps up to it make a chain and so do those after it:
// then none stands beside it.
func (g *generator) step(i int) {
	t := g.t
	s := choreo.StepDef{
		Name: fmt.Sprintf("%s-%d", name(t, "step"), i), Owner: name(t, "owner"),
		Output: text(t, "output"), Encoding: encoding(t),
		Timeout: duration(t, "timeout"), Retry: policy(t), UndoRetry: policy(t),
		Refusals: rapid.SliceOfNDistinct(rapid.StringN(1, 5, -1).Filter(valid), 0, 2, rapid.ID).Draw(t, "refusals"),
	}
	before := make([]string, i)
	for k := range before {
		before[k] = g.spec.Steps[k].Name
	}
	past := g.pivot >= 0 && i > g.pivot
	if g.pivot >= 0 && i > 0 {
		s.After = []string{before[i-1]}
	} else if i > 0 {
		s.After = some(t, before, "after")
	}
	s.Pivot = i == g.pivot
	if !s.Pivot {
		s.Optional = rapid.Bool().Draw(t, "optional")
		s.Condition = text(t, "condition")
	}
	s.NoCompensate = !s.Pivot && !past && rapid.Bool().Draw(t, "no compensation")
	if past {
		s.Refusals = nil
	} else if !s.Optional {
		s.CompensateIf = text(t, "filter")
	}
	ancestors := g.ancestors(s.After)
	s.Uses = some(t, ancestors, "uses")
	if !s.NoCompensate && !s.Pivot && !past {
		s.UndoUses = some(t, ancestors, "undo uses")
		if g.spec.Strategy == choreo.CustomOrder {
			s.UndoAfter = some(t, before, "undo after")
		}
	}
	if len(s.Refusals) == 0 {
		s.Refusals = nil
	}
	g.spec.Steps = append(g.spec.Steps, s)
}

func (g *generator) ancestors(after []string) []string {
	var all []string
	for _, name := range after {
		for _, s := range g.spec.Steps {
			if s.Name == name {
				all = append(append(all, name), g.ancestors(s.After)...)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// payloads gives some payloads schemas, and some steps views.
func (g *generator) payloads(d *definition.Document) {
	names := []string{d.Definition.InputName()}
	for _, s := range d.Definition.Steps() {
		names = append(names, s.Output)
	}
	slices.Sort(names)
	for i, name := range slices.Compact(names) {
		if name != "" && rapid.Bool().Draw(g.t, "has a schema") {
			d.Payloads = append(d.Payloads, drawPayload(g.t, name, fmt.Sprintf("file-%d", i)))
		}
	}
	for _, s := range d.Definition.Steps() {
		sources := d.Sources(s.Name)
		slices.Sort(sources)
		for _, of := range sources {
			if len(d.Payloads) > 0 && rapid.IntRange(0, 3).Draw(g.t, "has a view") == 0 {
				d.Views = append(d.Views, definition.View{Step: s.Name, Of: of, Payload: rapid.SampledFrom(d.Payloads).Draw(g.t, "view").Name})
			}
		}
	}
	slices.SortFunc(d.Views, func(a, b definition.View) int {
		return strings.Compare(a.Step+"\x00"+a.Of, b.Step+"\x00"+b.Of)
	})
}

// drawPayload draws a payload whose schema is a record of a few fields.
func drawPayload(t *rapid.T, name, file string) definition.Payload {
	var fields []string
	for i := range rapid.IntRange(0, 3).Draw(t, "fields") {
		fields = append(fields, fmt.Sprintf(`{"name": "f%d", "type": %q}`, i, rapid.SampledFrom([]string{"long", "string"}).Draw(t, "type")))
	}
	return definition.Payload{Name: name, File: file + ".avsc", Schema: schema.Schema{
		Kind: schema.Avro, Name: "R", Text: fmt.Sprintf(`{"type": "record", "name": "R", "fields": [%s]}`, strings.Join(fields, ", ")),
	}}
}

func some(t *rapid.T, of []string, label string) []string {
	var picked []string
	for _, name := range of {
		if rapid.Bool().Draw(t, label) {
			picked = append(picked, name)
		}
	}
	return picked
}

func name(t *rapid.T, label string) string {
	return rapid.StringMatching(`[a-z0-9]{1,8}(-[a-z0-9]{1,4}){0,2}`).Draw(t, label)
}

// text draws any text that YAML can hold, or none.
func text(t *rapid.T, label string) string {
	return rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[A-Z][a-z]{1,9}`), rapid.SampledFrom([]string{"yes", "NULL", "1e3", "a: b", "- x", "#", "~", "\"", "\u2028", "\x00\x7f", "\ufeff"}),
		rapid.String().Filter(valid)).Draw(t, label)
}

func valid(s string) bool { return strings.ToValidUTF8(s, "") == s }

func encoding(t *rapid.T) choreo.MediaType {
	return rapid.SampledFrom([]choreo.MediaType{"", choreo.JSON, choreo.Avro, choreo.Protobuf, "application/vnd.x+json; v=1"}).Draw(t, "encoding")
}

func duration(t *rapid.T, label string) time.Duration {
	unit := rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(t, label+" unit")
	return time.Duration(rapid.IntRange(0, 100).Draw(t, label)) * unit
}

func policy(t *rapid.T) choreo.RetryPolicy {
	if rapid.Bool().Draw(t, "default policy") {
		return choreo.RetryPolicy{}
	}
	return choreo.RetryPolicy{
		Backoff: rapid.SampledFrom([]choreo.Backoff{
			choreo.BackoffNone, choreo.BackoffFixed, choreo.BackoffLinear, choreo.BackoffExponential,
		}).Draw(t, "backoff"),
		Attempts: rapid.IntRange(1, 100).Draw(t, "attempts"),
		Initial:  duration(t, "initial"), Max: duration(t, "max"),
		Factor: rapid.SampledFrom([]float64{1, 1.5, 2, 1e6, 1.0000000001}).Draw(t, "factor"),
		Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
	}
}
