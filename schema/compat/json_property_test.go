package compat_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/schema/compat"
)

type jsonObject = map[string]any

// jsonWords draws one group of keywords.
func jsonWords(t *rapid.T, depth int, into jsonObject) {
	sub := func(label string) any { return drawJSONSchema(t, depth-1, label) }
	subs := func(label string) []any {
		list := make([]any, rapid.IntRange(1, 3).Draw(t, label+" count"))
		for i := range list {
			list[i] = sub(label)
		}
		return list
	}
	small := rapid.IntRange(0, 2)
	simple := []func(){
		func() {
			into["type"] = rapid.SampledFrom([]any{"null", "boolean", "integer", "number", "string", "array", "object",
				[]any{"string", "null"}, []any{"integer", "object"}, []any{"boolean", "null"}}).Draw(t, "type")
		},
		func() {
			into["enum"] = rapid.SliceOfNDistinct(rapid.SampledFrom([]any{nil, true, 0, 1, 1.5, "", "a", "ab"}), 1, 4, func(v any) any { return v }).Draw(t, "enum")
		},
		func() { into["const"] = rapid.SampledFrom([]any{nil, false, 0, 1, "a"}).Draw(t, "const") },
		func() { into["minimum"] = small.Draw(t, "minimum") },
		func() { into["exclusiveMaximum"] = small.Draw(t, "exclusiveMaximum") },
		func() { into["multipleOf"] = rapid.SampledFrom([]any{0.5, 1, 2, 1.5}).Draw(t, "multipleOf") },
		func() { into["minLength"] = small.Draw(t, "minLength") },
		func() { into["maxLength"] = small.Draw(t, "maxLength") },
		func() { into["pattern"] = rapid.SampledFrom([]any{"^a", "b$"}).Draw(t, "pattern") },
		func() { into["minItems"] = small.Draw(t, "minItems") },
		func() { into["maxItems"] = small.Draw(t, "maxItems") },
		func() { into["uniqueItems"] = true },
		func() { into["minProperties"] = small.Draw(t, "minProperties") },
		func() { into["maxProperties"] = small.Draw(t, "maxProperties") },
		func() {
			into["required"] = rapid.SliceOfNDistinct(rapid.SampledFrom([]any{"a", "b", "xa"}), 1, 2, func(v any) any { return v }).Draw(t, "required")
		},
		func() { into["additionalProperties"] = rapid.Bool().Draw(t, "additionalProperties") },
		func() { into["$ref"] = rapid.SampledFrom([]any{"#/$defs/one", "#/$defs/two"}).Draw(t, "$ref") },
		func() { into["dependentRequired"] = jsonObject{"a": []any{"b"}} },
	}
	deep := []func(){
		func() {
			properties := jsonObject{}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "xa"}), 1, 3, rapid.ID[string]).Draw(t, "names") {
				properties[name] = sub("property " + name)
			}
			into["properties"] = properties
		},
		func() {
			into["patternProperties"] = jsonObject{rapid.SampledFrom([]string{"^x", "a$"}).Draw(t, "name"): sub("patternProperties")}
		},
		func() { into["additionalProperties"] = sub("additionalProperties") },
		func() { into["propertyNames"] = sub("propertyNames") },
		func() { into["items"] = sub("items") },
		func() { into["prefixItems"] = subs("prefixItems") },
		func() { into["contains"] = sub("contains") },
		func() { into["allOf"] = subs("allOf") },
		func() { into["anyOf"] = subs("anyOf") },
		func() { into["oneOf"] = subs("oneOf") },
		func() { into["not"] = sub("not") },
		func() { into["if"], into["then"] = sub("if"), sub("then") },
		func() { into["dependentSchemas"] = jsonObject{"a": sub("dependentSchemas")} },
		func() { into["unevaluatedProperties"] = false },
	}
	if depth > 0 && rapid.Bool().Draw(t, "deep") {
		rapid.SampledFrom(deep).Draw(t, "keyword")()
		return
	}
	rapid.SampledFrom(simple).Draw(t, "keyword")()
}

func drawJSONSchema(t *rapid.T, depth int, label string) any {
	if rapid.IntRange(0, 9).Draw(t, label+" is a bool") == 0 {
		return rapid.Bool().Draw(t, label)
	}
	s := jsonObject{}
	for range rapid.IntRange(1, 3).Draw(t, label+" keywords") {
		jsonWords(t, depth, s)
	}
	return s
}

