package schema_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/schema"
)

type order struct {
	ID    string  `json:"id"`
	Cents int64   `json:"cents"`
	Note  *string `json:"note,omitempty"`
}

func ExampleJSON() {
	var codec schema.Codec = schema.JSON{}
	data, err := codec.Encode(order{ID: "o-1", Cents: 1250})
	fmt.Println(codec.ContentType(), string(data), err)

	var back order
	fmt.Println(codec.Decode(data, &back), back.ID, back.Cents)
	// Output:
	// application/json {"id":"o-1","cents":1250} <nil>
	// <nil> o-1 1250
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := order{ID: rapid.String().Draw(t, "id"), Cents: rapid.Int64().Draw(t, "cents")}
		if rapid.Bool().Draw(t, "has a note") {
			note := rapid.String().Draw(t, "note")
			in.Note = &note
		}
		data, err := schema.JSON{}.Encode(in)
		require.NoError(t, err)
		var out order
		require.NoError(t, schema.JSON{}.Decode(data, &out))
		require.Equal(t, in, out)
	})
}

func TestJSONNamesTheType(t *testing.T) {
	_, err := schema.JSON{}.Encode(math.Inf(1))
	require.ErrorContains(t, err, "encode float64")
	var out order
	for _, data := range []string{``, `{`, `{"id":7}`, `{} {}`, `{}]`, "\xff"} {
		require.ErrorContains(t, schema.JSON{}.Decode([]byte(data), &out), "*schema_test.order", data)
	}
	require.NoError(t, schema.JSON{}.Decode([]byte(`{"id":"a","added-later":true}`), &out), "a writer may add fields")
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"id":"o-1","cents":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out order
		if (schema.JSON{}).Decode(data, &out) == nil {
			again, err := schema.JSON{}.Encode(out)
			require.NoError(t, err)
			var back order
			require.NoError(t, schema.JSON{}.Decode(again, &back))
			require.Equal(t, out, back)
		}
	})
}
