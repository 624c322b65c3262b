package shelf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/internal/shelf"
)

func Example() {
	s, err := shelf.Check(schema.Schema{Kind: schema.Avro, Text: `{"type":"record","name":"shop.Order","fields":[]}`})
	fmt.Println(s.Name, err)
	number, err := shelf.Fingerprint(s)
	id := schema.ID{Framing: schema.SingleObject, Number: number}
	fmt.Println(id, err)

	var held shelf.Shelf
	held.Put("orders", id, s, 0)
	v, again := held.Put("orders", id, s, 0)
	fmt.Println(held.Subjects(), v.Number, again)
	// Output:
	// shop.Order <nil>
	// 39d0fbe7d022ffd8 <nil>
	// [orders] 1 false
}

func id(n uint64) schema.ID { return schema.ID{Framing: schema.Confluent, Number: n} }

func TestNumbers(t *testing.T) {
	var s shelf.Shelf
	put := func(n uint64, wanted int) int {
		v, _ := s.Put("s", id(n), schema.Schema{Name: fmt.Sprint(n)}, wanted)
		return v.Number
	}
	require.Equal(t, 1, s.Next("s"))
	require.Equal(t, 1, put(10, 1))
	require.Equal(t, 2, put(11, 1), "1 is taken")
	require.Equal(t, 5, put(12, 5))
	require.Equal(t, 3, put(13, 3))
	require.Equal(t, 6, put(14, 0))
	require.Equal(t, 3, put(13, 9), "it has a number")
	var got []uint64
	versions, err := s.Versions("s")
	require.NoError(t, err)
	for _, v := range versions {
		got = append(got, v.ID.Number)
	}
	require.Equal(t, []uint64{10, 11, 13, 12, 14}, got)
	require.Len(t, s.Earlier("s", id(13)), 2)
	require.Len(t, s.Earlier("s", id(99)), 5)

	for n := uint64(10); n < 15; n++ {
		s.Remove("s", id(n))
	}
	require.Empty(t, s.Subjects())
	_, err = s.Versions("s")
	require.ErrorIs(t, err, schema.ErrUnknownSchema)
	known, err := s.Schema(id(12))
	require.NoError(t, err)
	require.Equal(t, "12", known.Name)
}

func TestNames(t *testing.T) {
	ref := []schema.Reference{{Name: "other", Text: `"long"`}}
	for _, test := range []struct {
		schema schema.Schema
		name   string
	}{
		{schema.Schema{Kind: schema.Avro, Text: `"long"`}, "long"},
		{schema.Schema{Kind: schema.Avro, References: ref, Text: `{"name":"A","namespace":"n"}`}, "n.A"},
		{schema.Schema{Kind: schema.Avro, References: ref, Text: `{"name":"m.A","namespace":"n"}`}, "m.A"},
		{schema.Schema{Kind: schema.Avro, References: ref, Text: `{"name":"A"}`}, "A"},
		{schema.Schema{Kind: schema.JSONType, Text: `true`}, ""},
		{schema.Schema{Kind: schema.JSONType, Text: ` {"title":"T"} `}, "T"},
		{schema.Schema{Kind: schema.Protobuf, Text: `package p; message M {}`}, "p.M"},
	} {
		name, err := shelf.Name(test.schema)
		require.NoError(t, err)
		require.Equal(t, test.name, name)
	}
	for _, text := range []string{``, `null`, `[]`, `{} {}`, `{"title":7}`, strings.Repeat(`{"a":`, 100_000)} {
		_, err := shelf.Name(schema.Schema{Kind: schema.JSONType, Text: text})
		require.Error(t, err)
	}
}

func TestIdentityLeavesBlanksInJSONAside(t *testing.T) {
	of := func(kind schema.Kind, text string, refs ...string) string {
		s := schema.Schema{Kind: kind, Text: text}
		for _, ref := range refs {
			s.References = append(s.References, schema.Reference{Name: "r", Text: ref})
		}
		return shelf.Identity(s)
	}
	require.Equal(t, of(schema.Avro, `{"a":1}`), of(schema.Avro, ` { "a" : 1 } `))
	require.Equal(t, of(schema.Protobuf, "message A {}"), of(schema.Protobuf, "message A {}\n"))
	for _, other := range []string{of(schema.JSONType, `{"a":1}`), of(schema.Avro, `{"a":2}`), of(schema.Avro, `{"a":1}`, `1`), of(schema.Avro, `{"a":1,"a":1}`)} {
		require.NotEqual(t, of(schema.Avro, `{"a":1}`), other)
	}
	require.NotEqual(t, of(schema.JSONType, `1`, `23`), of(schema.JSONType, `12`, `3`))
}
