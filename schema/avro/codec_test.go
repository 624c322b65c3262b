package avro_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("the registry is away")

func TestConfigNamesEveryFault(t *testing.T) {
	_, err := avro.New(nil, &avro.Config{
		Namespace: "a..b", LookupTimeout: -1, MaxDepth: 10_001,
		Schemas: map[reflect.Type]string{
			reflect.TypeFor[Item]():  `{"type":"record","name":"I","fields":[{"name":"sku","type":"int"},{"name":"more","type":"int"}]}`,
			reflect.TypeFor[Color](): `{`,
			nil:                      `"int"`,
		},
	})
	for _, want := range []string{
		"avro: config: there is no registry", `Namespace is "a..b"`, "LookupTimeout is -1ns", "MaxDepth is 10001",
		"schema of avro_test.Item: Quantity: the schema has no field quantity in I", "SKU: string cannot hold int",
		"more: the Go type avro_test.Item has no such field, and the schema no default",
		"schema of avro_test.Color: avro: schema is not valid", "nil has no type",
	} {
		require.ErrorContains(t, err, want)
	}
	for _, config := range []*avro.Config{nil, {}, {Namespace: "a.b", MaxDepth: 1}} {
		newCodec(t, newRegistry(schema.Confluent), config)
	}
}

func TestBothFramings(t *testing.T) {
	for framing, prefix := range map[schema.Framing]int{schema.Confluent: 5, schema.SingleObject: 10} {
		c := newCodec(t, newRegistry(framing), nil)
		require.Equal(t, "application/vnd.apache.avro", c.ContentType())
		require.NoError(t, c.Prepare(context.Background(), "t", []reflect.Type{reflect.TypeFor[*Item]()}))
		data, err := c.Encode(&Item{"pen", 3})
		require.NoError(t, err)
		require.Equal(t, "\x06pen\x06", string(data[prefix:]))
		id, _, err := schema.ParseID(data)
		require.NoError(t, err)
		if framing == schema.SingleObject {
			s, err := c.Schema(reflect.TypeFor[Item]())
			require.NoError(t, err)
			fingerprint, err := avro.Fingerprint(s.Text)
			require.NoError(t, err)
			require.Equal(t, fingerprint, id.Number)
		}
		var item Item
		require.NoError(t, c.Decode(data, &item))
		require.Equal(t, Item{"pen", 3}, item)
		var pointer *Item
		require.NoError(t, c.Decode(data, &pointer))
		require.Equal(t, &Item{"pen", 3}, pointer)
		var anything any
		require.NoError(t, c.Decode(data, &anything))
		require.Equal(t, map[string]any{"sku": "pen", "quantity": int64(3)}, anything)
		var fields map[string]any
		require.NoError(t, c.Decode(data, &fields))
		require.Equal(t, anything, fields)
	}
}

func TestWhatWasNotPrepared(t *testing.T) {
	c := newCodec(t, newRegistry(schema.Confluent), nil)
	_, err := c.Encode(Item{})
	require.ErrorContains(t, err, "avro: encode avro_test.Item: its schema has no id yet: call Prepare")

	r := newRegistry(schema.Confluent)
	c = newCodec(t, r, &avro.Config{Topic: "choreo.order.events"})
	r.fails = errAway
	_, err = c.Encode(Item{})
	require.ErrorIs(t, err, errAway)
	r.fails = nil
	_, err = c.Encode(Item{})
	require.NoError(t, err, "an outage is not remembered")
	r.fails = errAway
	_, err = c.Encode(Item{})
	require.NoError(t, err, "what is registered needs the registry no more")
	_, err = c.Encode(make(chan int))
	require.ErrorContains(t, err, "cannot be written in Avro")
}

func TestPrepareNamesEveryTypeAtFault(t *testing.T) {
	r := newRegistry(schema.Confluent)
	c := newCodec(t, r, nil)
	err := c.Prepare(context.Background(), "t", []reflect.Type{reflect.TypeFor[chan int](), reflect.TypeFor[Item](), reflect.TypeFor[any]()})
	require.ErrorContains(t, err, "chan int")
	require.ErrorContains(t, err, "interface {}")
	_, err = c.Encode(Item{})
	require.NoError(t, err, "the others are prepared")

	r.fails = errAway
	err = c.Prepare(context.Background(), "t", []reflect.Type{reflect.TypeFor[Tree]()})
	require.ErrorIs(t, err, errAway)
	require.ErrorContains(t, err, "avro: register avro_test.Tree for avro_test.Tree")
}

