package compat_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
)

func ExampleMode_Check() {
	before := schema.Schema{Kind: schema.Avro, Name: "Order", Text: `{"type": "record", "name": "Order", "fields": [
		{"name": "id", "type": "string"}]}`}
	now := schema.Schema{Kind: schema.Avro, Name: "Order", Text: `{"type": "record", "name": "Order", "fields": [
		{"name": "id", "type": "string"}, {"name": "total_cents", "type": "long"}]}`}

	report, err := compat.Backward.Check(now, before)
	fmt.Println(report.Compatible(), err)
	for _, p := range report.Problems {
		fmt.Println(p.Path, p.Code)
		fmt.Println(p.Text)
		fmt.Println(p.Remedy)
	}
	// Output:
	// false <nil>
	// Order.total_cents field-missing
	// field total_cents has no default in the new schema and is not in the earlier schema: who reads by the new schema cannot read what is written by the earlier schema
	// give total_cents a default in the new schema
}

func ExampleCanRead() {
	reader := schema.Schema{Kind: schema.JSONType, Text: `{"type": "object", "required": ["id"]}`}
	writer := schema.Schema{Kind: schema.JSONType, Text: `{"type": "object"}`}
	problems, err := compat.CanRead(reader, writer)
	fmt.Println(err)
	for _, p := range problems {
		fmt.Println(p)
	}
	// Output:
	// <nil>
	// error: $.id: property id is required by the reader's schema, and the writer's schema may leave it out (field-missing): make id optional in the reader's schema, or keep id required in the writer's schema
}

func TestParseMode(t *testing.T) {
	for _, mode := range compat.Modes() {
		for _, name := range []string{string(mode), strings.ToLower(string(mode)), strings.ReplaceAll(string(mode), "_", "-")} {
			got, err := compat.ParseMode(name)
			require.NoError(t, err)
			require.Equal(t, mode, got)
		}
	}
	_, err := compat.ParseMode("sideways")
	require.ErrorContains(t, err, `mode "sideways" is unknown: choose one of NONE, BACKWARD,`)
	_, err = compat.Mode("").Check(schema.Schema{})
	require.ErrorContains(t, err, "choose one of")
}

func jsonOf(text string) schema.Schema { return schema.Schema{Kind: schema.JSONType, Text: text} }

func TestTheFirstSchemaHasNothingToBreak(t *testing.T) {
	for _, mode := range compat.Modes() {
		report, err := mode.Check(jsonOf(`{"type": "string"}`))
		require.NoError(t, err)
		require.NoError(t, report.Err())
	}
}

func TestOfSeveralEarlierSchemasTheLastCountsUnlessTransitive(t *testing.T) {
	first, second, third := jsonOf(`{"type": "boolean"}`), jsonOf(`{"type": "string"}`), jsonOf(`{"type": ["string", "number"]}`)
	report, err := compat.Backward.Check(third, first, second)
	require.NoError(t, err)
	require.True(t, report.Compatible())

	report, err = compat.BackwardTransitive.Check(third, first, second)
	require.NoError(t, err)
	require.Len(t, report.Problems, 1)
	require.Equal(t, 0, report.Problems[0].Against)
	require.ErrorIs(t, report.Err(), schema.ErrIncompatible)
	require.ErrorContains(t, report.Err(), "the new schema breaks mode BACKWARD_TRANSITIVE:\nerror: backward, against earlier schema 1: $: ")
}

func TestAWarningBreaksNothing(t *testing.T) {
	report, err := compat.Full.Check(
		schema.Schema{Kind: schema.Avro, Text: `{"type": "long", "logicalType": "timestamp-micros"}`},
		schema.Schema{Kind: schema.Avro, Text: `{"type": "long", "logicalType": "timestamp-millis"}`})
	require.NoError(t, err)
	require.Len(t, report.Problems, 2)
	require.NoError(t, report.Err())
}

func TestKindsDoNotReadEachOther(t *testing.T) {
	report, err := compat.Backward.Check(jsonOf(`{}`), schema.Schema{Kind: schema.Avro, Text: `"string"`})
	require.NoError(t, err)
	require.Equal(t, compat.Code("kind-changed"), report.Problems[0].Code)
}

// proto3 is the source of a file in proto3.
func proto3(text string) schema.Schema {
	return schema.Schema{Kind: schema.Protobuf, Text: "syntax = \"proto3\";\n" + text}
}

func TestWhatCannotBeUnderstoodSaysWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		schema schema.Schema
		want   string
	}{
		"kind":                  {schema.Schema{Kind: "XML", Text: "<a/>"}, `kind "XML" is unknown: choose AVRO, PROTOBUF or JSON`},
		"avro text":             {schema.Schema{Kind: schema.Avro, Text: `{"type": "recorder"}`}, "correct its text"},
		"avro reference":        {schema.Schema{Kind: schema.Avro, Text: `"string"`, References: []schema.Reference{{Name: "a.B", Text: `"Nope"`}}}, `reference "a.B"`},
		"avro name":             {schema.Schema{Kind: schema.Avro, Text: `{"type": "array", "items": "a.B"}`}, "correct its text"},
		"proto text":            {proto3("message {"), "correct the .proto source"},
		"proto import":          {proto3(`import "a.proto";`), `import "a.proto" is not among the references: add it`},
		"proto imports in ring": {schema.Schema{Kind: schema.Protobuf, Text: `import "a.proto";`, References: []schema.Reference{{Name: "a.proto", Text: `import "b.proto";`}, {Name: "b.proto", Text: `import "a.proto";`}}}, "cycle"},
		"proto message":         {schema.Schema{Kind: schema.Protobuf, Name: "shop.Order", Text: `syntax = "proto3"; message Order {}`}, `has no message "shop.Order"`},
		"json text":             {jsonOf(`{`), "correct its JSON"},
		"json schema":           {jsonOf(`{"type": "strin"}`), "correct the JSON Schema"},
		"json reference":        {jsonOf(`{"$ref": "https://shop.example/a.json"}`), `"https://shop.example/a.json" is not among the references: add it`},
		"json pattern":          {jsonOf(`{"pattern": "(?=a)"}`), "RE2"},
		"json loop":             {jsonOf(`{"anyOf": [{"type": "string"}, {"$ref": "#"}]}`), "refers to itself without going into a property or an item"},
		"json number":           {jsonOf(`{"minimum": 1e999999999}`), "keep exponents within ±400"},
		"json digits":           {jsonOf(`{"minimum": ` + strings.Repeat("9", 900) + `}`), "900 digits"},
		"json alternatives":     {jsonOf(`{"anyOf": [` + strings.TrimSuffix(strings.Repeat("{},", 300), ",") + `]}`), "anyOf has 300 schemas, and 256 are the most"},
		"size":                  {jsonOf(strings.Repeat(" ", 1<<20) + "{}"), "split it"},
		"nesting":               {jsonOf(strings.Repeat(`{"not":`, 200) + "{}" + strings.Repeat("}", 200)), "nests deeper than 128 levels"},
		"nesting of references": {schema.Schema{Kind: schema.Avro, Text: `"string"`, References: []schema.Reference{{Name: "a", Text: strings.Repeat("[", 500)}}}, `reference "a": it nests deeper`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compat.CanRead(jsonOf(`{}`), test.schema)
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, "compat: the writer's schema")
			_, err = compat.Backward.Check(jsonOf(`{}`), jsonOf(`{}`), test.schema)
			require.ErrorContains(t, err, "earlier schema 2")
			_, err = compat.Backward.Check(test.schema)
			require.ErrorContains(t, err, "the new schema")
		})
	}
}
