package definition_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/definition"
)

func compileSchema(t require.TestingT, text []byte) *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("schema.json", doc))
	compiled, err := c.Compile("schema.json")
	require.NoError(t, err)
	return compiled
}

func validateContract(t *testing.T, data []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	require.NoError(t, err)
	require.NoError(t, compileSchema(t, definition.ContractJSONSchema()).Validate(value))
}

// editorSees reads YAML as an editor does before it holds the value against the JSON Schema.
func editorSees(data []byte) (any, error) {
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

func TestTheJSONSchemaTakesValidFiles(t *testing.T) {
	compiled := compileSchema(t, definition.JSONSchema())
	files, err := filepath.Glob("testdata/valid/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		value, err := editorSees(data)
		require.NoError(t, err)
		require.NoError(t, compiled.Validate(value), file)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := definition.Format(drawDocument(t))
		value, err := editorSees(text)
		require.NoError(t, err, string(text))
		require.NoError(t, compiled.Validate(value), string(text))
	})
}

// TestTheJSONSchemaRejectsWhatItCanSee holds the stories' files against it: what Parse says of a
// single value or key is also for an editor to underline.
func TestTheJSONSchemaRejectsWhatItCanSee(t *testing.T) {
	compiled := compileSchema(t, definition.JSONSchema())
	seen := []definition.Code{"unknown-key", "missing-key", "wrong-type", "encoding", "name", "version", "no-steps", "strategy", "refusals", "duplicate-reference", "retry"}
	files, err := filepath.Glob("testdata/lint/*.txtar")
	require.NoError(t, err)
	rejected := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		require.NoError(t, err)
		for _, f := range archive.Files {
			if !strings.HasSuffix(f.Name, ".yaml") {
				continue
			}
			_, err := definition.Parse(f.Name, f.Data)
			value, unread := editorSees(f.Data)
			if unread != nil {
				require.Error(t, err, file)
				continue
			}
			invalid := compiled.Validate(value)
			visible := slices.ContainsFunc(definition.FindingsOf(err), func(f definition.Finding) bool { return slices.Contains(seen, f.Code) })
			switch {
			case visible:
				rejected++
				require.Error(t, invalid, "%s: %s: %v", file, f.Name, err)
			case err == nil:
				require.NoError(t, invalid, "%s: %s", file, f.Name)
			}
		}
	}
	require.Greater(t, rejected, 5)
}

// object is what the test reads of a JSON Schema.
type object struct {
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Properties  map[string]*object `json:"properties"`
	Definitions map[string]*object `json:"definitions"`
	Required    []string           `json:"required"`
}

func TestTheJSONSchemaHasTheKeysThatParseReads(t *testing.T) {
	var root object
	require.NoError(t, json.Unmarshal(definition.JSONSchema(), &root))
	for what, o := range map[string]*object{
		"definition": &root, "payload": root.Definitions["payload"], "step": root.Definitions["step"], "retry": root.Definitions["retry"],
	} {
		keys, required := definition.KeysOf(what)
		slices.Sort(keys)
		slices.Sort(required)
		require.Equal(t, keys, slices.Sorted(maps.Keys(o.Properties)), what)
		require.Equal(t, required, slices.Sorted(slices.Values(o.Required)), what)
		for key, property := range o.Properties {
			require.NotEmpty(t, property.Title, "%s.%s", what, key)
			require.NotEmpty(t, property.Description, "%s.%s", what, key)
		}
	}
}