func TestWhatCannotBeDecoded(t *testing.T) {
	r := newRegistry(schema.Confluent)
	c := newCodec(t, r, nil)
	var item Item
	require.ErrorIs(t, c.Decode([]byte(`{"a":1}`), &item), schema.ErrNoID)
	err := c.Decode([]byte{0, 0, 0, 0, 9, 1}, &item)
	require.ErrorIs(t, err, schema.ErrUnknownSchema)
	require.ErrorContains(t, err, "avro: decode into *avro_test.Item: schema 9")
	require.ErrorContains(t, c.Decode(nil, item), "has to be a pointer")
	require.ErrorContains(t, c.Decode(nil, (*Item)(nil)), "has to be a pointer")
	require.ErrorContains(t, c.Decode(nil, nil), "has to be a pointer")

	for text, want := range map[string]string{
		`{`:     "schema is not valid",
		`"int"`: "was written as int, which cannot be read as record avro_test.Item",
		`{"type":"record","name":"Other","fields":[]}`: "give the reader the alias Other",
		`{"type":"record","name":"Item","fields":[]}`:  "sku: was not written, and has no default",
	} {
		id, err := r.Register(context.Background(), "s", schema.Schema{Kind: schema.Avro, Text: text})
		require.NoError(t, err)
		require.ErrorContains(t, c.Decode(id.Append(nil), &item), want)
		require.ErrorContains(t, c.Decode(id.Append(nil), &item), want, "the second time, too")
	}
	id, err := r.Register(context.Background(), "s", schema.Schema{Kind: schema.Protobuf, Name: "X"})
	require.NoError(t, err)
	require.ErrorContains(t, c.Decode(id.Append(nil), &item), "schema X is PROTOBUF, not Avro")
}

func TestSchemasWithReferences(t *testing.T) {
	r := newRegistry(schema.Confluent)
	item := schema.Reference{Name: "avro_test.Item", Text: `{"type":"record","name":"avro_test.Item","fields":[{"name":"sku","type":"string"},{"name":"quantity","type":"int"}]}`}
	id, err := r.Register(context.Background(), "s", schema.Schema{
		Kind: schema.Avro, References: []schema.Reference{item},
		Text: `{"type":"record","name":"OrderCreated","fields":[{"name":"order_id","type":"string"},{"name":"items","type":{"type":"array","items":"avro_test.Item"}}]}`,
	})
	require.NoError(t, err)
	var order OrderCreated
	require.NoError(t, newCodec(t, r, nil).Decode(append(id.Append(nil), "\x02a\x02\x02p\x04\x00"...), &order))
	require.Equal(t, OrderCreated{OrderID: "a", Items: []Item{{"p", 2}}}, order)
}

// The registry is asked once for each schema, however many wait for it, and each of them gets the
// answer.
func TestOneLookUpForMany(t *testing.T) {
	r := newRegistry(schema.Confluent)
	writer := newCodec(t, r, nil)
	require.NoError(t, writer.Prepare(context.Background(), "t", []reflect.Type{reflect.TypeFor[Item]()}))
	data, err := writer.Encode(Item{"pen", 1})
	require.NoError(t, err)

	synctest.Test(t, func(t *testing.T) {
		r.gate = make(chan struct{})
		c := newCodec(t, r, nil)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				var item Item
				if err := c.Decode(data, &item); err != nil || item.SKU != "pen" {
					t.Error(err, item)
				}
			})
		}
		synctest.Wait()
		close(r.gate)
		all.Wait()
		require.Equal(t, 1, r.asked)
	})
}

func TestALookUpEndsInTime(t *testing.T) {
	r := newRegistry(schema.Confluent)
	synctest.Test(t, func(t *testing.T) {
		r.gate = make(chan struct{})
		c := newCodec(t, r, &avro.Config{LookupTimeout: time.Second})
		began := time.Now()
		var item Item
		err := c.Decode([]byte{0, 0, 0, 0, 1}, &item)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestManyAtOnce(t *testing.T) {
	c := prepared(t, nil, reflect.TypeFor[Everything](), reflect.TypeFor[Tree]())
	in := everything()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				data, err := c.Encode(in)
				var out Everything
				if err == nil {
					err = c.Decode(data, &out)
				}
				if err != nil || !reflect.DeepEqual(in, out) {
					t.Error(err, out)
					return
				}
			}
		})
	}
	all.Wait()
}
