package avro_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema/avro"
)

// The numbers of the primitive types are those of the specification's canonical form tests.
func TestFingerprint(t *testing.T) {
	for text, want := range map[string]uint64{
		`"null"`:                        0x63dd24e7cc258f8a,
		`{"type":"null"}`:               0x63dd24e7cc258f8a,
		`"boolean"`:                     0x9f42fc78a4d4f764,
		`"int"`:                         0x7275d51a3f395c8f,
		`"long"`:                        0xd054e14493f41db7,
		`"float"`:                       0x4d7c02cb3ea8d790,
		`"double"`:                      0x8e7535c032ab957e,
		`"bytes"`:                       0x4fc016dac3201965,
		`"string"`:                      0x8f014872634503c7,
		`{"type":"string", "doc": "x"}`: 0x8f014872634503c7,
	} {
		got, err := avro.Fingerprint(text)
		require.NoError(t, err)
		require.Equalf(t, want, got, "%s: %x", text, got)
	}
}

func TestName(t *testing.T) {
	for text, want := range map[string]string{
		`"string"`:                                                     "string",
		`["null","string"]`:                                            "union",
		`{"type":"array","items":"int"}`:                               "array",
		`{"type":"record","name":"a.B","fields":[]}`:                   "a.B",
		`{"type":"record","name":"B","fields":[]}`:                     "B",
		`{"type":"enum","name":"B","namespace":"x.y","symbols":["P"]}`: "x.y.B",
		`{"type":"fixed","name":"a.B","namespace":"x.y","size":3}`:     "a.B",
	} {
		got, err := avro.Name(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestWhatIsNoSchema(t *testing.T) {
	for _, text := range []string{``, `{`, `"nonsense"`, `{"type":"record","name":"R"}`, strings.Repeat("[", 5000), strings.Repeat(" ", 2<<20)} {
		_, err := avro.Fingerprint(text)
		require.ErrorContains(t, err, "avro: schema")
		_, err = avro.Name(text)
		require.ErrorContains(t, err, "avro: schema")
	}
}
