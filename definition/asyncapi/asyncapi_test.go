package asyncapi

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

var rewrite = flag.Bool("rewrite", false, "write the documents in testdata anew")

func made(t require.TestingT, s choreo.Spec) *choreo.Definition {
	d, err := choreo.FromSpec(s)
	require.NoError(t, err)
	return d
}

func step(name, owner, output string, after ...string) choreo.StepDef {
	return choreo.StepDef{Name: name, Owner: owner, Output: output, After: after}
}

const (
	placedAvro  = `{"type":"record","name":"Placed","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"total","type":"shop.Money"},{"name":"paid","type":["null","shop.Money"],"default":null}]}`
	moneyAvro   = `{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"cents","type":"long"},{"name":"currency","type":"string"}]}`
	createdJSON = `{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"https://example.org/created","type":"object","properties":{"id":{"$ref":"#/$defs/id"},"at":{"$ref":"place.json#/properties/street"}},"$defs":{"id":{"type":"string","minLength":1}}}`
	placeJSON   = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"street":{"type":"string"},"in":{"$ref":"#"}}}`
	oldJSON     = `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","definitions":{"n":{"type":"number"}},"properties":{"n":{"$ref":"#/definitions/n"}}}`
	tripProto   = "syntax = \"proto3\";\npackage trips;\n\nmessage TripTaken {\n  string id = 1;\n  repeated string cities = 2;\n}\n"
)

// shop has all kinds of steps and of schemas, in two versions.
func shop(t require.TestingT) []Saga {
	car := step("rent-car", "cars", "CarRented", "create")
	car.Optional, car.Encoding = true, choreo.Protobuf
	check := step("check", "fraud", "Old", "create")
	check.Condition = "when \"it\" <is>\nlarge"
	check.CompensateIf = "grave"
	pay := step("pay", "payments", "Paid with:a/free name", "rent-car", "check")
	pay.Pivot = true
	last := step("tell", "mail", "", "pay")
	last.Uses = []string{"create"}
	first := choreo.Spec{
		Name: "shop", Version: 1, Encoding: choreo.JSON, Input: "Placed",
		Steps: []choreo.StepDef{step("create", "orders", "Created"), car, check, pay, last},
	}
	second := first
	second.Version, second.Strategy = 2, choreo.ParallelOrder
	schemas := map[string]schema.Schema{
		"Placed": {Kind: schema.Avro, Name: "shop.Placed", Text: placedAvro, References: []schema.Reference{{Name: "shop.Money", Text: moneyAvro}}},
		"Created": {
			Kind: schema.JSONType, Name: "Created", Text: createdJSON,
			References: []schema.Reference{{Name: "place.json", Text: placeJSON}},
		},
		"Old":       {Kind: schema.JSONType, Name: "Old", Text: oldJSON},
		"CarRented": {Kind: schema.Protobuf, Name: "trips.TripTaken", Text: tripProto},
	}
	changed := map[string]schema.Schema{"Placed": {Kind: schema.Avro, Name: "shop.Money", Text: moneyAvro}, "Old": schemas["Old"]}
	other := choreo.Spec{Name: "note", Version: 1, Input: "Placed", Steps: []choreo.StepDef{step("write", "orders", "Written")}}
	return []Saga{
		{Definition: made(t, second), Schemas: changed},
		{Definition: made(t, first), Schemas: schemas},
		{Definition: made(t, other)},
	}
}

func options() Options {
	return Options{
		Namespace: "acme.shop", Title: "The shop", Version: "2.1.0",
		Servers: []Server{
			{Name: "production", Host: "kafka.example.org:9093", Secure: true, Registry: "https://registry.example.org", RegistryVendor: "karapace"},
			{Name: "local", Host: "localhost:9092", Description: "A broker of one's own."},
		},
		Topology: topics.TopologyOptions{Partitions: 6, ReplicationFactor: 3},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "read the new document, then run with -rewrite")
}

func TestDocument(t *testing.T) {
	opts := options()
	data, err := Document(shop(t), opts)
	require.NoError(t, err)
	golden(t, "shop.json", data)

	opts.Format = YAML
	data, err = Document(shop(t), opts)
	require.NoError(t, err)
	golden(t, "shop.yaml", data)

	data, err = Document(shop(t)[2:], Options{Namespace: "choreo", Format: YAML})
	require.NoError(t, err)
	golden(t, "note.yaml", data)
}

// read returns a document as plain values.
func read(t require.TestingT, data []byte) map[string]any {
	var doc map[string]any
	require.NoError(t, json.Unmarshal(data, &doc))
	return doc
}

func at(t require.TestingT, doc any, path ...string) any {
	for _, p := range path {
		object, ok := doc.(map[string]any)
		require.True(t, ok, "%s in %v", p, path)
		require.Contains(t, object, p, "in %v", path)
		doc = object[p]
	}
	return doc
}

func TestYAMLSaysWhatJSONSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "payload")
		opts := options()
		opts.Description = rapid.String().Draw(t, "description")
		d := made(t, choreo.Spec{Name: "one", Version: 1, Input: name, Steps: []choreo.StepDef{step("a", "b", name)}})
		asJSON, err := Document([]Saga{{Definition: d}}, opts)
		require.NoError(t, err)
		opts.Format = YAML
		asYAML, err := Document([]Saga{{Definition: d}}, opts)
		require.NoError(t, err)
		var fromYAML any
		require.NoError(t, yaml.Unmarshal(asYAML, &fromYAML))
		again, err := json.Marshal(fromYAML)
		require.NoError(t, err)
		require.JSONEq(t, string(asJSON), string(again))
	})
}

// Every reference leads to something, whatever names payloads have.
func TestReferencesResolve(t *testing.T) {
	data, err := Document(shop(t), options())
	require.NoError(t, err)
	doc := read(t, data)
	count := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if target, ok := v["$ref"].(string); ok {
				count++
				rest, inside := strings.CutPrefix(target, "#/")
				require.True(t, inside, target)
				at(t, doc, strings.Split(rest, "/")...)
			}
			for _, part := range v {
				walk(part)
			}
		case []any:
			for _, part := range v {
				walk(part)
			}
		}
	}
	walk(doc)
	require.Greater(t, count, 100)
}

func messagesOf(t *testing.T, doc map[string]any, operation string) []string {
	t.Helper()
	var keys []string
	for _, m := range at(t, doc, "operations", operation, "messages").([]any) {
		target := m.(map[string]any)["$ref"].(string)
		keys = append(keys, target[strings.LastIndex(target, "/")+1:])
	}
	return keys
}

func TestWhoSendsAndReceives(t *testing.T) {
	data, err := Document(shop(t)[1:2], options())
	require.NoError(t, err)
	doc := read(t, data)
	require.Equal(t, []string{
		"v1.parked", "v1.released", "v1.release-rejected",
		"v1.rent-car.completed", "v1.rent-car.bypassed", "v1.rent-car.skipped", "v1.rent-car.compensated",
		"v1.rent-car.compensation-failed", "v1.rent-car.command-rejected",
	}, messagesOf(t, doc, "cars.shop.send"))
	received := messagesOf(t, doc, "cars.shop.receive")
	require.Contains(t, received, "v1.create.completed")
	require.Contains(t, received, "v1.check.failed")
	require.NotContains(t, received, "v1.check.completed", "it waits for create alone")
	require.NotContains(t, received, "v1.started")
	require.Contains(t, messagesOf(t, doc, "payments.shop.send"), "v1.aborted", "the owner of the pivot is the arbiter")
	require.Contains(t, messagesOf(t, doc, "mail.shop.send"), "v1.tell.stuck")
	require.NotContains(t, messagesOf(t, doc, "mail.shop.send"), "v1.tell.failed", "past the pivot nothing fails")
	require.Equal(t, "acme.shop.cars", at(t, doc, "operations", "cars.shop.receive", "bindings", "kafka", "groupId", "const"))
}

func TestPayloads(t *testing.T) {
	data, err := Document(shop(t), options())
	require.NoError(t, err)
	doc := read(t, data)
	schemas := func(path ...string) any { return at(t, doc, append([]string{"components", "schemas"}, path...)...) }
	require.Equal(t, "application/vnd.apache.avro;version=1.9.0", schemas("Placed", "schemaFormat"))
	require.Equal(t, "application/vnd.google.protobuf;version=3", schemas("CarRented", "schemaFormat"))
	require.Equal(t, "application/schema+json;version=draft-2020-12", schemas("Created", "schemaFormat"))
	require.Equal(t, "application/schema+json;version=draft-07", schemas("Old", "schemaFormat"))
	require.Equal(t, tripProto, schemas("CarRented", "schema"))
	require.Equal(t, "#/components/schemas/Created/schema/$defs/id", schemas("Created", "schema", "properties", "id", "$ref"))
	require.Equal(t, "#/components/schemas/place.json/schema/properties/street", schemas("Created", "schema", "properties", "at", "$ref"))
	require.Equal(t, "Money", schemas("Placed-2", "schema", "name"), "the second version has another schema of that name")

	fields := schemas("Placed", "schema", "fields").([]any)
	require.Equal(t, "Money", at(t, fields[1], "type", "name"), "put in where it is first named")
	require.Equal(t, []any{"null", "shop.Money"}, at(t, fields[2], "type"), "and named after that")

	completed := at(t, doc, "components", "messages", "shop.v1.rent-car.completed")
	require.Equal(t, "application/protobuf", at(t, completed, "contentType"))
	properties := at(t, completed, "headers", "properties").(map[string]any)
	require.Contains(t, properties, "choreo-output-create", "tell reads it, and waits for pay")
	require.NotContains(t, at(t, doc, "components", "messages", "shop.v1.tell.completed", "headers", "properties"), "choreo-output-create")
}

