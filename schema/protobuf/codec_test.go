package protobuf_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/protobuf"
	pb "github.com/choreo-go/choreo/schema/protobuf/internal/shoppb"
	"github.com/choreo-go/choreo/schema/registry/memory"
)

func newCodec(t testing.TB, registry schema.Registry) *protobuf.Codec {
	t.Helper()
	c, err := protobuf.New(registry, nil)
	require.NoError(t, err)
	return c
}

func newRegistry(t testing.TB, framing schema.Framing) *memory.Registry {
	t.Helper()
	r, err := memory.New(&memory.Config{Framing: framing})
	require.NoError(t, err)
	return r
}

const topic = "choreo.order.events"

func prepared(t testing.TB, registry schema.Registry, types ...reflect.Type) *protobuf.Codec {
	t.Helper()
	c := newCodec(t, registry)
	require.NoError(t, c.Prepare(t.Context(), topic, types))
	return c
}

func order() *pb.OrderPlaced {
	return &pb.OrderPlaced{
		OrderId: "01927f6e-5c1b-7d3a-9e62-0b6d2f1c8a47", Customer: "customer-4711",
		Lines: []*pb.OrderPlaced_Line{
			{Sku: "coffee-1kg", Quantity: 2, Price: &pb.Money{Cents: 1890, Currency: "EUR"}},
			{Sku: "filter-100", Quantity: 1, Price: &pb.Money{Cents: 349, Currency: "EUR"}},
		},
		ShipTo:   &pb.Address{Street: "Lange Straße 7", City: "Hannover", Country: "DE"},
		PlacedAt: &timestamppb.Timestamp{Seconds: 1_770_000_000, Nanos: 123_000_000},
		Labels:   map[string]string{"channel": "web", "campaign": "spring", "a": "b", "c": "d"},
	}
}

func equal(t require.TestingT, want, got proto.Message) {
	require.Truef(t, proto.Equal(want, got), "want %v\ngot  %v", want, got)
}

