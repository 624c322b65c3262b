package avro_test

import (
	"context"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
)

// Shipment is written by a schema that others made.
type Shipment struct {
	ID     string            `avro:"id"`
	Weight *big.Rat          `avro:"weight"`
	Count  uint16            `avro:"count"`
	What   any               `avro:"what"`
	Parts  []any             `avro:"parts"`
	Extra  map[string]any    `avro:"extra"`
	Due    *time.Time        `avro:"due"`
	Owner  *uuid.UUID        `avro:"owner"`
	Notes  []string          `avro:"notes"`
	Names  map[string]string `avro:"names"`
}

const shipment = `{"type":"record","name":"com.acme.Shipment","fields":[
	{"name":"id","type":"string"},
	{"name":"weight","type":["null",{"type":"fixed","name":"Weight","size":4,"logicalType":"decimal","precision":7,"scale":3}]},
	{"name":"count","type":["int","null"]},
	{"name":"what","type":["null","boolean","int","long","double","string","bytes",
		{"type":"record","name":"Box","fields":[{"name":"size","type":"int","default":3}]},
		{"type":"enum","name":"Way","symbols":["AIR","SEA"]},
		{"type":"array","items":"int"}, {"type":"map","values":"string"}]},
	{"name":"parts","type":{"type":"array","items":["string","Box"]}},
	{"name":"extra","type":{"type":"map","values":{"type":"long","logicalType":"timestamp-millis"}}},
	{"name":"due","type":["null",{"type":"int","logicalType":"date"}]},
	{"name":"owner","type":["null",{"type":"string","logicalType":"uuid"}]},
	{"name":"notes","type":["null",{"type":"array","items":"string"}]},
	{"name":"names","type":[{"type":"map","values":"string"},"null"]},
	{"name":"unused","type":"string","default":"-"}
]}`

func shipmentCodec(t *testing.T) *avro.Codec {
	t.Helper()
	return prepared(t, &avro.Config{Schemas: map[reflect.Type]string{reflect.TypeFor[Shipment](): shipment}}, reflect.TypeFor[Shipment]())
}

func TestAGivenSchema(t *testing.T) {
	c := shipmentCodec(t)
	day := time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC)
	id := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	at := time.UnixMilli(1234).UTC()
	in := Shipment{
		ID: "s", Weight: big.NewRat(-1, 8), Count: 9, Parts: []any{"a", map[string]any{"size": int32(1)}},
		Extra: map[string]any{"x": at}, Due: &day, Owner: &id, Notes: []string{"n"}, Names: map[string]string{},
	}
	for _, what := range []any{
		nil, true, int32(7), int64(1) << 40, 1.5, "text", []byte{1}, map[string]any{"size": int32(4)},
		[]any{int32(1), int32(2)}, map[string]any{"a": "b"},
	} {
		in.What = what
		data, err := c.Encode(in)
		require.NoError(t, err, what)
		var out Shipment
		require.NoError(t, c.Decode(data, &out))
		require.Equal(t, in, out)
	}

	none := Shipment{ID: "s", Parts: []any{}, Extra: map[string]any{}}
	data, err := c.Encode(none)
	require.NoError(t, err)
	out := in
	require.NoError(t, c.Decode(data, &out))
	require.Equal(t, none, out, "nil goes over what stood there")

	in.What = struct{ A chan int }{}
	_, err = c.Encode(in)
	require.ErrorContains(t, err, "what: struct { A chan int } fits no branch of union of null, boolean, int")
	in.What = []any{"no int"}
	_, err = c.Encode(in)
	require.ErrorContains(t, err, "what[0]: string cannot hold int")
	in.What, in.Parts = nil, []any{nil}
	_, err = c.Encode(in)
	require.ErrorContains(t, err, "parts[0]: is nil, where the schema has union of string, record com.acme.Box")
	in.Parts = []any{map[string]any{"sise": 1}}
	_, err = c.Encode(in)
	require.ErrorContains(t, err, `parts[0]["sise"]: record com.acme.Box has no such field`)
}

func TestUnionsTakeThePointersToTheirBranches(t *testing.T) {
	type Choice struct {
		Number *int64 `avro:"number"`
		Exact  any    `avro:"exact"`
	}
	config := &avro.Config{Schemas: map[reflect.Type]string{reflect.TypeFor[Choice](): `{"type":"record","name":"Choice","fields":[
		{"name":"number","type":["int","long","null"]},
		{"name":"exact","type":["null",{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},{"type":"long","logicalType":"timestamp-millis"},"string"]}]}`}}
	c := prepared(t, config, reflect.TypeFor[Choice]())
	large, text := int64(1)<<40, "x"
	at := time.UnixMilli(5).UTC()
	for _, in := range []Choice{{}, {Number: &large}, {Exact: big.NewRat(1, 4)}, {Exact: at}, {Exact: "x"}} {
		data, err := c.Encode(in)
		require.NoError(t, err)
		var out Choice
		require.NoError(t, c.Decode(data, &out))
		require.Equal(t, in, out)
	}
	data, err := c.Encode(Choice{Exact: &text})
	require.NoError(t, err)
	var out Choice
	require.NoError(t, c.Decode(data, &out))
	require.Equal(t, "x", out.Exact)
}