// mutate changes one place of a schema, so that the two are often compatible.
func mutate(t *rapid.T, schema any, depth int) any {
	s, ok := schema.(jsonObject)
	if !ok || len(s) == 0 {
		return drawJSONSchema(t, depth, "mutant")
	}
	changed := jsonObject{}
	var keys []string
	for key, value := range s {
		changed[key] = value
	}
	for _, key := range []string{"type", "enum", "minimum", "required", "properties", "items", "anyOf", "oneOf", "allOf", "additionalProperties", "not"} {
		if _, ok := s[key]; ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 || rapid.IntRange(0, 2).Draw(t, "add") == 0 {
		jsonWords(t, depth, changed)
		return changed
	}
	key := rapid.SampledFrom(keys).Draw(t, "key")
	switch value := s[key].(type) {
	case jsonObject:
		if key == "properties" {
			inner := jsonObject{}
			for name, sub := range value {
				inner[name] = sub
			}
			name := rapid.SampledFrom([]string{"a", "b", "xa"}).Draw(t, "name")
			inner[name] = mutate(t, inner[name], depth-1)
			changed[key] = inner
			return changed
		}
		changed[key] = mutate(t, value, depth-1)
	case []any:
		if strings.HasSuffix(key, "Of") {
			list := append([]any{}, value...)
			if rapid.Bool().Draw(t, "longer") {
				changed[key] = append(list, drawJSONSchema(t, depth-1, "alternative"))
			} else {
				list[0] = mutate(t, list[0], depth-1)
				changed[key] = list
			}
			return changed
		}
		delete(changed, key)
	default:
		delete(changed, key)
	}
	return changed
}

func drawJSONValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "value") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.SampledFrom([]any{-1, 0, 1, 2, 3, 0.5, 1.5}).Draw(t, "number")
	case 3:
		return rapid.SampledFrom([]string{"", "a", "ab", "b", "abc", "xa"}).Draw(t, "string")
	case 4:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "items"))
		for i := range list {
			list[i] = drawJSONValue(t, depth-1)
		}
		return list
	default:
		object := jsonObject{}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "xa", "c"}), 0, 4, rapid.ID[string]).Draw(t, "names") {
			object[name] = drawJSONValue(t, depth-1)
		}
		return object
	}
}

// TestWhatIsCompatibleValidates is the promise for JSON Schema: where there is no problem at
// all, what validates by the writer's schema validates by the reader's.
func TestWhatIsCompatibleValidates(t *testing.T) {
	var pairs, fine, undecided, broken, shown int
	rapid.Check(t, func(t *rapid.T) {
		writer := jsonObject{"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": []any{drawJSONSchema(t, 3, "writer")}}
		reader := jsonObject{"$schema": writer["$schema"], "allOf": []any{mutate(t, writer["allOf"].([]any)[0], 3)}}
		defs := jsonObject{"one": drawJSONSchema(t, 2, "one"), "two": drawJSONSchema(t, 1, "two")}
		writer["$defs"], reader["$defs"] = defs, defs
		if rapid.Bool().Draw(t, "definition changes") {
			reader["$defs"] = jsonObject{"one": mutate(t, defs["one"], 2), "two": defs["two"]}
		}
		if rapid.Bool().Draw(t, "draft-07") {
			writer["$schema"], reader["$schema"] = "http://json-schema.org/draft-07/schema#", "http://json-schema.org/draft-07/schema#"
			writer, reader = draft7(writer).(jsonObject), draft7(reader).(jsonObject)
		}
		writerText, readerText := jsonText(t, writer), jsonText(t, reader)
		problems, err := compat.CanRead(jsonOf(readerText), jsonOf(writerText))
		if err != nil {
			require.ErrorContains(t, err, "refers to itself without going into")
			return
		}
		pairs++
		codes := map[compat.Code]bool{}
		for _, p := range problems {
			codes[p.Code] = true
		}
		byWriter, byReader := validator(t, writerText), validator(t, readerText)
		counterexample := ""
		for range 30 {
			text := jsonText(t, drawJSONValue(t, 3))
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			require.NoError(t, err)
			if byWriter.Validate(value) == nil && byReader.Validate(value) != nil {
				counterexample = text
				break
			}
		}
		switch {
		case len(problems) == 0:
			fine++
			require.Empty(t, counterexample, "written by %s, refused by %s", writerText, readerText)
		case codes["undecided"] || codes["union-branch-missing"]:
			undecided++
		default:
			broken++
			if counterexample != "" {
				shown++
			}
		}
	})
	t.Logf("of %d pairs %d are compatible, %d undecided, %d broken, %d of them shown by an example", pairs, fine, undecided, broken, shown)
}

// draft7 says the same in the words of draft-07.
func draft7(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = draft7(item)
		}
		return list
	case jsonObject:
		old := jsonObject{}
		for key, value := range v {
			old[key] = draft7(value)
		}
		if prefix, ok := old["prefixItems"]; ok {
			if rest, ok := old["items"]; ok {
				old["additionalItems"] = rest
			}
			old["items"] = prefix
			delete(old, "prefixItems")
		}
		for _, key := range []string{"dependentRequired", "dependentSchemas"} {
			if needs, ok := old[key]; ok {
				old["dependencies"] = needs
				delete(old, key)
			}
		}
		return old
	default:
		return v
	}
}

func jsonText(t *rapid.T, v any) string {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}

func validator(t *rapid.T, text string) *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("test:///a", doc))
	compiled, err := compiler.Compile("test:///a")
	require.NoError(t, err, text)
	return compiled
}
