package cluster_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	schemas "github.com/choreo-go/choreo/schema/registry/memory"
	"github.com/choreo-go/choreo/tracker/cluster"
)

const (
	moneyProto = `syntax = "proto3"; package shop; message Money { int64 cents = 1; }`
	orderProto = `syntax = "proto3"; package shop;
import "shop/money.proto";
import "google/protobuf/timestamp.proto";
message Other {}
message Order {
  map<string, string> labels = 1;
  Money total_price = 2;
  google.protobuf.Timestamp placed_at = 3;
  message Line { string sku = 1; }
}`
)

// protobufOf returns the codec of a source that decodes Protobuf.
func protobufOf(t *testing.T, c *cluster.Cluster) schema.Codec {
	t.Helper()
	for _, codec := range c.Source(nil).Codecs {
		if codec.ContentType() == string(choreo.Protobuf) {
			return codec
		}
	}
	t.Fatal("no codec reads Protobuf")
	return nil
}

func TestProtobufIsShownAsJSON(t *testing.T) {
	w := newWorld(t, saga())
	registry, err := schemas.New(&schemas.Config{Framing: schema.Confluent})
	require.NoError(t, err)
	_, err = registry.Register(t.Context(), "shop/money.proto", schema.Schema{Kind: schema.Protobuf, Text: moneyProto})
	require.NoError(t, err)
	id, err := registry.Register(t.Context(), "orders", schema.Schema{Kind: schema.Protobuf, Name: "shop.Other", Text: orderProto,
		References: []schema.Reference{{Name: "shop/money.proto", Subject: "shop/money.proto", Version: 1}}})
	require.NoError(t, err)
	codec := protobufOf(t, w.cluster(cluster.Config{Registry: registry}))

	money := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 349)
	at := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1_770_000_000)
	order := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), money)
	order = protowire.AppendBytes(protowire.AppendTag(order, 3, protowire.BytesType), at)
	line := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "coffee")
	for _, test := range []struct {
		index, body []byte
		want        string
	}{
		{[]byte{0}, nil, `{}`},
		{[]byte{2, 2}, order, `{"total_price":{"cents":"349"},"placed_at":"2026-02-02T02:40:00Z"}`},
		{[]byte{4, 2, 0}, line, `{"sku":"coffee"}`}, // behind the entries of the map
	} {
		var shown any
		require.NoError(t, codec.Decode(append(id.Append(nil), append(test.index, test.body...)...), &shown))
		text, err := json.Marshal(shown)
		require.NoError(t, err)
		require.JSONEq(t, test.want, string(text))
	}
}

// What cannot be decoded is an error, whatever it is.
func TestProtobufThatCannotBeShown(t *testing.T) {
	w := newWorld(t, saga())
	registry, err := schemas.New(&schemas.Config{Framing: schema.Confluent})
	require.NoError(t, err)
	good, err := registry.Register(t.Context(), "good", schema.Schema{Kind: schema.Protobuf, Name: "A", Text: `syntax = "proto3"; message A { string a = 1; }`})
	require.NoError(t, err)
	other, err := registry.Register(t.Context(), "other", schema.Schema{Kind: schema.Avro, Name: "Order", Text: avroOrder})
	require.NoError(t, err)
	codec := protobufOf(t, w.cluster(cluster.Config{Registry: registry}))
	framed := func(id schema.ID, rest ...byte) []byte { return append(id.Append(nil), rest...) }
	for says, data := range map[string][]byte{
		"cluster: protobuf:":      {10, 1, 'a'},
		"message index":           framed(good),
		"no message [7]":          framed(good, 2, 14),
		"is of kind AVRO":         framed(other, 0),
		"unknown schema":          framed(schema.ID{Framing: schema.Confluent, Number: 99}, 0),
		"payload of schema":       framed(good, 0, 10, 200),
		"no message [0 0]":        framed(good, 4, 0, 0),
		"Confluent's wire format": framed(good, 0x80),
	} {
		var shown any
		require.ErrorContains(t, codec.Decode(data, &shown), says)
		require.Nil(t, shown)
	}
	require.ErrorContains(t, codec.Decode(framed(good, 0), new(string)), "*any alone")
	_, err = codec.Encode("x")
	require.Error(t, err)
}