// evolve writes a value by one Go type and reads it by another, which is to have the same name.
func evolve[W, R any](t *testing.T, in W) (out R, err error) {
	t.Helper()
	r := newRegistry(schema.Confluent)
	writer := newCodec(t, r, nil)
	require.NoError(t, writer.Prepare(context.Background(), "t", []reflect.Type{reflect.TypeFor[W]()}))
	data, err := writer.Encode(in)
	require.NoError(t, err)
	err = newCodec(t, r, nil).Decode(data, &out)
	return out, err
}

func TestAReaderOfAnotherVersion(t *testing.T) {
	type Before struct {
		_       struct{} `avro:"shop.Order"`
		ID      string   `avro:"id"`
		Cents   int32    `avro:"cents"`
		Dropped []string `avro:"dropped"`
		Note    *string  `avro:"note"`
		Color   string   `avro:"color,enum=RED|PINK"`
		Sub     struct {
			A int32 `avro:"a"`
		} `avro:"sub"`
	}
	type After struct {
		_     struct{} `avro:"sales.Purchase,alias=Order"`
		Key   string   `avro:"key,alias=id"`
		Cents *int64   `avro:"cents"`
		Added string   `avro:"added,default=new"`
		Price *big.Rat `avro:"price,decimal=6.2,default=1.50"`
		Extra *int64   `avro:"extra"`
		Note  []byte   `avro:"note,optional"`
		Color string   `avro:"color,enum=NONE|RED,enum-default=NONE"`
		Sub   struct {
			A float64 `avro:"a"`
			B []int64 `avro:"b,default=[1]"`
		} `avro:"sub"`
	}
	note := "n"
	in := Before{ID: "o-1", Cents: 5, Dropped: []string{"x"}, Note: &note, Color: "PINK"}
	in.Sub.A = 2
	_, err := evolve[Before, After](t, in)
	require.ErrorContains(t, err, "color: was written as enum shop.Order_color, which cannot be read as enum sales.Purchase_color: give the reader the alias")
	require.ErrorContains(t, err, "sub: was written as record shop.Order_sub")

	type BeforeSub struct {
		_     struct{} `avro:"shop.Order"`
		ID    string   `avro:"id"`
		Cents int32    `avro:"cents"`
		Note  *string  `avro:"note"`
	}
	type AfterSub struct {
		_     struct{} `avro:"sales.Purchase,alias=Order"`
		Key   string   `avro:"key,alias=id"`
		Cents *int64   `avro:"cents"`
		Added string   `avro:"added,default=new"`
		Price *big.Rat `avro:"price,decimal=6.2,default=1.50"`
		Extra *int64   `avro:"extra"`
		Note  []byte   `avro:"note,optional"`
	}
	cents := int64(5)
	out, err := evolve[BeforeSub, AfterSub](t, BeforeSub{ID: "o-1", Cents: 5, Note: &note})
	require.NoError(t, err)
	require.Equal(t, AfterSub{Key: "o-1", Cents: &cents, Added: "new", Price: big.NewRat(3, 2), Note: []byte("n")}, out)
}

func TestResolutionSaysWhere(t *testing.T) {
	type Before struct {
		_    struct{}         `avro:"R"`
		List []map[string]int `avro:"list"`
		Max  *int64           `avro:"max"`
		Due  time.Time        `avro:"due,timestamp-millis"`
		Raw  time.Time        `avro:"raw,timestamp-millis"`
		Fee  *big.Rat         `avro:"fee,decimal=5.2"`
	}
	type List struct {
		_    struct{}            `avro:"R"`
		List []map[string]string `avro:"list"`
		New  string              `avro:"new"`
		Fee  *big.Rat            `avro:"fee,decimal=5.3"`
	}
	_, err := evolve[Before, List](t, Before{Fee: new(big.Rat)})
	require.ErrorContains(t, err, "list[][]: was written as long, which cannot be read as string")
	require.ErrorContains(t, err, "new: was not written, and has no default")
	require.ErrorContains(t, err, "fee: was written as a decimal with precision 5 and scale 2")

	type Max struct {
		_   struct{} `avro:"R"`
		Max int64    `avro:"max"`
	}
	_, err = evolve[Before, Max](t, Before{Fee: new(big.Rat)})
	require.ErrorContains(t, err, "max: was written as null, which cannot be read as long")
	three := int64(3)
	most, err := evolve[Before, Max](t, Before{Fee: new(big.Rat), Max: &three})
	require.NoError(t, err, "what depends on the data fails only there")
	require.Equal(t, Max{Max: 3}, most)

	type Due struct {
		_   struct{}  `avro:"R"`
		Due time.Time `avro:"due,timestamp-nanos"`
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	due, err := evolve[Before, Due](t, Before{Fee: new(big.Rat), Due: at})
	require.NoError(t, err)
	require.Equal(t, at, due.Due, "milliseconds are not read as nanoseconds")
}

func TestNumbersThatTheReaderHasNoPlaceFor(t *testing.T) {
	type Before struct {
		_ struct{} `avro:"R"`
		A int32    `avro:"a"`
	}
	type After struct {
		_ struct{} `avro:"R"`
		A uint8    `avro:"a"`
	}
	for _, n := range []int32{256, -1} {
		_, err := evolve[Before, After](t, Before{A: n})
		require.ErrorContains(t, err, "does not fit uint8")
		require.ErrorContains(t, err, "a: ")
	}
	out, err := evolve[Before, After](t, Before{A: 255})
	require.NoError(t, err)
	require.Equal(t, uint8(255), out.A)
}
