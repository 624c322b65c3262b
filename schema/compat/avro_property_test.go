package compat_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/avro"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
)

// avroDraw draws schemas; a name is defined where it is first used.
type avroDraw struct {
	t       *rapid.T
	defined map[string]bool
	// qualified writes aliases in full. The other implementation takes one without a namespace
	// for a name in any; the specification, Java and we take it for one in its own.
	qualified bool
}

func (d *avroDraw) schema(depth int, inUnion bool) any {
	primitives := []any{"null", "boolean", "int", "long", "float", "double", "string", "bytes"}
	if depth == 0 {
		return rapid.SampledFrom(primitives).Draw(d.t, "primitive")
	}
	switch kind := rapid.IntRange(0, 9).Draw(d.t, "kind"); {
	case kind < 3 || kind == 8 && inUnion:
		return rapid.SampledFrom(primitives).Draw(d.t, "primitive")
	case kind == 3:
		return jsonObject{"type": "array", "items": d.schema(depth-1, false)}
	case kind == 4:
		return jsonObject{"type": "map", "values": d.schema(depth-1, false)}
	case kind == 5:
		return d.enum()
	case kind == 6:
		return d.named("Fixed", func(s jsonObject) {
			s["type"], s["size"] = "fixed", rapid.IntRange(1, 2).Draw(d.t, "size")
		})
	case kind == 8:
		return d.union(depth)
	default:
		return d.record(depth)
	}
}

func (d *avroDraw) named(prefix string, fill func(jsonObject)) any {
	name := prefix + rapid.SampledFrom([]string{"A", "B"}).Draw(d.t, "name")
	if rapid.IntRange(0, 3).Draw(d.t, "namespace") == 0 {
		name = "ns." + name
	}
	if d.defined[name] {
		return name
	}
	d.defined[name] = true
	s := jsonObject{"name": name}
	if rapid.IntRange(0, 2).Draw(d.t, "aliased") == 0 {
		alias := rapid.SampledFrom([]string{prefix + "A", prefix + "B", "ns." + prefix + "A", "other." + prefix + "B"}).Draw(d.t, "alias")
		if d.qualified && !strings.Contains(alias, ".") {
			alias = "ns." + alias
		}
		s["aliases"] = []any{alias}
	}
	fill(s)
	return s
}

func (d *avroDraw) enum() any {
	return d.named("Enum", func(s jsonObject) {
		symbols := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"X", "Y", "Z"}), 1, 3, rapid.ID[string]).Draw(d.t, "symbols")
		s["type"], s["symbols"] = "enum", symbols
		if rapid.IntRange(0, 2).Draw(d.t, "default") == 0 {
			s["default"] = symbols[0]
		}
	})
}

func (d *avroDraw) record(depth int) any {
	return d.named("Record", func(s jsonObject) {
		fields := []any{}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID[string]).Draw(d.t, "fields") {
			field := jsonObject{"name": name}
			if rapid.IntRange(0, 2).Draw(d.t, "has a default") == 0 {
				field["type"], field["default"] = []any{"null", "string"}, nil
			} else {
				field["type"] = d.schema(depth-1, false)
			}
			if rapid.IntRange(0, 3).Draw(d.t, "aliased") == 0 {
				field["aliases"] = []any{name + "x", rapid.SampledFrom([]string{"d", "e"}).Draw(d.t, "alias")}
			}
			if rapid.IntRange(0, 5).Draw(d.t, "renamed") == 0 {
				field["name"] = map[string]string{"a": "d", "b": "e", "c": "f"}[name]
			}
			fields = append(fields, field)
		}
		s["type"], s["fields"] = "record", fields
	})
}

func (d *avroDraw) union(depth int) any {
	branches := []any{}
	for range rapid.IntRange(1, 3).Draw(d.t, "branches") {
		branches = append(branches, d.schema(depth-1, true))
	}
	return branches
}

// drawAvro draws texts until one is a schema: an alias or a union may make it none.
func drawAvro(t *rapid.T, label string, qualified bool) string {
	d := &avroDraw{t: t, defined: map[string]bool{}, qualified: qualified}
	text, err := json.Marshal(d.schema(4, false))
	require.NoError(t, err)
	if _, err := avro.Parse(string(text)); err != nil {
		return `"` + rapid.SampledFrom([]string{"int", "string"}).Draw(t, label) + `"`
	}
	return string(text)
}

func canReadAvro(t require.TestingT, reader, writer string) (bool, []compat.Problem) {
	problems, err := compat.CanRead(schema.Schema{Kind: schema.Avro, Text: reader}, schema.Schema{Kind: schema.Avro, Text: writer})
	require.NoError(t, err)
	return compat.Report{Problems: problems}.Compatible(), problems
}

// TestAvroAgreesWithAnotherImplementation asks a second implementation of schema resolution.
func TestAvroAgreesWithAnotherImplementation(t *testing.T) {
	var yes, no int
	rapid.Check(t, func(t *rapid.T) {
		reader, writer := drawAvro(t, "reader", true), drawAvro(t, "writer", true)
		if rapid.Bool().Draw(t, "the same") {
			writer = reader
		}
		readerSchema, err := avro.Parse(reader)
		require.NoError(t, err)
		writerSchema, err := avro.Parse(writer)
		require.NoError(t, err)
		want := avro.CheckCompatibility(writerSchema, readerSchema)
		got, problems := canReadAvro(t, reader, writer)
		require.Equal(t, want == nil, got, "reader %s\nwriter %s\nthey say %v\nwe say %v", reader, writer, want, problems)
		if got {
			yes++
		} else {
			no++
		}
	})
	t.Logf("%d pairs are compatible, %d are not", yes, no)
}

// javaVector is a pair of schemas and what Apache Avro's SchemaCompatibility says of it; see
// testdata/java.
type javaVector struct {
	Reader, Writer json.RawMessage
	Compatible     bool
}

// TestAvroAgreesWithJava has one difference: of the branches of a reader's union, the
// specification takes the first that matches by type and name, and resolves that one; Java
// takes any that resolves. Where the two differ we say no.
func TestAvroAgreesWithJava(t *testing.T) {
	data, err := os.ReadFile("testdata/java/vectors.json")
	require.NoError(t, err)
	var vectors []javaVector
	require.NoError(t, json.Unmarshal(data, &vectors))
	stricter := 0
	for i, v := range vectors {
		got, problems := canReadAvro(t, string(v.Reader), string(v.Writer))
		if got == v.Compatible {
			continue
		}
		require.True(t, v.Compatible, "vector %d: Java cannot read what is written by %s with %s, we can", i, v.Writer, v.Reader)
		stricter++
		t.Logf("vector %d: reader %s, writer %s: %v", i, v.Reader, v.Writer, problems)
	}
	require.Greater(t, len(vectors), 500)
	t.Logf("%d vectors, %d where we say no and Java yes", len(vectors), stricter)
}
