package compat

import (
	"fmt"
	"math/big"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonBound is the end of a range of numbers; nil is none.
type jsonBound struct {
	at   *big.Rat
	open bool // the number itself is not in the range
}

func (b jsonBound) String() string {
	switch {
	case b.at == nil:
		return "none"
	case b.open:
		return ratText(b.at) + " (exclusive)"
	default:
		return ratText(b.at)
	}
}

func ratText(n *big.Rat) string {
	if n.IsInt() {
		return fmt.Sprintf("%.40s", n.RatString())
	}
	short, _ := n.Float64()
	return fmt.Sprint(short)
}

// within says whether a range that ends at b is within one that ends at outer. sign is 1
// for lower ends, -1 for upper ones.
func (b jsonBound) within(outer jsonBound, sign int) bool {
	if outer.at == nil {
		return true
	}
	if b.at == nil {
		return false
	}
	order := b.at.Cmp(outer.at) * sign
	return order > 0 || order == 0 && (b.open || !outer.open)
}

func lowerEnd(s *jsonschema.Schema) jsonBound {
	return tighter(jsonBound{at: s.Minimum}, jsonBound{at: s.ExclusiveMinimum, open: true}, 1)
}

func upperEnd(s *jsonschema.Schema) jsonBound {
	return tighter(jsonBound{at: s.Maximum}, jsonBound{at: s.ExclusiveMaximum, open: true}, -1)
}

func tighter(a, b jsonBound, sign int) jsonBound {
	if a.within(b, sign) {
		return a
	}
	return b
}

// whole makes the end of a range of integers one that is in it.
func (b jsonBound) whole(sign int) jsonBound {
	if b.at == nil {
		return b
	}
	floor := new(big.Int).Div(b.at.Num(), b.at.Denom()) // Euclidean; the denominator is positive
	n := new(big.Rat).SetInt(floor)
	switch {
	case n.Cmp(b.at) == 0 && b.open:
		n.Add(n, big.NewRat(int64(sign), 1))
	case n.Cmp(b.at) != 0 && sign > 0:
		n.Add(n, big.NewRat(1, 1))
	}
	return jsonBound{at: n}
}

func (f *jsonFinder) numbers(r *jsonschema.Schema, w jsonAll, path string) {
	var lower, upper jsonBound
	for _, p := range w.parts {
		lower, upper = tighter(lower, lowerEnd(p.Schema), 1), tighter(upper, upperEnd(p.Schema), -1)
	}
	if w.types&typeFraction == 0 {
		lower, upper = lower.whole(1), upper.whole(-1)
	}
	if want := lowerEnd(r); !lower.within(want, 1) {
		f.bound(path, "minimum", want.String(), lower.String())
	}
	if want := upperEnd(r); !upper.within(want, -1) {
		f.bound(path, "maximum", want.String(), upper.String())
	}
	if r.MultipleOf == nil || w.types&typeFraction == 0 && new(big.Rat).Inv(r.MultipleOf).IsInt() {
		return
	}
	for _, p := range w.parts {
		if p.MultipleOf != nil && new(big.Rat).Quo(p.MultipleOf, r.MultipleOf).IsInt() {
			return
		}
	}
	f.add(Error, path, "multiple-narrowed", fmt.Sprintf("{reader} takes multiples of %s alone, and {writer} may have others", ratText(r.MultipleOf)),
		f.mend("drop multipleOf in {reader}", "keep multipleOf in {writer}"))
}

// bound notes a bound that is tighter for the reader.
func (f *jsonFinder) bound(path, keyword, reader, writer string) {
	f.add(Error, path, "bound-narrowed", fmt.Sprintf("%s is %s in {reader} and %s in {writer}", keyword, reader, writer),
		f.mend(fmt.Sprintf("loosen %s in {reader}", keyword), fmt.Sprintf("keep {writer} to %s %s", keyword, reader)))
}

// atLeast demands that what is counted by the writer reaches the reader's least.
func (f *jsonFinder) atLeast(path, keyword string, reader *int, writer int) {
	if reader != nil && writer < *reader {
		f.bound(path, keyword, fmt.Sprint(*reader), fmt.Sprint(writer))
	}
}

func (f *jsonFinder) atMost(path, keyword string, reader *int, writer int, bounded bool) {
	if reader != nil && (!bounded || writer > *reader) {
		text := "none"
		if bounded {
			text = fmt.Sprint(writer)
		}
		f.bound(path, keyword, fmt.Sprint(*reader), text)
	}
}

func (f *jsonFinder) strings(r *jsonschema.Schema, w jsonAll, path string) {
	f.atLeast(path, "minLength", r.MinLength, w.most(func(s *jsonschema.Schema) *int { return s.MinLength }))
	longest, bounded := w.least(func(s *jsonschema.Schema) *int { return s.MaxLength })
	f.atMost(path, "maxLength", r.MaxLength, longest, bounded)
	if r.Pattern != nil && !f.anyPart(w, func(p jsonPart) bool { return p.Pattern != nil && p.Pattern.String() == r.Pattern.String() }) {
		if f.anyPart(w, func(p jsonPart) bool { return p.Pattern != nil }) {
			f.undecided(path, "pattern")
		} else {
			f.add(Error, path, "pattern-changed", fmt.Sprintf("{reader} takes strings that match %.80q alone, and {writer} may have others", r.Pattern.String()),
				f.mend("drop the pattern in {reader}", "keep the pattern in {writer}"))
		}
	}
	f.format(r, w, path)
	for _, p := range w.parts {
		if encodingName(p.Schema) != "" && encodingName(r) != "" && encodingName(p.Schema) != encodingName(r) {
			f.add(Warning, path, "format-changed", fmt.Sprintf("{reader} takes the string for %s and {writer} has %s", encodingName(r), encodingName(p.Schema)),
				"keep contentEncoding and contentMediaType, or add a property under another name")
		}
	}
}

func encodingName(s *jsonschema.Schema) string {
	name := ""
	if s.ContentEncoding != nil {
		name = s.ContentEncoding.Name
	}
	if s.ContentMediaType != nil {
		name += " " + s.ContentMediaType.Name
	}
	return name
}

// format looks at a format by its name. Since 2019-09 a format is an annotation; before, it is
// for the validator to choose.
func (f *jsonFinder) format(r *jsonschema.Schema, w jsonAll, path string) {
	if r.Format == nil || f.anyPart(w, func(p jsonPart) bool { return p.Format != nil && p.Format.Name == r.Format.Name }) {
		return
	}
	severity := Warning
	if r.DraftVersion < 2019 {
		severity = Error
	}
	f.add(severity, path, "format-changed", fmt.Sprintf("{reader} takes strings of format %s, and {writer} may have others", r.Format.Name),
		f.mend("drop the format in {reader}", "keep the format in {writer}"))
}

func (f *jsonFinder) arrays(r *jsonschema.Schema, w jsonAll, path string) error {
	longest, bounded := w.least(func(s *jsonschema.Schema) *int { return s.MaxItems })
	prefix := prefixLength(r)
	for _, p := range w.parts {
		prefix = max(prefix, prefixLength(p.Schema))
	}
	for i := 0; i <= prefix && (!bounded || i < longest); i++ {
		written := w.item(i)
		if written.types == 0 {
			longest, bounded = i, true // a longer array cannot be written
			break
		}
		f.steps += len(w.parts)
		item := itemOf(r, i)
		at := fmt.Sprintf("%s[%d]", path, i)
		if i == prefix {
			at = path + "[]"
		}
		if item == nil {
			continue
		}
		if item.Bool != nil && !*item.Bool {
			f.add(Error, at, "items-narrowed", fmt.Sprintf("{reader} takes arrays of %d items at most, and {writer} may have longer ones", i),
				f.mend("allow more items in {reader}", fmt.Sprintf("keep {writer} to %d items", i)))
			continue
		}
		if err := f.read(item, written, at); err != nil {
			return err
		}
	}
	f.atLeast(path, "minItems", r.MinItems, w.most(func(s *jsonschema.Schema) *int { return s.MinItems }))
	f.atMost(path, "maxItems", r.MaxItems, longest, bounded)
	if r.UniqueItems && !f.anyPart(w, func(p jsonPart) bool { return p.UniqueItems }) && (!bounded || longest > 1) {
		f.add(Error, path, "unique-required", "{reader} takes arrays of unique items alone, and {writer} may repeat some",
			f.mend("drop uniqueItems in {reader}", "keep uniqueItems in {writer}"))
	}
	if r.Contains != nil && !f.anyPart(w, func(p jsonPart) bool {
		return p.Contains != nil && f.same(r.Contains, p.Contains) && sameInt(r.MinContains, p.MinContains) && sameInt(r.MaxContains, p.MaxContains)
	}) {
		f.undecided(path, "contains")
	}
	if r.UnevaluatedItems != nil && (r.UnevaluatedItems.Bool == nil || !*r.UnevaluatedItems.Bool) {
		f.undecided(path, "unevaluatedItems")
	}
	return nil
}
