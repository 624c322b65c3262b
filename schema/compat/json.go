package compat

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/choreo-go/choreo/schema"
)

// jsonSchema is a schema that is compiled: every $ref is a pointer to what it means.
type jsonSchema struct{ root *jsonschema.Schema }

const (
	jsonBase      = "choreo:///schema.json"
	maxExponent   = 400
	maxNumberText = 800
	maxParts      = 256 // of an allOf, anyOf or oneOf, and of what a $ref leads to
)

func parseJSON(s schema.Schema) (*jsonSchema, error) {
	doc, err := jsonDocument(s.Text)
	if err != nil {
		return nil, err
	}
	loader := jsonLoader{}
	for _, ref := range s.References {
		if loader[ref.Name], err = jsonDocument(ref.Text); err != nil {
			return nil, fmt.Errorf("reference %q: %w", ref.Name, err)
		}
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(defaultDraft(s.Text))
	compiler.UseLoader(loader)
	compiler.AssertFormat()
	for _, name := range formatNames() {
		compiler.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(any) error { return nil }})
	}
	if err := compiler.AddResource(jsonBase, doc); err != nil {
		return nil, fmt.Errorf("correct the JSON Schema: %w", err)
	}
	root, err := compiler.Compile(jsonBase)
	if err != nil && strings.Contains(err.Error(), "regex") {
		return nil, fmt.Errorf("correct the JSON Schema, and write patterns in RE2 syntax, without look-around and back-references: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("correct the JSON Schema: %w", err)
	}
	if err := checkLoops(root); err != nil {
		return nil, err
	}
	return &jsonSchema{root: root}, nil
}

// formatNames are the formats that are compared by name; whether a validator looks at them is
// its own choice.
func formatNames() []string {
	return []string{
		"date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname", "ipv4", "ipv6",
		"uri", "uri-reference", "uri-template", "iri", "iri-reference", "uuid", "json-pointer", "relative-json-pointer",
	}
}

// defaultDraft is the draft of a schema that does not say which: draft-07 as registries have it,
// unless it uses words that draft-07 would pass over in silence.
func defaultDraft(text string) *jsonschema.Draft {
	for _, word := range []string{
		"$defs", "$dynamicRef", "prefixItems", "dependentSchemas", "dependentRequired", "unevaluatedProperties",
		"unevaluatedItems", "minContains", "maxContains", "$anchor",
	} {
		if strings.Contains(text, `"`+word+`"`) {
			return jsonschema.Draft2020
		}
	}
	return jsonschema.Draft7
}

// jsonLoader answers a $ref to another document from the references alone.
type jsonLoader map[string]any

func (l jsonLoader) Load(url string) (any, error) {
	for _, name := range slices.Sorted(maps.Keys(l)) {
		doc, _ := l[name].(map[string]any)
		if name == url || strings.HasSuffix(url, "/"+strings.TrimPrefix(name, "/")) || doc != nil && doc["$id"] == url {
			return l[name], nil
		}
	}
	return nil, fmt.Errorf("%q is not among the references: add it", url)
}

func jsonDocument(text string) (any, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("correct its JSON: %w", err)
	}
	return doc, checkDocument(doc)
}

// checkDocument refuses what would take hours or gigabytes to compare: numbers that are long when
// written out, and very many alternatives.
func checkDocument(doc any) error {
	switch v := doc.(type) {
	case json.Number:
		text := strings.ToLower(v.String())
		if _, exponent, ok := strings.Cut(text, "e"); ok {
			if n, err := strconv.Atoi(exponent); err != nil || n > maxExponent || n < -maxExponent {
				return fmt.Errorf("number %.40s is out of range: keep exponents within ±%d", text, maxExponent)
			}
		}
		if len(text) > maxNumberText {
			return fmt.Errorf("number %.40s… has %d digits, and %d are the most", text, len(text), maxNumberText)
		}
	case []any:
		for _, item := range v {
			if err := checkDocument(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, item := range v {
			if list, ok := item.([]any); ok && len(list) > maxParts && (key == "allOf" || key == "anyOf" || key == "oneOf") {
				return fmt.Errorf("%s has %d schemas, and %d are the most: group them", key, len(list), maxParts)
			}
			if err := checkDocument(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// jsonTypes is a set of types; number is integer and fraction.
type jsonTypes uint8

const (
	typeNull jsonTypes = 1 << iota
	typeBoolean
	typeInteger
	typeFraction
	typeString
	typeArray
	typeObject
	typeNumber = typeInteger | typeFraction
	typeAny    = typeNull | typeBoolean | typeNumber | typeString | typeArray | typeObject
)

var jsonTypeNames = [...]struct {
	name string
	bits jsonTypes
}{
	{"null", typeNull},
	{"boolean", typeBoolean},
	{"integer", typeInteger},
	{"number", typeNumber},
	{"string", typeString},
	{"array", typeArray},
	{"object", typeObject},
}

func typesOf(s *jsonschema.Schema) jsonTypes {
	if s.Bool != nil && !*s.Bool {
		return 0
	}
	if s.Types == nil {
		return typeAny
	}
	var types jsonTypes
	for _, name := range s.Types.ToStrings() {
		for _, known := range jsonTypeNames {
			if known.name == name {
				types |= known.bits
			}
		}
	}
	return types
}

// String lists the types for people.
func (t jsonTypes) String() string {
	if t == typeAny {
		return "any value"
	}
	var names []string
	for _, known := range jsonTypeNames {
		if known.name == "integer" && t&typeFraction != 0 {
			continue
		}
		if t&known.bits == known.bits {
			names = append(names, known.name)
		}
	}
	if t&typeNumber == typeFraction {
		names = append(names, "a number that is not whole")
	}
	return nameOr(strings.Join(names, " or "), "nothing")
}

// each returns the types one by one, numbers together.
func (t jsonTypes) each() []jsonTypes {
	var one []jsonTypes
	for _, bits := range []jsonTypes{typeNull, typeBoolean, t & typeNumber, typeString, typeArray, typeObject} {
		if bits != 0 && t&bits == bits {
			one = append(one, bits)
		}
	}
	return one
}