func Example() {
	registry, err := memory.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	codec, err := protobuf.New(registry, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = codec.Prepare(context.Background(), "choreo.order.events", []reflect.Type{reflect.TypeFor[*pb.Money]()})
	fmt.Println(err)

	data, err := codec.Encode(&pb.Money{Cents: 1250, Currency: "EUR"})
	fmt.Printf("%s: % x %v\n", codec.ContentType(), data, err)
	var back *pb.Money
	fmt.Println(codec.Decode(data, &back), back.GetCents(), back.GetCurrency())
	var other *pb.Address
	fmt.Println(codec.Decode(data, &other))
	// Output:
	// <nil>
	// application/protobuf: 00 00 00 00 01 00 08 e2 09 12 03 45 55 52 <nil>
	// <nil> 1250 EUR
	// protobuf: decode into **shoppb.Address: the payload is a shop.Money (schema 1, message index [0]), and not a shop.Address: make writer and reader agree on the type of the event
}

func TestValuesAndPointers(t *testing.T) {
	want := order()
	for name, registry := range map[string]schema.Registry{
		"no registry": nil, "ids": newRegistry(t, schema.Confluent), "fingerprints": newRegistry(t, schema.SingleObject),
	} {
		t.Run(name, func(t *testing.T) {
			c := prepared(t, registry, reflect.TypeFor[*pb.OrderPlaced](), reflect.TypeFor[pb.OrderPlaced]())
			data, err := c.Encode(want)
			require.NoError(t, err)
			byValue, err := c.Encode(reflect.ValueOf(want).Elem().Interface())
			require.NoError(t, err)
			require.Equal(t, data, byValue)
			require.Equal(t, name == "ids", data[0] == 0)

			var pointer *pb.OrderPlaced
			require.NoError(t, c.Decode(data, &pointer))
			equal(t, want, pointer)
			value := pb.OrderPlaced{Customer: "is replaced"}
			require.NoError(t, c.Decode(data, &value))
			equal(t, want, &value)
		})
	}
}

func TestAnEmptyMessageHasABody(t *testing.T) {
	for _, registry := range []schema.Registry{nil, newRegistry(t, schema.Confluent)} {
		c := prepared(t, registry, reflect.TypeFor[*pb.Money]())
		data, err := c.Encode(&pb.Money{})
		require.NoError(t, err)
		require.NotNil(t, data)
		again, err := c.Encode(&pb.Money{})
		require.NoError(t, err)
		require.Equal(t, data, again)
		for i := range data {
			data[i] = 0xff // what was returned is the caller's
		}
		data, err = c.Encode(&pb.Money{})
		require.NoError(t, err)
		require.Equal(t, again, data)
		var back *pb.Money
		require.NoError(t, c.Decode(data, &back))
		equal(t, &pb.Money{}, back)
	}
}

func TestTheSameMessageIsTheSameBytes(t *testing.T) {
	c := newCodec(t, nil)
	first, err := c.Encode(order())
	require.NoError(t, err)
	for range 50 {
		again, err := c.Encode(order())
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	c := newCodec(t, nil)
	data, err := c.Encode(&pb.Money{Cents: 1, Currency: "EUR"})
	require.NoError(t, err)
	later := protowire.AppendString(protowire.AppendTag(data, 77, protowire.BytesType), "added later")
	var money *pb.Money
	require.NoError(t, c.Decode(later, &money))
	again, err := c.Encode(money)
	require.NoError(t, err)
	require.Equal(t, later, again)
}

// The client's own header is another implementation of the wire format.
func TestConfluentWireFormat(t *testing.T) {
	registry := newRegistry(t, schema.Confluent)
	for _, test := range []struct {
		message proto.Message
		index   []int
		wire    string
	}{
		{order(), []int{0}, "00"},
		{&pb.OrderPlaced_Line{Sku: "a"}, []int{0, 0}, "04 00 00"},
		{&pb.Address{City: "b"}, []int{1}, "02 02"},
		{&pb.OrderFailed{OrderId: "c"}, []int{2}, "02 04"},
		{&pb.OrderFailed_Detail{Text: "d"}, []int{2, 0}, "04 04 00"}, // its map's entry does not count
		{&pb.OrderFailed_Retry{Attempts: 5}, []int{2, 1}, "04 04 02"},
		{&pb.Tree{}, []int{3}, "02 06"},
	} {
		typ := reflect.TypeOf(test.message)
		data, err := prepared(t, registry, typ).Encode(test.message)
		require.NoError(t, err)

		header := new(sr.ConfluentHeader)
		id, rest, err := header.DecodeID(data)
		require.NoError(t, err)
		index, body, err := header.DecodeIndex(rest, 10)
		require.NoError(t, err)
		require.Equal(t, test.index, index)
		plain, err := newCodec(t, nil).Encode(test.message)
		require.NoError(t, err)
		require.Equal(t, plain, body)
		require.Equal(t, test.wire, fmt.Sprintf("% x", data[5:len(data)-len(body)]))

		framed, err := header.AppendEncode(nil, id, test.index)
		require.NoError(t, err)
		require.Equal(t, framed, data[:len(data)-len(body)])
		// A reader that has prepared nothing learns of the message from the registry.
		for _, payload := range [][]byte{data, plain} {
			into := reflect.New(typ)
			require.NoError(t, newCodec(t, registry).Decode(payload, into.Interface()))
			equal(t, test.message, into.Elem().Interface().(proto.Message))
		}
	}
	all, err := registry.Subjects(t.Context())
	require.NoError(t, err)
	require.Contains(t, all, "choreo.order.events-shop.OrderFailed.Detail")
	require.Contains(t, all, "shop/money.proto")
	require.NotContains(t, all, "google/protobuf/timestamp.proto")
}

// The writer's file counts: by the reader's own, the index would be of another message.
func TestTheMessageIndexIsOfTheWritersSchema(t *testing.T) {
	registry := newRegistry(t, schema.Confluent)
	id, err := registry.Register(t.Context(), "s", schema.Schema{Kind: schema.Protobuf,
		Text: `syntax = "proto3"; package shop; import "elsewhere.proto"; message Before { Elsewhere e = 1; } message Money { int64 cents = 1; }`})
	require.NoError(t, err)
	c := newCodec(t, registry)
	payload := append(id.Append(nil), 2, 2, 8, 7)
	var money *pb.Money
	require.NoError(t, c.Decode(payload, &money))
	require.EqualValues(t, 7, money.GetCents())
	require.ErrorContains(t, c.Decode(append(id.Append(nil), 0, 8, 7), &money), "the payload is a shop.Before (schema 1, message index [0]), and not a shop.Money")
	require.EqualValues(t, 7, money.GetCents(), "a message that cannot be read leaves the old one alone")
}

func TestHostilePayloads(t *testing.T) {
	registry := newRegistry(t, schema.Confluent)
	c := prepared(t, registry, reflect.TypeFor[*pb.Address]())
	avro, err := registry.Register(t.Context(), "avro", schema.Schema{Kind: schema.Avro, Text: `"long"`})
	require.NoError(t, err)
	deep := []byte{}
	for range 200 {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), deep)
	}
	id := schema.ID{Framing: schema.Confluent, Number: 1}
	if s, err := registry.Schema(t.Context(), id); err != nil || s.Kind != schema.Protobuf || !strings.Contains(s.Text, "Money") {
		t.Fatal("the import is registered first", s, err)
	}
	framed := func(index ...byte) []byte { return append(id.Append(nil), index...) }
	for _, test := range []struct {
		payload []byte
		into    any
		says    string
	}{
		{[]byte{0}, new(*pb.Address), "no schema id"},
		{[]byte{0, 0, 0, 0}, new(*pb.Address), "no schema id"},
		{framed(), new(*pb.Address), "message index behind the schema id is broken"},
		{framed(1), new(*pb.Address), "message index behind the schema id is broken"},    // -1 numbers
		{framed(2), new(*pb.Address), "message index behind the schema id is broken"},    // one, and none comes
		{framed(2, 1), new(*pb.Address), "message index behind the schema id is broken"}, // it is -1
		{framed(0x80), new(*pb.Address), "message index behind the schema id is broken"}, // half a varint
		{framed(0xfe, 0xff, 0xff, 0xff, 0x0f), new(*pb.Address), "it has 2147483647 numbers"},
		{framed(2, 0xfe, 0xff, 0xff, 0xff, 0x0f), new(*pb.Address), "message index behind the schema id is broken"},
		{framed(2, 18), new(*pb.Address), "no message at index [9]"},
		{framed(4, 0, 0), new(*pb.Address), "no message at index [0 0]"},
		{append(avro.Append(nil), 0), new(*pb.Address), "schema 3 is of kind AVRO, and not PROTOBUF"},
		{[]byte{0, 0, 0, 0, 9, 0}, new(*pb.Address), "unknown schema: id 9"},
		{[]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, new(*pb.Address), "decode into **shoppb.Address"}, // a huge length
		{[]byte{0x0a, 5, 'a'}, new(*pb.Address), "cannot parse"},
		{[]byte{0x0a, 2, 0xff, 0xfe}, new(*pb.Address), "UTF-8"},
		{[]byte{0xC3, 1, 0, 0, 0, 0, 0, 0, 0, 0}, new(*pb.Address), "decode into"},
		{deep, new(*pb.Tree), "depth"},
		{[]byte{0x08}, new(*pb.Money), "cannot parse"},
		{nil, nil, "no generated message"},
		{nil, new(string), "no generated message"},
		{nil, new(*string), "no generated message"},
		{nil, pb.Money{}.Cents, "no generated message"},
		{nil, (*pb.Money)(nil), "it is nil"},
		{nil, (**pb.Money)(nil), "it is nil"},
		{nil, new(proto.Message), "no generated message"},
		{nil, new(*dynamicpb.Message), "no generated message"},
	} {
		err := c.Decode(test.payload, test.into)
		require.ErrorContains(t, err, test.says, "% x", test.payload)
	}
	unknown := c.Decode([]byte{0, 0, 0, 0, 9, 0}, new(*pb.Address))
	require.ErrorIs(t, unknown, schema.ErrUnknownSchema, "so that the saga is parked")
	require.ErrorContains(t, newCodec(t, nil).Decode(framed(0), new(*pb.Address)), "written by schema 1 of a registry: make the codec with that registry")
}

