package avro

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkScan measures what the check of a body costs beside goavro's reading of it.
func BenchmarkScan(b *testing.B) {
	const text = `{"type":"record","name":"Order","fields":[{"name":"id","type":"string"},{"name":"customer","type":"string"},
		{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
			{"name":"sku","type":"string"},{"name":"quantity","type":"long"},{"name":"cents","type":["null","long"]}]}}}]}`
	root, err := parse(schemaOf(text))
	require.NoError(b, err)
	native, err := lowered(root)
	require.NoError(b, err)
	lines := make([]any, 10)
	for i := range lines {
		lines[i] = map[string]any{"sku": fmt.Sprintf("sku-%d", i), "quantity": int64(i), "cents": int64(i * 1000)}
	}
	body, err := encodeAny(text, map[string]any{"id": "0199c3a4-7e1d-7b52-9f0a-3c5d8e7f6a1b", "customer": "customer-0042", "lines": lines})
	require.NoError(b, err)
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if found := scan(root, body, DefaultMaxDepth); found != nil {
				b.Fatal(found)
			}
		}
	})
	b.Run("goavro", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := native.NativeFromBinary(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}
