package compat

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/schema"
)

// Limits on what is compared: a schema is written by people, and what is beyond these was not.
const (
	maxTextBytes = 1 << 20
	maxNesting   = 128
	maxSteps     = 500_000 // pairs of nodes that one comparison may look at
	maxProblems  = 1_000
)

var errTooComplex = errors.New("too complex")

// parsed is a schema that was understood; one field is set.
type parsed struct {
	schema schema.Schema
	avro   *avroSchema
	proto  *protoSchema
	json   *jsonSchema
}

// parse understands a schema. who names it in errors.
func parse(s schema.Schema, who string) (parsed, error) {
	p := parsed{schema: s}
	err := checkSize(s)
	if err == nil {
		switch s.Kind {
		case schema.Avro:
			p.avro, err = parseAvro(s)
		case schema.Protobuf:
			p.proto, err = parseProto(s)
		case schema.JSONType:
			p.json, err = parseJSON(s)
		default:
			err = fmt.Errorf("kind %q is unknown: choose %s, %s or %s", s.Kind, schema.Avro, schema.Protobuf, schema.JSONType)
		}
	}
	if err != nil {
		return parsed{}, fmt.Errorf("compat: %s %q (%s) cannot be understood: %w", who, s.Name, s.Kind, err)
	}
	return p, nil
}

func checkSize(s schema.Schema) error {
	size := len(s.Text)
	for _, ref := range s.References {
		size += len(ref.Text)
	}
	if size > maxTextBytes {
		return fmt.Errorf("with its references it has %d bytes, and %d are the most: split it", size, maxTextBytes)
	}
	if err := checkNesting(s.Text); err != nil {
		return err
	}
	for _, ref := range s.References {
		if err := checkNesting(ref.Text); err != nil {
			return fmt.Errorf("reference %q: %w", ref.Name, err)
		}
	}
	return nil
}

// checkNesting counts brackets, also those in strings and comments: parsers below recurse, and
// a stack that overflows cannot be recovered from.
func checkNesting(text string) error {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{', '[', '<', '(':
			depth++
		case '}', ']', '>', ')':
			depth = max(0, depth-1)
		}
		if depth > maxNesting {
			return fmt.Errorf("it nests deeper than %d levels: name its parts and refer to them", maxNesting)
		}
	}
	return nil
}

// finder collects the problems of one comparison.
type finder struct {
	direction Direction
	against   int
	problems  []Problem
	seen      map[Problem]bool
	steps     int
}

// readerName and writerName say which schema is meant: in a check, one is the new one.
func (f *finder) readerName() string {
	switch f.direction {
	case Backwards:
		return "the new schema"
	case Forwards:
		return "the earlier schema"
	default:
		return "the reader's schema"
	}
}

func (f *finder) writerName() string {
	switch f.direction {
	case Backwards:
		return "the earlier schema"
	case Forwards:
		return "the new schema"
	default:
		return "the writer's schema"
	}
}

// mend chooses a remedy: only the new schema can still be changed.
func (f *finder) mend(inReader, inWriter string) string {
	switch f.direction {
	case Backwards:
		return inReader
	case Forwards:
		return inWriter
	default:
		return inReader + ", or " + inWriter
	}
}

// add notes a problem. In its text and remedy, {reader} and {writer} are the names of
// the schemas.
func (f *finder) add(severity Severity, path string, code Code, text, remedy string) {
	names := strings.NewReplacer("{reader}", f.readerName(), "{writer}", f.writerName())
	p := Problem{
		Severity: severity, Direction: f.direction, Path: nameOr(path, "(root)"), Code: code,
		Text: names.Replace(text), Remedy: names.Replace(remedy), Against: f.against,
	}
	if f.seen == nil {
		f.seen = map[Problem]bool{}
	}
	if !f.seen[p] {
		f.seen[p] = true
		f.problems = append(f.problems, p)
	}
}

// step is called for every pair that is looked at; its error ends the comparison.
func (f *finder) step() error {
	f.steps++
	if f.steps > maxSteps || len(f.problems) > maxProblems {
		return errTooComplex
	}
	return nil
}

// found returns the problems by path, those of one place in the order they were found in.
func (f *finder) found() []Problem {
	slices.SortStableFunc(f.problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return f.problems
}

func (f *finder) compare(reader, writer parsed) error {
	if reader.schema.Kind != writer.schema.Kind {
		f.add(Error, reader.schema.Name, "kind-changed",
			fmt.Sprintf("{reader} is %s and {writer} is %s: neither reads what the other wrote", reader.schema.Kind, writer.schema.Kind),
			"give the payload a new name, or keep its kind")
		return nil
	}
	var err error
	switch reader.schema.Kind {
	case schema.Avro:
		err = f.avro(reader.avro, writer.avro)
	case schema.Protobuf:
		err = f.proto(reader.proto, writer.proto)
	default:
		err = f.json(reader.json, writer.json)
	}
	if err != nil {
		return fmt.Errorf("compat: reading what was written by %s with %s: %w: over %d comparisons or %d problems: split the schemas, or compare smaller parts",
			nameOr(writer.schema.Name, f.writerName()), nameOr(reader.schema.Name, f.readerName()), err, maxSteps, maxProblems)
	}
	return nil
}
