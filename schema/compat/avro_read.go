package compat

import (
	"fmt"
	"slices"
)

// avroPair is two nodes that were, or are being, compared: a recursive schema comes
// back to them.
type avroPair struct{ reader, writer *avroNode }

type avroFinder struct {
	*finder
	pairs map[avroPair]bool
}

func (f *finder) avro(reader, writer *avroSchema) error {
	a := &avroFinder{finder: f, pairs: map[avroPair]bool{}}
	path := ""
	if reader.root.named() {
		path = shortName(reader.root.name)
	}
	return a.read(reader.root, writer.root, path)
}

// read is the rule of schema resolution.
func (f *avroFinder) read(r, w *avroNode, path string) error {
	pair := avroPair{r, w}
	if f.pairs[pair] {
		return nil
	}
	f.pairs[pair] = true
	if err := f.step(); err != nil {
		return err
	}
	switch {
	case w.kind == "union":
		return f.readUnion(r, w, path)
	case r.kind == "union":
		branch := f.match(r, w)
		if branch == nil {
			f.branchMissing(r, w, path)
			return nil
		}
		return f.read(branch, w, path)
	case r.kind == w.kind:
		f.logical(r, w, path)
		return f.readSame(r, w, path)
	case promotes(w.kind, r.kind):
		f.logical(r, w, path)
		return nil
	}
	f.add(Error, path, "type-changed", fmt.Sprintf("{reader} takes %s and {writer} has %s, which does not become one", r, w),
		f.mend(fmt.Sprintf("take both in {reader}, as a union, or keep %s", w), fmt.Sprintf("keep %s in {writer}", r)))
	return nil
}

// readUnion demands that every branch that may be written can be read.
func (f *avroFinder) readUnion(r, w *avroNode, path string) error {
	for _, branch := range w.branches {
		if err := f.read(r, branch, branchPath(path, branch)); err != nil {
			return err
		}
	}
	return nil
}

func branchPath(path string, branch *avroNode) string {
	name := branch.kind
	if branch.named() {
		name = shortName(branch.name)
	}
	return path + "<" + name + ">"
}

func (f *avroFinder) branchMissing(r, w *avroNode, path string) {
	f.add(Error, path, "union-branch-missing", fmt.Sprintf("{writer} may have %s, and no branch of {reader} takes it (%s)", w, r),
		f.mend(fmt.Sprintf("add %s to the union of {reader}", w), fmt.Sprintf("do not write %s by {writer} before every reader knows it", w)))
}

// match chooses the branch of a reader's union: by full name or alias, then by short name, then
// the first that the writer's type promotes to. A fixed of another size does not match.
func (f *avroFinder) match(r, w *avroNode) *avroNode {
	f.steps += len(r.branches)
	var short, promoted *avroNode
	for _, branch := range r.branches {
		switch {
		case branch.kind == w.kind && branch.size == w.size:
			if !w.named() || branch.name == w.name || slices.Contains(branch.aliases, w.name) {
				return branch
			}
			if short == nil && namesMatch(branch, w) {
				short = branch
			}
		case promoted == nil && promotes(w.kind, branch.kind):
			promoted = branch
		}
	}
	if short != nil {
		return short
	}
	return promoted
}

// namesMatch is the rule of the specification: the same short name, or an alias that is the full
// one.
func namesMatch(r, w *avroNode) bool {
	return shortName(r.name) == shortName(w.name) || slices.Contains(r.aliases, w.name)
}

func promotes(writer, reader string) bool {
	switch writer {
	case "int":
		return reader == "long" || reader == "float" || reader == "double"
	case "long":
		return reader == "float" || reader == "double"
	case "float":
		return reader == "double"
	case "string":
		return reader == "bytes"
	case "bytes":
		return reader == "string"
	}
	return false
}

func (f *avroFinder) readSame(r, w *avroNode, path string) error {
	if r.named() && !namesMatch(r, w) {
		f.add(Error, path, "name-changed", fmt.Sprintf("{reader} calls the %s %s and {writer} %s", r.kind, r.name, w.name),
			f.mend(fmt.Sprintf("give %s the alias %q in {reader}", r.name, w.name), fmt.Sprintf("keep the name %s in {writer}", r.name)))
	}
	switch r.kind {
	case "record":
		return f.readRecord(r, w, path)
	case "enum":
		f.readEnum(r, w, path)
	case "fixed":
		if r.size != w.size {
			f.add(Error, path, "fixed-size-changed", fmt.Sprintf("fixed %s has %d bytes in {reader} and %d in {writer}", r.name, r.size, w.size),
				f.mend("keep its size in {reader}", "keep its size in {writer}")+"; a fixed of another size needs another name")
		}
	case "array":
		return f.read(r.item, w.item, path+"[]")
	case "map":
		return f.read(r.item, w.item, path+"{}")
	}
	return nil
}

func (f *avroFinder) readRecord(r, w *avroNode, path string) error {
	byName := make(map[string]*avroField, len(w.fields))
	for i := range w.fields {
		byName[w.fields[i].name] = &w.fields[i]
	}
	for _, field := range r.fields {
		at := path + "." + field.name
		var from []*avroField
		for _, name := range append([]string{field.name}, field.aliases...) {
			if written := byName[name]; written != nil && !slices.Contains(from, written) {
				from = append(from, written)
			}
		}
		switch {
		case len(from) == 0 && !field.hasDefault:
			f.add(Error, at, "field-missing",
				fmt.Sprintf("field %s has no default in {reader} and is not in {writer}: who reads by {reader} cannot read what is written by {writer}", field.name),
				f.mend(fmt.Sprintf("give %s a default in {reader}", field.name), fmt.Sprintf("keep %s in {writer}", field.name)))
		case len(from) > 1:
			f.add(Error, at, "field-ambiguous",
				fmt.Sprintf("fields %s and %s of {writer} are both %s in {reader}", from[0].name, from[1].name, field.name),
				f.mend("drop the alias in {reader}", "drop one of the fields in {writer}"))
		}
		if len(from) > 0 {
			if err := f.read(field.node, from[0].node, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *avroFinder) readEnum(r, w *avroNode, path string) {
	if r.symbolDefault {
		return
	}
	known := make(map[string]bool, len(r.symbols))
	for _, symbol := range r.symbols {
		known[symbol] = true
	}
	for _, symbol := range w.symbols {
		if !known[symbol] {
			f.add(Error, path, "enum-value-missing", fmt.Sprintf("symbol %s of {writer} is not in enum %s of {reader}, which has no default", symbol, r.name),
				f.mend(fmt.Sprintf("keep %s in {reader}, or give the enum a default", symbol), fmt.Sprintf("do not add %s to {writer} before the enum has a default everywhere", symbol)))
		}
	}
}

// logical warns where the bytes can be read but mean something else: the specification
// lets a reader that does not know a logical type fall back to the type below.
func (f *avroFinder) logical(r, w *avroNode, path string) {
	switch {
	case r.logical != w.logical:
		f.add(Warning, path, "logical-type-changed",
			fmt.Sprintf("{reader} takes the %s as %s and {writer} means %s", r.kind, nameOr(r.logical, "a plain value"), nameOr(w.logical, "a plain value")),
			"keep the logical type, or add a field under another name")
	case r.logical == "decimal" && (r.precision != w.precision || r.scale != w.scale):
		f.add(Warning, path, "decimal-changed",
			fmt.Sprintf("{reader} takes a decimal of precision %d and scale %d, {writer} has precision %d and scale %d: the same digits are another number", r.precision, r.scale, w.precision, w.scale),
			"keep precision and scale, or add a field under another name")
	}
}