func TestPropertyCalledRefIsNone(t *testing.T) {
	moved, err := moveRefs(json.RawMessage(`{"properties":{"$ref":{"$ref":"#/a"}}}`), map[string]string{"": "#/here"}, 0)
	require.NoError(t, err)
	require.JSONEq(t, `{"properties":{"$ref":{"$ref":"#/here/a"}}}`, string(moved))
}

func TestChannels(t *testing.T) {
	data, err := Document(shop(t), options())
	require.NoError(t, err)
	doc := read(t, data)
	require.Len(t, at(t, doc, "channels"), 3)
	binding := at(t, doc, "channels", "shop.events", "bindings", "kafka").(map[string]any)
	require.Equal(t, "acme.shop.shop.events", at(t, doc, "channels", "shop.events", "address"))
	require.InDelta(t, 6, binding["partitions"], 0)
	require.InDelta(t, 3, binding["replicas"], 0)
	require.Equal(t, []any{"delete"}, at(t, binding, "topicConfiguration", "cleanup.policy"))
	require.InDelta(t, 30*24*3600*1000, at(t, binding, "topicConfiguration", "retention.ms"), 0)
}

func TestFaults(t *testing.T) {
	one := made(t, choreo.Spec{Name: "one", Version: 1, Input: "In", Steps: []choreo.StepDef{step("a", "b", "Out")}})
	with := func(s schema.Schema) []Saga {
		return []Saga{{Definition: one, Schemas: map[string]schema.Schema{"In": s}}}
	}
	good := Options{Namespace: "choreo"}
	for name, test := range map[string]struct {
		sagas []Saga
		opts  Options
		want  []string
	}{
		"options": {nil, Options{Namespace: "a b", Format: "xml", Servers: []Server{
			{Name: "a/b", Host: "x"}, {Name: "c"}, {Name: "d", Host: "x", RegistryVendor: "y"}, {Name: "d", Host: "x"},
		}}, []string{"Namespace", "Format", "Servers[0].Name", "Servers[1].Host", "Servers[2].RegistryVendor", "Servers[3].Name"}},
		"twice":     {[]Saga{{Definition: one}, {Definition: one}}, good, []string{"one/1", "given twice"}},
		"unknown":   {[]Saga{{Definition: one, Schemas: map[string]schema.Schema{"Ins": {}}}}, good, []string{`"Ins"`, "spelling"}},
		"kind":      {with(schema.Schema{Kind: "XSD"}), good, []string{`"In"`, "XSD"}},
		"avro":      {with(schema.Schema{Kind: schema.Avro, Text: "{"}), good, []string{"no JSON"}},
		"json":      {with(schema.Schema{Kind: schema.JSONType, Text: "{"}), good, []string{"no JSON"}},
		"ref":       {with(schema.Schema{Kind: schema.JSONType, Text: `{"$ref":"http://example.org/x"}`}), good, []string{"leads out"}},
		"anchor":    {with(schema.Schema{Kind: schema.JSONType, Text: `{"$ref":"#x"}`}), good, []string{"leads out"}},
		"deep":      {with(schema.Schema{Kind: schema.JSONType, Text: strings.Repeat("[", 300) + strings.Repeat("]", 300)}), good, []string{"flatten"}},
		"import":    {with(schema.Schema{Kind: schema.Protobuf, References: []schema.Reference{{Name: "a.proto"}}}), good, []string{"a.proto"}},
		"reference": {with(schema.Schema{Kind: schema.JSONType, Text: "{}", References: []schema.Reference{{Name: "x", Text: "{"}}}), good, []string{`"x"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Document(test.sagas, test.opts)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), "asyncapi: "), err)
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestEveryEventHasASummary(t *testing.T) {
	for _, s := range shop(t) {
		for _, e := range events(s.Definition.Def()) {
			require.NotEmpty(t, summary(e), e.kind)
			require.True(t, e.kind.Known())
			require.Equal(t, e.kind.OfStep(), e.step != "")
			require.NotEmpty(t, e.sender)
		}
	}
}

func TestCallersSagasStayInOrder(t *testing.T) {
	sagas := shop(t)
	before := slices.Clone(sagas)
	_, err := Document(sagas, options())
	require.NoError(t, err)
	require.Equal(t, before[0].Definition, sagas[0].Definition)
}
