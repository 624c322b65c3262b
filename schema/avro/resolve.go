package avro

import (
	"slices"
	"strings"
)

// The rules of this file are those of
// https://avro.apache.org/docs/1.12.0/specification/#schema-resolution

// promotes says whether a value of the writer's simple type may be read as the reader's.
func promotes(writer, reader kind) bool {
	switch writer {
	case kindInt:
		return reader == kindLong || reader == kindFloat || reader == kindDouble
	case kindLong:
		return reader == kindFloat || reader == kindDouble
	case kindFloat:
		return reader == kindDouble
	case kindString:
		return reader == kindBytes
	case kindBytes:
		return reader == kindString
	default:
		return false
	}
}

// mismatch says why what was written as the one cannot be read as the other; what they hold within
// is not looked at. Neither is a union.
func mismatch(writer, reader *typ) faults {
	switch {
	case writer.kind != reader.kind:
		if promotes(writer.kind, reader.kind) {
			return nil
		}
		return faultf("was written as %s, which cannot be read as %s", writer, reader)
	case writer.name != "" && !sameName(writer, reader):
		return faultf("was written as %s, which cannot be read as %s: give the reader the alias %s", writer, reader, writer.name)
	case writer.kind == kindFixed && writer.size != reader.size:
		return faultf("was written as %s with %d bytes, which cannot be read with %d", writer, writer.size, reader.size)
	case writer.logical == decimal && reader.logical == decimal && writer.decimals != reader.decimals:
		return faultf("was written as a decimal with precision %d and scale %d, which cannot be read with precision %d and scale %d",
			writer.precision, writer.scale, reader.precision, reader.scale)
	default:
		return nil
	}
}

// sameName compares names without their namespaces, as the specification does, and looks at the
// reader's aliases.
func sameName(writer, reader *typ) bool {
	return shortName(writer.name) == shortName(reader.name) || sameFullName(writer, reader) ||
		slices.ContainsFunc(reader.aliases, func(alias string) bool {
			return !strings.Contains(alias, ".") && alias == shortName(writer.name)
		})
}

func sameFullName(writer, reader *typ) bool {
	return writer.name == reader.name || slices.Contains(reader.aliases, writer.name)
}

// branchFor returns the branch of the reader's union that takes the writer's type: the one of
// the same name, or else the first that matches, or else the first that it can be promoted to. The
// specification speaks only of the first that matches; so an int stays one where it can.
func branchFor(writer, union *typ) *typ {
	for _, fits := range []func(b *typ) bool{
		func(b *typ) bool { return writer.name == "" || sameFullName(writer, b) },
		func(b *typ) bool { return writer.name != "" && sameName(writer, b) },
	} {
		for _, b := range union.branches {
			if b.kind == writer.kind && fits(b) && (b.kind != kindFixed || b.size == writer.size) {
				return b
			}
		}
	}
	for _, b := range union.branches {
		if promotes(writer.kind, b.kind) {
			return b
		}
	}
	return nil
}

// source is where the value of a reader's field comes from.
type source struct {
	reader *field
	writer *field // nil: the default
}

// sources pairs the fields of two records. What only the writer has is dropped, and what is at fault
// left out.
func sources(writer, reader *typ) ([]source, faults) {
	var found faults
	out := make([]source, 0, len(reader.fields))
	byName := make(map[string]*field, len(writer.fields))
	for _, w := range writer.fields {
		byName[w.name] = w
	}
	taken := map[*field]*field{}
	for _, r := range reader.fields {
		w := writerOf(r, byName)
		switch {
		case w == nil && !r.hasDefault:
			found = append(found, fault{r.name, "was not written, and has no default: give it one, or the alias under which it was written"})
		case w != nil && taken[w] != nil:
			found = append(found, fault{r.name, "and " + taken[w].name + " would both be read from " + w.name + ": drop the alias"})
		default:
			out = append(out, source{reader: r, writer: w})
			if w != nil {
				taken[w] = r
			}
		}
	}
	for _, w := range writer.fields {
		if taken[w] != nil {
			continue
		}
		for _, r := range reader.fields {
			if slices.Contains(r.aliases, w.name) {
				found = append(found, fault{r.name, "is written under its name and under its alias " + w.name + " as well: drop the alias"})
			}
		}
	}
	return out, found
}

// writerOf returns the writer's field for one of the reader. A name outranks an alias.
func writerOf(r *field, writers map[string]*field) *field {
	if f := writers[r.name]; f != nil {
		return f
	}
	for _, alias := range r.aliases {
		if f := writers[alias]; f != nil {
			return f
		}
	}
	return nil
}

// meaning is the logical type by which a number of the writer is read where the reader's means the
// same in another unit: the specification would read milliseconds as microseconds.
func meaning(writer, reader *typ) logical {
	w, r := writer.logical, reader.logical
	if w.isInstant() && r.isInstant() && (w == date) == (r == date) || w.isTimeOfDay() && r.isTimeOfDay() {
		return w
	}
	return r
}
