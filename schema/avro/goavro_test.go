package avro

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Here are schemas that goavro by itself takes otherwise than the specification, or not at all.
func TestWhatGoavroIsSpared(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	for _, test := range []struct {
		name, schema string
		value        any
	}{
		{"a timestamp in a union", `["null",{"type":"long","logicalType":"timestamp-millis"}]`, at},
		{"a date in a union", `["null","string",{"type":"int","logicalType":"date"}]`, time.Unix(86400, 0).UTC()},
		{"a negative decimal in a union", `["null",{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}]`, big.NewRat(-1, 100)},
		{
			"two decimals of other scales",
			`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}},
				{"name":"b","type":{"type":"bytes","logicalType":"decimal","precision":6,"scale":4}}]}`,
			map[string]any{"a": big.NewRat(1, 4), "b": big.NewRat(1, 10000)},
		},
		{"a decimal without a scale", `{"type":"bytes","logicalType":"decimal","precision":6}`, big.NewRat(-129, 1)},
		{"a decimal of fixed", `{"type":"fixed","name":"D","size":3,"logicalType":"decimal","precision":6,"scale":2}`, big.NewRat(-129, 100)},
		{"an unknown logical type", `{"type":"int","logicalType":"made-up"}`, int32(7)},
		{"a logical type of another type", `{"type":"string","logicalType":"timestamp-millis"}`, "text"},
		{
			"the null namespace in another",
			`{"type":"record","name":"x.R","fields":[{"name":"a","type":{"type":"record","name":"S","namespace":"","fields":[{"name":"n","type":"int"}]}}]}`,
			map[string]any{"a": map[string]any{"n": int32(1)}},
		},
		{
			"one name in two namespaces",
			`["null",{"type":"enum","name":"a.E","symbols":["X"]},{"type":"enum","name":"b.E","symbols":["Y"]}]`, "Y",
		},
		{"a record in a namespaced union", `["null",{"type":"record","name":"a.b.R","fields":[{"name":"n","type":["null","a.b.R"]}]}]`, map[string]any{"n": map[string]any{"n": nil}}},
		{
			"a name that is nearer",
			`{"type":"record","name":"T","fields":[{"name":"a","type":{"type":"enum","name":"B","symbols":["FAR"]}},
				{"name":"r","type":{"type":"record","name":"x.R","fields":[{"name":"p","type":{"type":"enum","name":"B","symbols":["NEAR"]}},{"name":"q","type":"B"}]}}]}`,
			map[string]any{"a": "FAR", "r": map[string]any{"p": "NEAR", "q": "NEAR"}},
		},
		{"fixed of no bytes", `{"type":"array","items":{"type":"fixed","name":"F","size":0}}`, []any{[]byte{}, []byte{}}},
		{"an error", `{"type":"error","name":"E","fields":[{"name":"m","type":"string"}]}`, map[string]any{"m": "x"}},
		{"text that reads null", `["null","string"]`, "null"},
		{"a field with order and doc", `{"type":"record","name":"R","fields":[{"name":"a","type":"int","order":"ignore","doc":"d"}]}`, map[string]any{"a": int32(1)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			body, err := encodeAny(test.schema, test.value)
			require.NoError(t, err)
			out, _, err := decodeAny(test.schema, test.schema, body)
			require.NoError(t, err)
			require.Equal(t, alike(test.value), alike(out))
		})
	}
}

func TestDefaultsThatGoavroIsSpared(t *testing.T) {
	for name, test := range map[string]struct {
		field string
		want  any
	}{
		"NaN":                     {`"double","default":"NaN"`, "NaN"},
		"infinity":                {`"float","default":"-Infinity"`, float32(math.Inf(-1))},
		"a timestamp":             {`{"type":"long","logicalType":"timestamp-millis"},"default":1000`, "1970-01-01T00:00:01Z"},
		"a decimal":               {`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},"default":"\u00ff"`, "-1/100"},
		"a large long":            {`"long","default":9007199254740993`, int64(9007199254740993)},
		"the text null":           {`["string","null"],"default":"null"`, "null"},
		"the second of a union":   {`["null","int"],"default":null`, nil},
		"a record of a namespace": {`[{"type":"record","name":"a.R","fields":[{"name":"x","type":"int"}]},"null"],"default":{"x":1}`, map[string]any{"x": int32(1)}},
		"bytes above ASCII":       {`"bytes","default":"\u00e9"`, []byte{0xe9}},
	} {
		t.Run(name, func(t *testing.T) {
			reader := `{"type":"record","name":"R","fields":[{"name":"d","type":` + test.field + `}]}`
			out, _, err := decodeAny(`{"type":"record","name":"R","fields":[]}`, reader, nil)
			require.NoError(t, err)
			got, ok := alike(out).(map[string]any)
			require.True(t, ok)
			require.Equal(t, test.want, got["d"])
		})
	}
}

// A default is the schema's: who reads it must not be able to change it for the next one.
func TestDefaultsAreCopied(t *testing.T) {
	const writer = `{"type":"record","name":"R","fields":[]}`
	const reader = `{"type":"record","name":"R","fields":[{"name":"d","type":{"type":"array","items":"bytes"},"default":["a"]}]}`
	type R struct {
		D [][]byte `avro:"d"`
	}
	w, err := parse(schemaOf(writer))
	require.NoError(t, err)
	r, err := parse(schemaOf(reader))
	require.NoError(t, err)
	for range 2 {
		var out R
		decode, found := compileDecoder(w, r, typeOf[R]())
		require.NoError(t, found.err())
		require.Nil(t, decode(map[string]any{}, valueOf(&out)))
		require.Equal(t, [][]byte{[]byte("a")}, out.D)
		out.D[0][0] = 'x'
		out.D = append(out.D, nil)
	}
}
