package avro_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
)

// Level reads and writes itself as text.
type Level int

func (l Level) MarshalText() ([]byte, error) {
	if l < 0 || l > 1 {
		return nil, fmt.Errorf("there is no level %d", int(l))
	}
	return []byte([]string{"LOW", "HIGH"}[l]), nil
}

func (l *Level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "LOW":
		*l = 0
	case "HIGH":
		*l = 1
	default:
		return errors.New("no such level")
	}
	return nil
}

// given returns a codec for T by a schema of one field.
func given[T any](t *testing.T, field string) (*avro.Codec, error) {
	t.Helper()
	text := `{"type":"record","name":"G","fields":[{"name":"v","type":` + field + `}]}`
	c, err := avro.New(newRegistry(schema.Confluent), &avro.Config{Schemas: map[reflect.Type]string{reflect.TypeFor[G[T]](): text}})
	if err == nil {
		require.NoError(t, c.Prepare(context.Background(), "t", []reflect.Type{reflect.TypeFor[G[T]]()}))
	}
	return c, err
}

type G[T any] struct {
	V T `avro:"v"`
}

func fits[T any](t *testing.T, field string, v T) {
	t.Helper()
	c, err := given[T](t, field)
	require.NoError(t, err)
	data, err := c.Encode(G[T]{v})
	require.NoError(t, err)
	var out G[T]
	require.NoError(t, c.Decode(data, &out))
	require.Equal(t, v, out.V)
}

func misfits[T any](t *testing.T, field, want string) {
	t.Helper()
	_, err := given[T](t, field)
	require.ErrorContains(t, err, want)
	require.ErrorContains(t, err, "V")
}

func refuses[T any](t *testing.T, field string, v T, want string) {
	t.Helper()
	c, err := given[T](t, field)
	require.NoError(t, err)
	_, err = c.Encode(G[T]{v})
	require.ErrorContains(t, err, want)
	require.ErrorContains(t, err, "v")
}

const (
	levels  = `{"type":"enum","name":"Level","symbols":["LOW","HIGH"]}`
	fixed2  = `{"type":"fixed","name":"F","size":2}`
	decimal = `{"type":"fixed","name":"D","size":2,"logicalType":"decimal","precision":4,"scale":1}`
)

func TestGoTypesThatFitAGivenSchema(t *testing.T) {
	text, at := "x", time.UnixMilli(1).UTC()
	fits(t, `"string"`, &text)
	fits(t, `["null","string"]`, &text)
	fits(t, `["string","int"]`, any("x"))
	fits(t, `["string","int"]`, any(int32(3)))
	fits[any](t, `"null"`, nil)
	fits[*int](t, `"null"`, nil)
	fits(t, `"null"`, struct{}{})
	fits(t, `"double"`, 1.5)
	fits(t, fixed2, []byte{1, 2})
	fits(t, fixed2, any([]byte{1, 2}))
	fits(t, decimal, big.NewRat(-5, 2))
	fits(t, decimal, any(big.NewRat(5, 2)))
	fits(t, `"string"`, Level(1))
	fits(t, levels, Level(1))
	fits(t, levels, any("LOW"))
	fits(t, `{"type":"string","logicalType":"uuid"}`, any(uuid.Max))
	fits(t, `{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}`, any(uuid.Max))
	fits(t, `{"type":"int","logicalType":"time-millis"}`, any(time.Second))
	fits(t, `{"type":"long","logicalType":"timestamp-millis"}`, any(at))
	fits(t, `{"type":"long","logicalType":"timestamp-millis"}`, int64(7))
	fits(t, `{"type":"int","logicalType":"date"}`, uint8(7))
	fits(t, `["null",{"type":"array","items":["null","long"]}]`, []*int64{nil})
	fits(t, `{"type":"map","values":["null","long"]}`, map[string]any{"a": nil, "b": int64(1)})
	fits(t, `"int"`, int64(7))
	fits(t, `{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]}`, map[string]int{"a": 1})
}

func TestGoTypesThatDoNotFitAGivenSchema(t *testing.T) {
	misfits[int](t, `"string"`, "int cannot hold string")
	misfits[string](t, `"bytes"`, "string cannot hold bytes")
	misfits[float32](t, `"int"`, "float32 cannot hold int")
	misfits[float64](t, `"float"`, "float64 cannot hold float")
	misfits[[3]byte](t, fixed2, "[3]uint8 cannot hold fixed F")
	misfits[int](t, levels, "int cannot hold enum Level")
	misfits[int](t, `["null","string"]`, "int fits no branch of union of null, string")
	misfits[*bool](t, `["string","int"]`, "*bool fits no branch")
	misfits[[]int](t, `{"type":"map","values":"int"}`, "[]int cannot hold map")
	misfits[[]string](t, `{"type":"array","items":"int"}`, "V[]: string cannot hold int")
	misfits[map[string]string](t, `{"type":"array","items":"int"}`, "cannot hold array")
	misfits[map[string]string](t, `{"type":"map","values":"int"}`, "V[]: string cannot hold int")
	misfits[map[int]string](t, `{"type":"map","values":"string"}`, "cannot hold map")
	misfits[Item](t, `"int"`, "avro_test.Item cannot hold int")
	misfits[int](t, `{"type":"record","name":"S","fields":[]}`, "int cannot hold record S")
	misfits[map[string]string](t, `{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]}`, "V.a: string cannot hold int")
	misfits[*big.Rat](t, `"bytes"`, "*big.Rat cannot hold bytes")
	misfits[*big.Rat](t, `{"type":"bytes","logicalType":"decimal","precision":2000}`, "cannot hold bytes (decimal, precision 2000, scale 0)")
	misfits[time.Time](t, `"long"`, "time.Time cannot hold long")
	misfits[interface{ Error() string }](t, `"string"`, "cannot hold string")
	misfits[int](t, `"null"`, "int cannot hold null")
}

