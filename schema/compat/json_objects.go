package compat

import (
	"fmt"
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func (f *jsonFinder) objects(r *jsonschema.Schema, w jsonAll, path string) error {
	for _, name := range r.Required {
		if !w.required(name) {
			f.add(Error, path+"."+name, "field-missing", fmt.Sprintf("property %s is required by {reader}, and {writer} may leave it out", name),
				f.mend(fmt.Sprintf("make %s optional in {reader}", name), fmt.Sprintf("keep %s required in {writer}", name)))
		}
	}
	if err := f.properties(r, w, path); err != nil {
		return err
	}
	if err := f.undeclared(r, w, path); err != nil {
		return err
	}
	f.propertyCounts(r, w, path)
	f.propertyNames(r, w, path)
	return f.dependencies(r, w, path)
}

// properties looks at each that either side names.
func (f *jsonFinder) properties(r *jsonschema.Schema, w jsonAll, path string) error {
	for _, name := range f.names(r, w) {
		f.steps += len(r.PatternProperties) + len(w.parts)
		at := path + "." + name
		written, declared := w.property(name)
		if written.types == 0 {
			continue // cannot be written
		}
		subs, known := propertyOf(r, name)
		for _, sub := range subs {
			var err error
			switch {
			case sub.Bool != nil && *sub.Bool:
			case !known && sub.Bool != nil:
				f.add(Error, at, "property-closed", fmt.Sprintf("{writer} has property %s, and {reader} forbids properties that it does not describe", name),
					f.mend(fmt.Sprintf("describe %s in {reader}, or allow additionalProperties", name), fmt.Sprintf("do not write %s by {writer} before every reader takes it", name)))
			case !declared:
				err = f.narrowed(sub, at, fmt.Sprintf("property %s", name))
			default:
				err = f.read(sub, written, at)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// narrowed warns of what the writer does not describe and does not forbid either, where the
// reader says what it must be: who writes only what is described writes nothing there.
func (f *jsonFinder) narrowed(sub *jsonschema.Schema, at, what string) error {
	if anything, err := f.clean(sub, allOf(), at); err != nil || anything {
		return err
	}
	f.add(Warning, at, "property-narrowed", fmt.Sprintf("%s is described in {reader} alone: {writer} lets anything be written under that name", what),
		f.mend("make sure that nobody has used the name for something else", "describe it in {writer} as well, or forbid it"))
	return nil
}

func (f *jsonFinder) names(r *jsonschema.Schema, w jsonAll) []string {
	names := map[string]bool{}
	for name := range r.Properties {
		names[name] = true
	}
	for _, p := range w.parts {
		for name := range p.Properties {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// undeclared looks at properties that nobody names: those that match patterns, and the rest.
func (f *jsonFinder) undeclared(r *jsonschema.Schema, w jsonAll, path string) error {
	rest := w.others()
	written := map[string][]*jsonschema.Schema{}
	for _, p := range w.parts {
		for pattern, sub := range p.PatternProperties {
			written[pattern.String()] = append(written[pattern.String()], sub)
		}
	}
	read := map[string]*jsonschema.Schema{}
	for pattern, sub := range r.PatternProperties {
		read[pattern.String()] = sub
	}
	for _, pattern := range slices.Sorted(maps.Keys(read)) {
		at := fmt.Sprintf("%s./%s/", path, pattern)
		if same := written[pattern]; same != nil {
			if err := f.read(read[pattern], allOf(same...), at); err != nil {
				return err
			}
			continue
		}
		// Any pattern of the writer may meet this one.
		for _, other := range slices.Sorted(maps.Keys(written)) {
			if err := f.read(read[pattern], allOf(written[other]...), at); err != nil {
				return err
			}
		}
		switch {
		case rest.types == 0:
		case len(rest.parts) == 0:
			if err := f.narrowed(read[pattern], at, fmt.Sprintf("a property that matches %q", pattern)); err != nil {
				return err
			}
		default:
			if err := f.read(read[pattern], rest, at); err != nil {
				return err
			}
		}
	}
	additional := boolOrSchema(r.AdditionalProperties)
	if additional == nil {
		return f.unevaluated(r, path)
	}
	for _, other := range slices.Sorted(maps.Keys(written)) {
		if read[other] == nil {
			if err := f.read(additional, allOf(written[other]...), fmt.Sprintf("%s./%s/", path, other)); err != nil {
				return err
			}
		}
	}
	if additional.Bool != nil && !*additional.Bool && rest.types != 0 {
		f.add(Error, path, "property-closed", "{reader} forbids properties that it does not describe, and {writer} allows them",
			f.mend("allow additionalProperties in {reader}", "forbid additionalProperties in {writer}"))
		return nil
	}
	return f.read(additional, rest, path+".*")
}

func (f *jsonFinder) unevaluated(r *jsonschema.Schema, path string) error {
	if r.UnevaluatedProperties != nil && (r.UnevaluatedProperties.Bool == nil || !*r.UnevaluatedProperties.Bool) {
		f.undecided(path, "unevaluatedProperties")
	}
	return nil
}

func (f *jsonFinder) propertyCounts(r *jsonschema.Schema, w jsonAll, path string) {
	required := map[string]bool{}
	for _, p := range w.parts {
		for _, name := range p.Required {
			required[name] = true
		}
	}
	least := max(len(required), w.most(func(s *jsonschema.Schema) *int { return s.MinProperties }))
	f.atLeast(path, "minProperties", r.MinProperties, least)
	most, bounded := w.least(func(s *jsonschema.Schema) *int { return s.MaxProperties })
	if names, closed := w.closed(); closed && (!bounded || len(names) < most) {
		most, bounded = len(names), true
	}
	f.atMost(path, "maxProperties", r.MaxProperties, most, bounded)
}

// closed returns the names of all properties that may be written, where one part forbids others.
func (a jsonAll) closed() ([]string, bool) {
	for _, p := range a.parts {
		if sub := boolOrSchema(p.AdditionalProperties); sub != nil && sub.Bool != nil && !*sub.Bool && len(p.PatternProperties) == 0 {
			return slices.Sorted(maps.Keys(p.Properties)), true
		}
	}
	return nil, false
}

func (f *jsonFinder) propertyNames(r *jsonschema.Schema, w jsonAll, path string) {
	if r.PropertyNames == nil || f.anyPart(w, func(p jsonPart) bool { return p.PropertyNames != nil && f.same(r.PropertyNames, p.PropertyNames) }) {
		return
	}
	names, closed := w.closed()
	if !closed {
		f.undecided(path, "propertyNames")
		return
	}
	for _, name := range names {
		if written, _ := w.property(name); written.types != 0 && r.PropertyNames.Validate(name) != nil {
			f.add(Error, path+"."+name, "property-closed", fmt.Sprintf("propertyNames of {reader} forbids the name %s, which {writer} may use", name),
				f.mend("allow the name in {reader}", fmt.Sprintf("do not write %s by {writer}", name)))
		}
	}
}

// dependencies looks at what a property brings with it.
func (f *jsonFinder) dependencies(r *jsonschema.Schema, w jsonAll, path string) error {
	if len(r.DependentRequired)+len(r.DependentSchemas)+len(r.Dependencies) == 0 {
		return nil
	}
	needs := maps.Clone(r.DependentRequired)
	if needs == nil {
		needs = map[string][]string{}
	}
	schemas := maps.Clone(r.DependentSchemas)
	if schemas == nil {
		schemas = map[string]*jsonschema.Schema{}
	}
	for name, dependency := range r.Dependencies {
		switch dependency := dependency.(type) {
		case []string:
			needs[name] = dependency
		case *jsonschema.Schema:
			schemas[name] = dependency
		}
	}
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		f.dependentRequired(name, needs[name], w, path)
	}
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		if written, _ := w.property(name); written.types == 0 {
			continue
		}
		if f.anyPart(w, func(p jsonPart) bool {
			old, _ := p.Dependencies[name].(*jsonschema.Schema)
			return f.same(schemas[name], p.DependentSchemas[name]) || f.same(schemas[name], old)
		}) {
			continue
		}
		fine, err := f.clean(schemas[name], w, path)
		if err != nil {
			return err
		}
		if !fine {
			f.undecided(path+"."+name, "dependentSchemas")
		}
	}
	return nil
}

func (f *jsonFinder) dependentRequired(name string, needs []string, w jsonAll, path string) {
	if written, _ := w.property(name); written.types == 0 {
		return
	}
	for _, need := range needs {
		if w.required(need) || f.anyPart(w, func(p jsonPart) bool {
			old, _ := p.Dependencies[name].([]string)
			return slices.Contains(p.DependentRequired[name], need) || slices.Contains(old, need)
		}) {
			continue
		}
		f.add(Error, path+"."+need, "field-missing", fmt.Sprintf("property %s is required by {reader} where %s is there, and {writer} may leave it out", need, name),
			f.mend(fmt.Sprintf("make %s optional in {reader}", need), fmt.Sprintf("write %s with %s in {writer}", need, name)))
	}
}