func TestBounds(t *testing.T) {
	c, err := protobuf.New(nil, &protobuf.Config{MaxBytes: 10, MaxDepth: 3})
	require.NoError(t, err)
	require.ErrorContains(t, c.Decode(make([]byte, 11), new(*pb.Money)), "at most 10 are allowed, see Config.MaxBytes")
	tree := &pb.Tree{Child: &pb.Tree{Child: &pb.Tree{}}}
	data, err := c.Encode(tree)
	require.NoError(t, err)
	require.NoError(t, c.Decode(data, new(*pb.Tree)))
	data, err = c.Encode(&pb.Tree{Child: tree})
	require.NoError(t, err)
	require.Error(t, c.Decode(data, new(*pb.Tree)))

	_, err = protobuf.New(nil, &protobuf.Config{MaxBytes: -1, MaxDepth: -1, LookupTimeout: -1})
	for _, field := range []string{"MaxBytes is -1", "MaxDepth is -1", "LookupTimeout is -1ns"} {
		require.ErrorContains(t, err, field)
	}
}

func TestEncodeSaysWhatIsWrong(t *testing.T) {
	c := newCodec(t, newRegistry(t, schema.Confluent))
	for _, test := range []struct {
		value any
		says  string
	}{
		{nil, "it is nil"},
		{(*pb.Money)(nil), "it is nil"},
		{"text", "no generated message"},
		{new(dynamicpb.Message), "no generated message"},
		{&pb.Money{}, "call Prepare with its type"},
	} {
		_, err := c.Encode(test.value)
		require.ErrorContains(t, err, test.says)
	}
	_, err := newCodec(t, nil).Encode(&pb.Money{Currency: "\xff"})
	require.ErrorContains(t, err, "UTF-8")
}