func TestValuesThatAGivenSchemaRefuses(t *testing.T) {
	one := 1
	refuses[*string](t, `"string"`, nil, "is nil, where the schema has string")
	refuses[*string](t, `["string","int"]`, nil, "is nil, where the schema has union of string, int")
	refuses[any](t, `"string"`, nil, "is nil, where the schema has string")
	refuses[any](t, `["string","int"]`, nil, "is nil")
	refuses[any](t, `"string"`, 7, "int cannot hold string")
	refuses(t, `"null"`, &one, "is not nil, where the schema has only null")
	refuses(t, fixed2, []byte{1}, "has 1 bytes, where fixed F has 2")
	refuses(t, levels, Level(7), "there is no level 7")
	refuses(t, `{"type":"enum","name":"Level","symbols":["LOW"]}`, Level(1), `"HIGH" is no symbol of enum Level`)
	refuses(t, `"int"`, int64(1)<<40, "1099511627776 does not fit an int")
	refuses(t, `"int"`, uint64(1)<<63, "does not fit a long")
	refuses(t, `["int","string"]`, int64(1)<<40, "does not fit an int")
	refuses(t, `["int","float","long"]`, any(uint64(1)<<63), "uint64 fits no branch")
	refuses(t, decimal, big.NewRat(9999, 1), "has more than 4 digits")
	refuses(t, `{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]}`, map[string]int{"b": 1}, "v.a: is missing, and the schema has no default")
	refuses(t, `{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]}`, map[string]int{"a": 1, "b": 1}, `v["b"]: record S has no such field`)
	refuses(t, `{"type":"map","values":"int"}`, map[string]int64{"k": 1 << 40}, `v["k"]: 1099511627776 does not fit an int`)
	refuses(t, `{"type":"array","items":"int"}`, []int64{1, 1 << 40}, "v[1]: 1099511627776 does not fit an int")
}

// reads decodes a body that was written by the one schema into a Go type with another.
func reads[T any](t *testing.T, writer, body, reader string) (T, error) {
	t.Helper()
	r := newRegistry(schema.Confluent)
	id, err := r.Register(context.Background(), "s", schema.Schema{Kind: schema.Avro, Text: writer})
	require.NoError(t, err)
	c, err := avro.New(r, &avro.Config{Schemas: map[reflect.Type]string{reflect.TypeFor[T](): reader}})
	require.NoError(t, err)
	var out T
	err = c.Decode(append(id.Append(nil), body...), &out)
	return out, err
}

func TestWhatOnlyTheDataCanRefuse(t *testing.T) {
	_, err := reads[string](t, `"bytes"`, long(1)+"\xff", `"string"`)
	require.ErrorContains(t, err, "bytes that are not valid UTF-8")
	_, err = reads[uuid.UUID](t, `"string"`, long(2)+"no", `{"type":"string","logicalType":"uuid"}`)
	require.ErrorContains(t, err, "invalid UUID")
	type id string
	_, err = reads[id](t, `"string"`, long(2)+"no", `{"type":"string","logicalType":"uuid"}`)
	require.ErrorContains(t, err, "invalid UUID")
	_, err = reads[Level](t, `"string"`, long(2)+"no", `"string"`)
	require.ErrorContains(t, err, "no such level")
	_, err = reads[Level](t, `{"type":"enum","name":"Level","symbols":["TOP"]}`, long(0), levels)
	require.ErrorContains(t, err, `"TOP" is no symbol of the reader's enum Level, which has LOW, HIGH: give it a default symbol`)
	_, err = reads[[2]int32](t, listOfInts, long(1)+long(1)+long(0), listOfInts)
	require.ErrorContains(t, err, "has 1 items, which [2]int32 cannot hold")
	_, err = reads[time.Duration](t, `"int"`, long(-1), `{"type":"int","logicalType":"time-millis"}`)
	require.ErrorContains(t, err, "-1 is no time of day")
	_, err = reads[*big.Rat](t, `"bytes"`, long(3)+"\x7f\xff\xff", `{"type":"bytes","logicalType":"decimal","precision":3}`)
	require.ErrorContains(t, err, "a decimal has more than 3 digits")
	_, err = reads[*big.Rat](t, `"bytes"`, long(100)+string(make([]byte, 100)), `{"type":"bytes","logicalType":"decimal","precision":3}`)
	require.ErrorContains(t, err, "a decimal of 100 bytes has more than 3 digits")
	_, err = reads[[]int64](t, `{"type":"array","items":["null","long"]}`, long(1)+long(0)+long(0), `{"type":"array","items":"long"}`)
	require.ErrorContains(t, err, "[0]: was written as null, which cannot be read as long")
	_, err = reads[map[string]int64](t, `{"type":"map","values":["null","long"]}`, long(1)+long(1)+"k"+long(0)+long(0), `{"type":"map","values":"long"}`)
	require.ErrorContains(t, err, `["k"]: was written as null`)
	_, err = reads[int64](t, `{"type":"long","logicalType":"timestamp-millis"}`, long(1), `{"type":"long","logicalType":"timestamp-micros"}`)
	require.ErrorContains(t, err, "was written in timestamp-millis, and int64 would be read in timestamp-micros: make the Go type time.Time")
}
