package avro

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	twmb "github.com/twmb/avro"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/schema"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/cases.json anew, for testdata/java")

// vector is a case and what Apache Avro for Java made of it: testdata/java/README.md.
type vector struct {
	Name   string  `json:"name"`
	Writer string  `json:"writer"`
	Reader string  `json:"reader,omitempty"`
	Value  *string `json:"value,omitempty"` // in Avro's JSON encoding

	Canonical   string  `json:"canonical,omitempty"`
	Fingerprint string  `json:"fingerprint,omitempty"`
	Body        string  `json:"body,omitempty"`
	Single      string  `json:"single,omitempty"`
	Compatible  bool    `json:"compatible,omitempty"`
	Read        *string `json:"read,omitempty"`
	Refused     string  `json:"refused,omitempty"`
}

func read(writer, reader, value string) vector {
	return vector{Writer: writer, Reader: reader, Value: &value}
}

// cases are those of the specification's rules, each with a name for its place in the list.
func cases() []vector {
	const r = `{"type":"record","name":"R","fields":[%s]}`
	record := func(fields string) string { return fmt.Sprintf(r, fields) }
	enum := func(rest string) string { return `{"type":"enum","name":"E",` + rest + `}` }
	list := `{"type":"record","name":"L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}`
	out := []vector{
		read(`"int"`, `"long"`, `7`), read(`"int"`, `"float"`, `16777217`), read(`"int"`, `"double"`, `-7`),
		read(`"long"`, `"float"`, `9007199254740993`), read(`"long"`, `"double"`, `9007199254740993`), read(`"float"`, `"double"`, `0.1`),
		read(`"long"`, `"int"`, `7`), read(`"double"`, `"float"`, `1.5`), read(`"boolean"`, `"int"`, `true`), read(`"int"`, `"string"`, `1`),
		read(`"string"`, `"bytes"`, `"żółć"`), read(`"bytes"`, `"string"`, `"abc"`), read(`"null"`, `"null"`, `null`),
		read(`"float"`, `"long"`, `1.0`), read(`"null"`, `["int","null"]`, `null`),
		read(`"int"`, `["null","long"]`, `7`), read(`"int"`, `["long","int"]`, `7`), read(`"int"`, `["double","float"]`, `7`),
		read(`"string"`, `["null","int"]`, `"x"`), read(`"string"`, `["bytes"]`, `"x"`),
		read(`["null","int"]`, `"int"`, `{"int":7}`), read(`["null","int"]`, `"int"`, `null`), read(`["null","int"]`, `"long"`, `{"int":7}`),
		read(`["null","int"]`, `["string","null"]`, `null`), read(`["null","int"]`, `["string","null"]`, `{"int":7}`),
		read(`["int","string"]`, `["string","long"]`, `{"int":7}`), read(`["int","string"]`, `["string","long"]`, `{"string":"x"}`),
		read(`{"type":"array","items":"int"}`, `{"type":"array","items":"long"}`, `[1,2,3]`),
		read(`{"type":"array","items":"int"}`, `{"type":"map","values":"int"}`, `[]`),
		read(`{"type":"map","values":"int"}`, `{"type":"map","values":["null","double"]}`, `{"k":1}`),
		read(enum(`"symbols":["A","B","C"]`), enum(`"symbols":["C","A"]`), `"C"`),
		read(enum(`"symbols":["A","B","C"]`), enum(`"symbols":["C","A"]`), `"B"`),
		read(enum(`"symbols":["A","B","C"]`), enum(`"symbols":["C","A"],"default":"A"`), `"B"`),
		read(enum(`"symbols":["A"]`), `{"type":"enum","name":"x.E","symbols":["A"]}`, `"A"`),
		read(enum(`"symbols":["A"]`), `{"type":"enum","name":"F","aliases":["E"],"symbols":["A"]}`, `"A"`),
		read(`{"type":"fixed","name":"F","size":2}`, `{"type":"fixed","name":"F","size":2}`, `"\u0001\u00ff"`),
		read(`{"type":"fixed","name":"F","size":2}`, `{"type":"fixed","name":"F","size":3}`, `"\u0001\u00ff"`),
		read(record(`{"name":"a","type":"int"}`), record(`{"name":"a","type":"long"},{"name":"b","type":"string","default":"x"}`), `{"a":1}`),
		read(record(`{"name":"a","type":"int"}`), record(`{"name":"b","type":"string"}`), `{"a":1}`),
		read(record(`{"name":"a","type":"int"},{"name":"b","type":"string"}`), record(`{"name":"b","type":"string"}`), `{"a":1,"b":"x"}`),
		read(record(`{"name":"a","type":"int"},{"name":"b","type":"string"}`), record(`{"name":"b","type":"string"},{"name":"a","type":"int"}`), `{"a":1,"b":"x"}`),
		read(record(`{"name":"a","type":"int"}`), record(`{"name":"b","aliases":["a"],"type":"long"}`), `{"a":1}`),
		read(record(`{"name":"a","type":"int"}`), `{"type":"record","name":"S","aliases":["R"],"fields":[{"name":"a","type":"int"}]}`, `{"a":1}`),
		read(`{"type":"record","name":"x.R","fields":[{"name":"a","type":"int"}]}`, record(`{"name":"a","type":"int"}`), `{"a":1}`),
		read(`{"type":"record","name":"x.R","fields":[{"name":"a","type":"int"}]}`, `{"type":"record","name":"y.S","aliases":["x.R"],"fields":[{"name":"a","type":"int"}]}`, `{"a":1}`),
		read(`["null",`+record(`{"name":"a","type":"int"}`)+`]`, `["null",`+record(`{"name":"a","type":"int"},{"name":"b","type":["null","int"],"default":null}`)+`]`, `{"R":{"a":1}}`),
		read(list, list, `{"v":1,"next":{"L":{"v":2,"next":null}}}`),
		read(list, `{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]},{"name":"w","aliases":["v"],"type":"double"}]}`, `{"v":1,"next":{"L":{"v":2,"next":null}}}`),
		read(list, `{"type":"record","name":"L","fields":[{"name":"v","type":"string"}]}`, `{"v":1,"next":null}`),
		read(record(`{"name":"a","type":{"type":"int","logicalType":"date"}}`), record(`{"name":"a","type":"long"}`), `{"a":18000}`),
		read(`{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}`, `{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}`, `"\u0080"`),
	}
	near := `{"type":"record","name":"x.y.R","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"b","type":%s}]}`
	out = append(out,
		read(fmt.Sprintf(near, `"E"`), fmt.Sprintf(near, `["null","x.y.E"]`), `{"a":"A","b":"B"}`),
		read(fmt.Sprintf(near, `["null",{"type":"record","name":"z.S","fields":[{"name":"e","type":"x.y.E"},{"name":"r","type":["null","x.y.R"]}]}]`),
			fmt.Sprintf(near, `["null",{"type":"record","name":"S","fields":[{"name":"r","type":["null","R"]},{"name":"e","type":"E"}]}]`),
			`{"a":"A","b":{"z.S":{"e":"B","r":{"x.y.R":{"a":"B","b":null}}}}}`),
		read(`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"record","name":"n.S","fields":[{"name":"x","type":{"type":"fixed","name":"F","size":1}},{"name":"y","type":"F"}]}}]}`,
			record(`{"name":"a","type":{"type":"record","name":"S","fields":[{"name":"y","type":{"type":"fixed","name":"F","size":1}}]}}`), `{"a":{"x":"a","y":"b"}}`),
	)
	defaults := []string{
		`"null","default":null`, `"boolean","default":true`, `"int","default":-1`, `"long","default":9007199254740993`, `"float","default":1.5`,
		`"double","default":1e300`, `"bytes","default":"\u00ff\u0000"`, `"string","default":"żółć"`, `["int","null"],"default":3`,
		`{"type":"array","items":"long"},"default":[1,2]`, `{"type":"map","values":"float"},"default":{"k":1.5}`,
		`{"type":"enum","name":"E","symbols":["A","B"]},"default":"B"`, `{"type":"fixed","name":"F","size":2},"default":"\u00fe\u0001"`,
		`{"type":"record","name":"S","fields":[{"name":"x","type":"int"},{"name":"y","type":["null","string"]}]},"default":{"x":5,"y":null}`,
		`{"type":"record","name":"S","fields":[{"name":"x","type":"int","default":9}]},"default":{}`,
	}
	for _, d := range defaults {
		out = append(out, read(record(``), record(`{"name":"d","type":`+d+`}`), `{}`))
	}
	for i := range out {
		out[i].Name = fmt.Sprintf("rule %d", i)
	}
	// The schemas of share/test/data/schema-tests.txt in apache/avro.
	for i, text := range []string{
		`[]`, `["int"]`, `["int",{"type":"boolean"}]`, `{"fields":[],"type":"record","name":"foo","namespace":"x.y"}`,
		`{"fields":[],"type":"record","name":"a.b.foo","namespace":"x.y"}`, `{"fields":[],"type":"record","name":"foo","doc":"foo","aliases":["foo","bar"]}`,
		`{"fields":[{"type":{"type":"boolean"},"name":"f1"}],"type":"record","name":"foo"}`, `{"type":"enum","name":"foo","symbols":["A1"]}`,
		`{"namespace":"x.y.z","type":"enum","name":"foo","doc":"foo bar","symbols":["A1","A2"]}`, `{"name":"foo","type":"fixed","size":15}`,
		`{"namespace":"x.y.z","type":"fixed","name":"foo","doc":"foo bar","size":32}`, `{"items":{"type":"null"},"type":"array"}`,
		`{"values":"string","type":"map"}`, `{"name":"PigValue","type":"record","fields":[{"name":"value","type":["null","int","long","PigValue"]}]}`,
	} {
		out = append(out, vector{Name: fmt.Sprintf("canonical %d", i), Writer: text})
	}
	return out
}

