package definition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// Document is a definition with the schemas of its payloads. It is not changed once it is
// made, and is safe for concurrent use.
type Document struct {
	Definition *choreo.Definition
	// File is the YAML file that it was read from; empty for what was made from Go.
	File string
	// Payloads are sorted by name.
	Payloads []Payload
	// Views are the payloads that steps read by another schema than their writer's, sorted by
	// step and source.
	Views []View

	places map[string]Place
}

// Def returns the definition: a Document may stand wherever a [choreo.AnySaga] may.
func (d *Document) Def() *choreo.Definition { return d.Definition }

// Payload is a named payload: [choreo.StepDef.Output], [choreo.Definition.InputName], or what
// a [View] reads.
type Payload struct {
	Name string
	// File is where the schema stands, relative to the document's file; empty where there
	// is none.
	File string
	// Imports are the files of Schema.References, relative to the document's file.
	Imports []string
	// Schema is empty where the payload has none. After [Parse] its text is missing.
	Schema schema.Schema
}

// HasSchema reports whether the text of the payload's schema is known.
func (p *Payload) HasSchema() bool { return p != nil && p.Schema.Text != "" }

// View says that a step reads a payload by a schema of its own.
type View struct {
	Step    string // the reader
	Of      string // the step whose output it reads; empty: the saga's input
	Payload string // the name of the payload by whose schema it reads
}

// Place is a position in a file, lines and columns from 1. The zero Place is that of
// what was made from Go.
type Place struct {
	File         string
	Line, Column int
}

// String returns "file:line:column".
func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Payload returns the payload of that name, or nil.
func (d *Document) Payload(name string) *Payload {
	i, ok := slices.BinarySearchFunc(d.Payloads, name, func(p Payload, name string) int { return strings.Compare(p.Name, name) })
	if !ok || name == "" {
		return nil
	}
	return &d.Payloads[i]
}

// Written returns the payload that a step writes, that of the saga's input for the step "". It is
// nil where there are no data, or nobody told their schema.
func (d *Document) Written(step string) *Payload {
	if step == "" {
		return d.Payload(d.Definition.InputName())
	}
	if s := d.Definition.Step(step); s != nil {
		return d.Payload(s.Output)
	}
	return nil
}

// Read returns the payload by whose schema a step reads the output of another, or the saga's
// input for the source "": its [View], or else the writer's own.
func (d *Document) Read(step, of string) *Payload {
	for i := range d.Views {
		if d.Views[i].Step == step && d.Views[i].Of == of {
			return d.Payload(d.Views[i].Payload)
		}
	}
	return d.Written(of)
}

// Sources returns whose outputs a step reads, by Execute or by its compensation: "" for the
// saga's input, which a step reads that waits for nothing, else the steps of After, Uses and
// UndoUses.
func (d *Document) Sources(step string) []string {
	s := d.Definition.Step(step)
	if s == nil {
		return nil
	}
	if len(s.After) == 0 {
		return []string{""}
	}
	sources := slices.Clone(s.After)
	for _, name := range s.Reads() {
		if !slices.Contains(sources, name) {
			sources = append(sources, name)
		}
	}
	return sources
}

// Place returns where something stands in the YAML file: the nearest of the keys on the way to
// it that is there, such as Place("steps", "charge-payment", "timeout").
func (d *Document) Place(path ...string) Place {
	for n := len(path); n >= 0; n-- {
		if p, ok := d.places[joinPath(path[:n])]; ok {
			p.File = d.File
			return p
		}
	}
	return Place{File: d.File}
}

// joinPath makes a key of a path. Names in files may hold any character but NUL.
func joinPath(path []string) string { return strings.Join(path, "\x00") }