func TestPrepareNamesEveryTypeAtFault(t *testing.T) {
	for _, registry := range []schema.Registry{nil, newRegistry(t, schema.Confluent)} {
		err := newCodec(t, registry).Prepare(t.Context(), topic, []reflect.Type{reflect.TypeFor[string](), reflect.TypeFor[*pb.Money](), reflect.TypeFor[int](), nil})
		require.ErrorContains(t, err, "prepare string for topic "+topic)
		require.ErrorContains(t, err, "prepare int")
		require.ErrorContains(t, err, "it is nil")
		require.NotContains(t, err.Error(), "Money")
	}
	refusing, err := memory.New(&memory.Config{Check: func(s schema.Schema, _ []schema.Schema) error {
		if s.Name == "shop.Money" {
			return errors.New("cents are gone")
		}
		return nil
	}})
	require.NoError(t, err)
	err = newCodec(t, refusing).Prepare(t.Context(), topic, []reflect.Type{reflect.TypeFor[*pb.OrderPlaced]()})
	require.ErrorIs(t, err, schema.ErrIncompatible)
	require.ErrorContains(t, err, "the import shop/money.proto")
	require.ErrorContains(t, err, "cents are gone")
}

// deadRegistry is one that nobody answers for.
type deadRegistry struct{ schema.Registry }

func (deadRegistry) Schema(ctx context.Context, _ schema.ID) (schema.Schema, error) {
	<-ctx.Done()
	return schema.Schema{}, ctx.Err()
}

func TestASilentRegistryHoldsUpNobodyForLong(t *testing.T) {
	c, err := protobuf.New(deadRegistry{}, &protobuf.Config{LookupTimeout: time.Millisecond})
	require.NoError(t, err)
	err = c.Decode([]byte{0, 0, 0, 0, 1, 0}, new(*pb.Money))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, schema.ErrUnknownSchema)
}

func TestSchemaIsTheSourceWithItsImports(t *testing.T) {
	s, err := newCodec(t, nil).Schema(reflect.TypeFor[pb.OrderPlaced_Line]())
	require.NoError(t, err)
	require.Equal(t, schema.Protobuf, s.Kind)
	require.Equal(t, "shop.OrderPlaced.Line", s.Name)
	for _, part := range []string{`syntax = "proto3";`, `import "shop/money.proto";`, `import "google/protobuf/timestamp.proto";`,
		"map<string, string> labels = 6;", "optional string reason = 3;"} {
		require.Contains(t, s.Text, part)
	}
	require.Len(t, s.References, 1)
	require.Equal(t, "shop/money.proto", s.References[0].Name)
	require.Contains(t, s.References[0].Text, "int64 cents = 1;")
	require.NoError(t, protobuf.Defines(s.Text, s.Name))
	_, err = newCodec(t, nil).Schema(reflect.TypeFor[int]())
	require.ErrorContains(t, err, "schema of int: it is no generated message")
}

func TestNamesInASource(t *testing.T) {
	name, err := protobuf.Name("package a.b; message First { message Inner {} } message Second {}")
	require.NoError(t, err)
	require.Equal(t, "a.b.First", name)
	name, err = protobuf.Name(`syntax = "proto3"; enum Only { ZERO = 0; }`)
	require.NoError(t, err)
	require.Empty(t, name)
	_, err = protobuf.Name("message {")
	require.ErrorContains(t, err, "cannot be parsed")
	_, err = protobuf.Name(strings.Repeat("message A{", 100_000))
	require.ErrorContains(t, err, "braces more than 200 deep")
	_, err = protobuf.Name("message A {}" + strings.Repeat("\n", 1<<20))
	require.ErrorContains(t, err, "at most 1048576 are allowed")
	const text = "package a.b; message First { message Inner {} }"
	require.NoError(t, protobuf.Defines(text, "a.b.First.Inner"))
	for _, name := range []string{"", "First", "a.b", "a.b.", "a.b.Inner", "a.b.First.", "a.b.First.Inner.More"} {
		require.ErrorContains(t, protobuf.Defines(text, name), "no message "+name)
	}
}