// randomCases are the same every time.
func randomCases(t *testing.T) []vector {
	t.Helper()
	var out []vector
	for seed := range 400 {
		v, ok := rapid.Custom(func(t *rapid.T) vector {
			d := drawer{t: t}
			n := d.schema(3)
			v := vector{Writer: n.text(), Reader: d.changed(n).text()}
			parsed, err := twmb.Parse(v.Writer)
			require.NoError(t, err)
			body, err := encodeAny(v.Writer, d.value(n))
			require.NoError(t, err)
			var value any
			_, err = parsed.Decode(body, &value, twmb.TaggedUnions())
			require.NoError(t, err)
			text, err := parsed.EncodeJSON(value, twmb.TaggedUnions())
			if _, faulty := twmb.Parse(v.Reader); faulty == nil && err == nil {
				v.Value = new(string(text))
			}
			return v
		}).Example(seed), true
		if ok && v.Value != nil {
			v.Name = fmt.Sprintf("random %d", seed)
			out = append(out, v)
		}
	}
	return out
}

func TestVectorsOfApacheAvro(t *testing.T) {
	if *rewrite {
		text, err := json.MarshalIndent(append(cases(), randomCases(t)...), "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile("testdata/cases.json", append(text, '\n'), 0o600))
		t.Skip("the cases are written: run testdata/java for the vectors")
	}
	text, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var vectors []vector
	require.NoError(t, json.Unmarshal(text, &vectors))
	require.Greater(t, len(vectors), 300)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) { v.check(t) })
	}
}

