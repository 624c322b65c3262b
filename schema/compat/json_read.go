package compat

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonFinder shows, keyword by keyword, that what the writer keeps to is enough for the reader.
// What it cannot show is a problem.
type jsonFinder struct {
	*finder
	pairs map[string]jsonPair
	added []string // keys of pairs, so that an attempt can be forgotten
	twins map[[2]*jsonschema.Schema]bool
	// attempts that are under way: within one, what is known to be broken is said again.
	attempts int
}

// jsonPair is what is known of a reader's schema and what the writer keeps to. While it is being
// looked at, it is assumed that all is well: if it is not, that is found where it began.
type jsonPair struct {
	path   string   // where it was first met
	result Severity // of its worst problem, once that is known
}

func (f *finder) json(reader, writer *jsonSchema) error {
	j := &jsonFinder{finder: f, pairs: map[string]jsonPair{}, twins: map[[2]*jsonschema.Schema]bool{}}
	return j.read(reader.root, allOf(writer.root), "$")
}

func (f *jsonFinder) read(r *jsonschema.Schema, w jsonAll, path string) error {
	key := fmt.Sprintf("%p|%s", r, w.key())
	if pair, known := f.pairs[key]; known {
		if pair.result != "" && f.attempts > 0 {
			f.add(pair.result, path, seenBefore, fmt.Sprintf("{reader} does not take what {writer} has here, as at %s, where the same definitions meet", pair.path), "mend the definition")
		}
		return nil
	}
	f.pairs[key] = jsonPair{path: path}
	f.added = append(f.added, key)
	errs, all := f.errors(), len(f.problems)
	reader := allOf(r)
	if reader.over || w.over {
		return errTooComplex
	}
	for _, part := range reader.parts {
		if err := f.part(part.Schema, w, path); err != nil {
			return err
		}
	}
	switch {
	case f.errors() > errs:
		f.pairs[key] = jsonPair{path: path, result: Error}
	case len(f.problems) > all:
		f.pairs[key] = jsonPair{path: path, result: Warning}
	}
	return nil
}

func (f *finder) errors() int {
	n := 0
	for _, p := range f.problems {
		if p.Severity == Error {
			n++
		}
	}
	return n
}

// seenBefore stands for problems that were reported already.
const seenBefore Code = "definition-changed"

// attempt looks without consequences: the problems it finds are returned, and what it assumed is
// forgotten if there are any that keep returns false for. Who keeps problems adopts them.
func (f *jsonFinder) attempt(look func() error, keep func([]Problem) bool) ([]Problem, error) {
	problems, seen, mark := f.problems, f.seen, len(f.added)
	f.problems, f.seen = nil, nil
	f.attempts++
	err := look()
	f.attempts--
	found := f.problems
	f.problems, f.seen = problems, seen
	if !keep(found) {
		for _, key := range f.added[mark:] {
			delete(f.pairs, key)
		}
		f.added = f.added[:mark]
	}
	return found, err
}

// clean says whether an attempt finds nothing at all, not even a warning.
func (f *jsonFinder) clean(r *jsonschema.Schema, w jsonAll, path string) (bool, error) {
	found, err := f.attempt(func() error { return f.read(r, w, path) }, nothing)
	return len(found) == 0 && err == nil, err
}

func nothing(problems []Problem) bool { return len(problems) == 0 }

func noErrors(problems []Problem) bool {
	return !slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == Error })
}

// adopt keeps what an attempt found.
func (f *jsonFinder) adopt(found []Problem) {
	for _, p := range found {
		if p.Severity == Error || p.Code != seenBefore {
			f.add(p.Severity, p.Path, p.Code, p.Text, p.Remedy)
		}
	}
}

