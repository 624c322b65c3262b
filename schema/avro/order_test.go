package avro_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	hamba "github.com/hamba/avro/v2"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/order/contract"
)

// orderPayloads are those of one order of the example.
func orderPayloads() []any {
	const id, customer = "0199c3a4-7e1d-7b52-9f0a-3c5d8e7f6a1b", "customer-0042"
	return []any{
		contract.OrderPlaced{OrderID: id, Customer: customer, ShipTo: "DE", Items: []contract.Item{
			{SKU: "pen-blue", Quantity: 3, UnitCents: 120}, {SKU: "ink-black", Quantity: 1, UnitCents: 999}, {SKU: "paper-a4", Quantity: 500, UnitCents: 2},
		}},
		contract.OrderCreated{OrderID: id, Customer: customer, TotalCents: 2359, ShipTo: "DE", Lines: []contract.Line{
			{SKU: "ink-black", Quantity: 1}, {SKU: "paper-a4", Quantity: 500}, {SKU: "pen-blue", Quantity: 3},
		}},
		contract.StockReserved{OrderID: id},
		contract.PaymentCharged{OrderID: id, AmountCents: 2359},
		contract.ShipmentBooked{OrderID: id, Country: "DE"},
		contract.OrderConfirmed{OrderID: id},
	}
}

func TestBodiesAreAtLeastTwoFifthsSmallerThanJSON(t *testing.T) {
	avroBytes, jsonBytes := 0, 0
	for _, v := range orderPayloads() {
		c := prepared(t, nil, reflect.TypeOf(v))
		data, err := c.Encode(v)
		require.NoError(t, err)
		out := reflect.New(reflect.TypeOf(v))
		require.NoError(t, c.Decode(data, out.Interface()))
		require.Equal(t, v, out.Elem().Interface())
		text, err := json.Marshal(v)
		require.NoError(t, err)
		t.Logf("%-30T %4d bytes in Avro, %4d in JSON", v, len(data)-5, len(text))
		avroBytes += len(data) - 5
		jsonBytes += len(text)
	}
	require.LessOrEqual(t, float64(avroBytes), 0.6*float64(jsonBytes), "%d, %d", avroBytes, jsonBytes)
}

// encoding is one way to write and read a payload.
type encoding struct {
	name   string
	encode func(any) ([]byte, error)
	decode func([]byte, any) error
}

func encodings(b *testing.B, v any) []encoding {
	b.Helper()
	c := prepared(b, nil, reflect.TypeOf(v))
	s, err := c.Schema(reflect.TypeOf(v))
	require.NoError(b, err)
	parsed, err := hamba.Parse(s.Text)
	require.NoError(b, err)
	api := hamba.Config{TagKey: "json"}.Freeze()
	return []encoding{
		{"choreo", c.Encode, c.Decode},
		{"hamba", func(v any) ([]byte, error) { return api.Marshal(parsed, v) }, func(data []byte, into any) error { return api.Unmarshal(parsed, data, into) }},
		{"json", json.Marshal, json.Unmarshal},
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, v := range orderPayloads() {
		for _, e := range encodings(b, v) {
			b.Run(fmt.Sprintf("%T/%s", v, e.name), func(b *testing.B) {
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					data, err := e.encode(v)
					if err != nil {
						b.Fatal(err)
					}
					size = len(data)
				}
				b.ReportMetric(float64(size), "bytes")
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, v := range orderPayloads() {
		for _, e := range encodings(b, v) {
			data, err := e.encode(v)
			require.NoError(b, err)
			b.Run(fmt.Sprintf("%T/%s", v, e.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := e.decode(data, reflect.New(reflect.TypeOf(v)).Interface()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