func (v vector) check(t *testing.T) {
	fingerprint, err := Fingerprint(v.Writer)
	require.NoError(t, err)
	require.Equal(t, v.Fingerprint, fmt.Sprintf("%016x", fingerprint))
	parsed, err := twmb.Parse(v.Writer)
	require.NoError(t, err)
	require.Equal(t, v.Canonical, string(parsed.Canonical()))
	if v.Value == nil {
		return
	}
	body, err := hex.DecodeString(v.Body)
	require.NoError(t, err)
	single := schema.ID{Framing: schema.SingleObject, Number: fingerprint}.Append(nil)
	require.Equal(t, v.Single, hex.EncodeToString(append(single, body...)))

	var value any
	require.NoError(t, parsed.DecodeJSON([]byte(*v.Value), &value))
	same, _, err := decodeAny(v.Writer, v.Writer, body)
	require.NoError(t, err)
	require.Equal(t, alike(value), alike(same))
	ours, certain, err := decodeAny(v.Writer, v.Reader, body)
	if v.Refused != "" {
		require.Error(t, err)
		return
	}
	if certain && err != nil {
		// Java looks at items only once there are some, and takes a record of another name where
		// its structure fits; the specification, and Java's own check, refuse both.
		require.False(t, v.Compatible, err)
		return
	}
	if err != nil && strings.Contains(err.Error(), "not valid UTF-8") {
		return // Java puts U+FFFD in place of what is no text
	}
	require.NoError(t, err)
	if *v.Read == "" { // Java's JSON of a record without fields
		*v.Read = "{}"
	}
	reader, err := twmb.Parse(v.Reader)
	require.NoError(t, err)
	var theirs any
	require.NoError(t, reader.DecodeJSON([]byte(*v.Read), &theirs))
	require.Equal(t, alike(theirs), alike(ours))
}