// part demands one schema object of the reader, whose $ref and allOf are further parts.
func (f *jsonFinder) part(r *jsonschema.Schema, w jsonAll, path string) error {
	if err := f.step(); err != nil {
		return err
	}
	f.steps += len(w.parts)
	if w.over {
		return errTooComplex
	}
	if w.types == 0 || r.Bool != nil && *r.Bool || f.kept(r, w) {
		return nil
	}
	if r.Bool != nil {
		f.add(Error, path, "never-valid", "{reader} takes no value here, and {writer} may write one",
			f.mend("allow a value in {reader}", "forbid the value in {writer}"))
		return nil
	}
	if values, ok := w.finite(); ok {
		f.values(r, w, values, path)
		return nil
	}
	if cases := w.split(); cases != nil {
		for i, one := range cases {
			if err := f.part(r, one, fmt.Sprintf("%s<%d>", path, i+1)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(r.AnyOf)+len(r.OneOf) > 0 && len(w.types.each()) > 1 {
		for _, one := range w.types.each() {
			if err := f.part(r, w.only(one), path); err != nil {
				return err
			}
		}
		return nil
	}
	return f.keywords(r, w, path)
}

// kept says whether a part of the writer is the same schema, so that nothing remains to be shown.
func (f *jsonFinder) kept(r *jsonschema.Schema, w jsonAll) bool {
	return slices.ContainsFunc(w.parts, func(p jsonPart) bool { return f.same(r, p.Schema) })
}

// values tries all that may be written.
func (f *jsonFinder) values(r *jsonschema.Schema, w jsonAll, values []any, path string) {
	f.steps += len(values) * len(w.parts)
	missing := w.types &^ typesOf(r)
	for _, v := range values {
		switch {
		case valueType(v)&missing != 0:
			f.typeChanged(r, w, valueType(v), path)
		case r.Validate(v) != nil:
			text := valueText(v)
			f.add(Error, path, "enum-value-missing", fmt.Sprintf("{writer} may have %s here, which {reader} does not take", text),
				f.mend(fmt.Sprintf("take %s in {reader}", text), fmt.Sprintf("do not write %s by {writer} before every reader takes it", text)))
		case valueType(v) == typeString:
			f.format(r, w, path)
		}
	}
}

func valueText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(text) > 60 {
		return string([]rune(string(text))[:20]) + "…"
	}
	return string(text)
}

// keywords demands all that the reader's schema object says itself.
func (f *jsonFinder) keywords(r *jsonschema.Schema, w jsonAll, path string) error {
	if missing := w.types &^ typesOf(r); missing != 0 {
		f.typeChanged(r, w, missing, path)
		w = w.only(typesOf(r)) // what it takes at all is still looked at
	}
	if w.types == 0 {
		return nil
	}
	if r.Enum != nil || r.Const != nil {
		f.add(Error, path, "enum-narrowed", fmt.Sprintf("{reader} takes listed values alone, and {writer} may have any %s", w.types),
			f.mend("drop the list in {reader}", "list the values in {writer} too"))
	}
	if w.types&typeNumber != 0 {
		f.numbers(r, w, path)
	}
	if w.types&typeString != 0 {
		f.strings(r, w, path)
	}
	if w.types&typeArray != 0 {
		if err := f.arrays(r, w, path); err != nil {
			return err
		}
	}
	if w.types&typeObject != 0 {
		if err := f.objects(r, w, path); err != nil {
			return err
		}
	}
	if err := f.alternatives(r, w, path); err != nil {
		return err
	}
	return f.conditions(r, w, path)
}

func (f *jsonFinder) typeChanged(r *jsonschema.Schema, w jsonAll, missing jsonTypes, path string) {
	f.add(Error, path, "type-changed", fmt.Sprintf("{reader} takes %s and {writer} may have %s: %s cannot be read", typesOf(r), w.types, missing),
		f.mend(fmt.Sprintf("take %s in {reader}", missing), fmt.Sprintf("keep {writer} to %s", typesOf(r))))
}

// alternatives looks for one that takes all that is written; by now that is one type, and one
// alternative of the writer's own.
func (f *jsonFinder) alternatives(r *jsonschema.Schema, w jsonAll, path string) error {
	if len(r.AnyOf) > 0 {
		if _, err := f.oneTakes(r.AnyOf, w, path, "anyOf"); err != nil {
			return err
		}
	}
	if len(r.OneOf) == 0 {
		return nil
	}
	taken, err := f.oneTakes(r.OneOf, w, path, "oneOf")
	if err != nil || taken < 0 {
		return err
	}
	for i, other := range r.OneOf {
		if i == taken {
			continue
		}
		apart, err := f.excluded(other, w)
		if err != nil {
			return err
		}
		if !apart {
			f.add(Error, path, "undecided", fmt.Sprintf("what {writer} has may fit alternatives %d and %d of the oneOf of {reader} at once, which it then refuses", taken+1, i+1),
				f.mend("tell the alternatives apart by a required property with a const, or use anyOf in {reader}", "tell the alternatives apart by a required property with a const in {writer}"))
		}
	}
	return nil
}

// oneTakes returns the alternative that takes all, or notes why none does and returns -1.
func (f *jsonFinder) oneTakes(alternatives []*jsonschema.Schema, w jsonAll, path, word string) (int, error) {
	var best []Problem
	candidates := 0
	for i, alternative := range alternatives {
		found, err := f.attempt(func() error { return f.read(alternative, w, path) }, noErrors)
		if err != nil {
			return -1, err
		}
		if noErrors(found) {
			f.adopt(found)
			return i, nil
		}
		if w.types&allOf(alternative).types != 0 {
			candidates++
			best = found
		}
	}
	if candidates == 1 {
		f.adopt(best)
		return -1, nil
	}
	f.add(Error, path, "union-branch-missing", fmt.Sprintf("none of the %d alternatives of the %s of {reader} takes all that {writer} may have (%s)", len(alternatives), word, w.types),
		f.mend("add an alternative in {reader}", "do not write it by {writer} before every reader takes it"))
	return -1, nil
}

// excluded says whether nothing that is written fits the schema: by its type, by a property, or
// because the writer's own oneOf excludes it.
func (f *jsonFinder) excluded(s *jsonschema.Schema, w jsonAll) (bool, error) {
	if f.apart(allOf(s), w, 3) {
		return true, nil
	}
	for _, none := range w.none {
		if within, err := f.clean(none, allOf(s), ""); err != nil || within {
			return within, err
		}
	}
	return false, nil
}

// apart says whether no value is in both, as far as it looks.
func (f *jsonFinder) apart(a, b jsonAll, depth int) bool {
	f.steps += len(a.parts) + len(b.parts)
	types := a.types & b.types
	if types == 0 {
		return true
	}
	for _, one := range [][2]jsonAll{{a, b}, {b, a}} {
		if values, ok := one[0].only(types).finite(); ok {
			return !slices.ContainsFunc(values, one[1].has)
		}
	}
	if types != typeObject || depth == 0 {
		return false
	}
	for _, p := range slices.Concat(a.parts, b.parts) {
		for _, name := range p.Required {
			one, _ := a.property(name)
			other, _ := b.property(name)
			if f.apart(one, other, depth-1) {
				return true
			}
		}
	}
	return false
}

// conditions looks at not, if, and what else can only be shown by being the same on both sides.
func (f *jsonFinder) conditions(r *jsonschema.Schema, w jsonAll, path string) error {
	if r.Not != nil && !f.anyPart(w, func(p jsonPart) bool { return f.same(r.Not, p.Not) }) && !f.apart(allOf(r.Not), w, 3) {
		f.undecided(path, "not")
	}
	if r.If != nil && !f.anyPart(w, func(p jsonPart) bool {
		return p.If != nil && f.same(r.If, p.If) && f.same(r.Then, p.Then) && f.same(r.Else, p.Else)
	}) {
		for _, branch := range []*jsonschema.Schema{r.Then, r.Else} {
			if branch == nil {
				continue
			}
			fine, err := f.clean(branch, w, path)
			if err != nil {
				return err
			}
			if !fine {
				f.undecided(path, "if")
				break
			}
		}
	}
	if r.DynamicRef != nil {
		f.undecided(path, "$dynamicRef")
	}
	if r.RecursiveRef != nil {
		f.undecided(path, "$recursiveRef")
	}
	return nil
}

func (f *jsonFinder) anyPart(w jsonAll, is func(jsonPart) bool) bool {
	return slices.ContainsFunc(w.parts, is)
}

// undecided notes a keyword that is not the same on both sides and cannot be compared.
func (f *jsonFinder) undecided(path, keyword string) {
	f.add(Error, path, "undecided", fmt.Sprintf("%q of {reader} is not that of {writer}, and it cannot be shown that all that is written passes it", keyword),
		f.mend(fmt.Sprintf("keep %q in {reader} as it was, or say it without it", keyword), fmt.Sprintf("keep %q in {writer} as it was, or say it without it", keyword)))
}