func TestRoundTrip(t *testing.T) {
	registry := newRegistry(t, schema.Confluent)
	codecs := []*protobuf.Codec{newCodec(t, nil), prepared(t, registry, reflect.TypeFor[*pb.OrderPlaced]())}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		in := &pb.OrderPlaced{OrderId: text.Draw(t, "id"), Labels: rapid.MapOf(text, text).Draw(t, "labels")}
		for range rapid.IntRange(0, 5).Draw(t, "lines") {
			in.Lines = append(in.Lines, &pb.OrderPlaced_Line{Quantity: rapid.Int32().Draw(t, "n"), Price: &pb.Money{Cents: rapid.Int64().Draw(t, "cents")}})
		}
		for _, c := range codecs {
			data, err := c.Encode(in)
			require.NoError(t, err)
			var out *pb.OrderPlaced
			require.NoError(t, c.Decode(data, &out))
			equal(t, in, out)
		}
	})
}

func FuzzCodec(f *testing.F) {
	registry := newRegistry(f, schema.Confluent)
	c := prepared(f, registry, reflect.TypeFor[*pb.OrderPlaced]())
	data, err := c.Encode(order())
	require.NoError(f, err)
	for _, seed := range [][]byte{data, data[6:], data[:5], {0, 0, 0, 0, 1, 2, 2}, {0xC3, 1}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in, out *pb.OrderPlaced
		if c.Decode(data, &in) != nil {
			return
		}
		data, err := c.Encode(in)
		require.NoError(t, err)
		require.NoError(t, c.Decode(data, &out))
		again, err := c.Encode(out)
		require.NoError(t, err)
		require.Equal(t, data, again) // NaN aside, there being no floats, equal bytes are equal messages
	})
}

func FuzzSource(f *testing.F) {
	f.Add("syntax = \"proto3\"; package a; message B { map<string, int32> c = 1; oneof d { group E = 2 {} } }")
	f.Add("edition = \"2023\"; message A { message A { message A {} } extensions 1 to max; }")
	f.Fuzz(func(t *testing.T, text string) {
		name, err := protobuf.Name(text)
		if err != nil || name == "" {
			return
		}
		require.NoError(t, protobuf.Defines(text, name))
	})
}

func BenchmarkEncode(b *testing.B) {
	for name, encode := range map[string]func(testing.TB) func() ([]byte, error){
		"codec": func(b testing.TB) func() ([]byte, error) {
			c, in := prepared(b, newRegistry(b, schema.Confluent), reflect.TypeFor[*pb.OrderPlaced]()), order()
			return func() ([]byte, error) { return c.Encode(in) }
		},
		"proto": func(testing.TB) func() ([]byte, error) {
			in := order()
			return func() ([]byte, error) { return proto.MarshalOptions{Deterministic: true}.Marshal(in) }
		},
		"json": func(testing.TB) func() ([]byte, error) {
			in := order()
			return func() ([]byte, error) { return json.Marshal(in) }
		},
	} {
		b.Run(name, func(b *testing.B) {
			run := encode(b)
			b.ReportAllocs()
			for b.Loop() {
				data, err := run()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(data)), "bytes")
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	registry := newRegistry(b, schema.Confluent)
	writer := prepared(b, registry, reflect.TypeFor[*pb.OrderPlaced]())
	framed, err := writer.Encode(order())
	require.NoError(b, err)
	plain, err := proto.Marshal(order())
	require.NoError(b, err)
	text, err := json.Marshal(order())
	require.NoError(b, err)
	reader := newCodec(b, registry)
	for name, run := range map[string]func(*pb.OrderPlaced) error{
		"codec, own schema":   func(into *pb.OrderPlaced) error { return writer.Decode(framed, into) },
		"codec, other schema": func(into *pb.OrderPlaced) error { return reader.Decode(framed, into) },
		"proto":               func(into *pb.OrderPlaced) error { return proto.Unmarshal(plain, into) },
		"json":                func(into *pb.OrderPlaced) error { return json.Unmarshal(text, into) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := run(new(pb.OrderPlaced)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
