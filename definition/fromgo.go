package definition

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// FromGo makes a document of a definition in Go. The describers give the schemas of its Go types
// by the media type in which a payload is encoded; the one under "" is for payloads whose
// encoding neither the step nor the definition tells. A payload without describer, or of a
// definition that was not made from Go types, has no schema. A [Document] is returned as it
// is. The error names every type at fault.
func FromGo(saga choreo.AnySaga, describers map[choreo.MediaType]schema.Describer) (*Document, error) {
	if d, ok := saga.(*Document); ok {
		return d, nil
	}
	def := saga.Def()
	d := &Document{Definition: def}
	var faults []error
	add := func(step, name string, t reflect.Type) {
		describer := describers[def.EncodingOf(step)]
		if name == "" || t == nil || describer == nil {
			return
		}
		s, err := describer.Schema(t)
		if err != nil {
			faults = append(faults, fmt.Errorf("definition: %s: the schema of payload %s (%v): %w", def, name, t, err))
			return
		}
		at, known := slices.BinarySearchFunc(d.Payloads, name, func(p Payload, name string) int { return strings.Compare(p.Name, name) })
		if known {
			if d.Payloads[at].Schema.Kind != s.Kind {
				faults = append(faults, fmt.Errorf("definition: %s: payload %s is encoded in two ways, and so has two schemas: "+
					"give it another name in one place, by OutputName or choreo.InputName", def, name))
			}
			return
		}
		d.Payloads = slices.Insert(d.Payloads, at, d.payloadOf(name, s))
	}
	add("", def.InputName(), def.Input())
	for i := range def.Steps() {
		add(def.Steps()[i].Name, def.Steps()[i].Output, def.Steps()[i].Out)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return d, nil
}

// payloadOf names the files of a payload's schema: two payloads have two files, but may
// import one.
func (d *Document) payloadOf(name string, s schema.Schema) Payload {
	p := Payload{Name: name, Schema: s}
	base := kebab(name)
	p.File = base + extension(s.Kind)
	for n := 2; slices.ContainsFunc(d.Payloads, func(o Payload) bool { return o.File == p.File }); n++ {
		p.File = fmt.Sprintf("%s-%d%s", base, n, extension(s.Kind))
	}
	for _, ref := range s.References {
		file := ref.Name
		if s.Kind != schema.Protobuf { // there the name is a path already
			file = kebab(ref.Name) + extension(s.Kind)
		}
		p.Imports = append(p.Imports, file)
	}
	return p
}
