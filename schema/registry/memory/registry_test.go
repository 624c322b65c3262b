package memory_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/memory"
	"github.com/choreo-go/choreo/schema/registry/registrytest"
)

func Example() {
	ctx := context.Background()
	registry, err := memory.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	order := schema.Schema{Kind: schema.Avro, Text: `{"type":"record","name":"shop.Order","fields":[]}`}
	id, err := registry.Register(ctx, schema.Subject("choreo.order.events", "shop.Order"), order)
	fmt.Println(id, err)

	found, err := registry.Schema(ctx, id)
	fmt.Println(found.Kind, found.Name, err)
	_, err = registry.Schema(ctx, schema.ID{Framing: schema.Confluent, Number: 7})
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// AVRO shop.Order <nil>
	// memory: unknown schema: id 7
}

func TestConformance(t *testing.T) {
	for name, framing := range map[string]schema.Framing{"ids": schema.Confluent, "fingerprints": schema.SingleObject} {
		t.Run(name, func(t *testing.T) {
			var strict string
			registrytest.Exercise(t, registrytest.Harness{
				Framing:        framing,
				AvroReferences: framing == schema.Confluent,
				New: func(t *testing.T) func(*testing.T) schema.Registry {
					r, err := memory.New(&memory.Config{Framing: framing, Check: func(s schema.Schema, earlier []schema.Schema) error {
						if s.Name == strict && len(earlier) == 1 && strings.Count(s.Text, `"long"`) > strings.Count(earlier[0].Text, `"long"`) {
							return fmt.Errorf("%s has fields without a default that were added", s.Name)
						}
						return nil
					}})
					require.NoError(t, err)
					return func(*testing.T) schema.Registry { return r }
				},
				Strict: func(_ *testing.T, _ schema.Registry, subject string) {
					_, strict, _ = strings.Cut(subject, "-")
				},
			})
		})
	}
}

func TestAnUnknownFramingIsRefused(t *testing.T) {
	_, err := memory.New(&memory.Config{Framing: 9})
	require.ErrorContains(t, err, "Config.Framing is 9")
}

func TestAFingerprintIsOfAWholeSchema(t *testing.T) {
	r, err := memory.New(&memory.Config{Framing: schema.SingleObject})
	require.NoError(t, err)
	item := schema.Schema{Kind: schema.Avro, Text: `{"type":"enum","name":"shop.Item","symbols":["A"]}`}
	id, err := r.Register(t.Context(), "shop.Item", item)
	require.NoError(t, err)
	item.Text = ` { "symbols": ["A"], "name": "Item", "namespace": "shop", "type": "enum", "doc": "says more" } `
	again, err := r.Register(t.Context(), "shop.Item", item)
	require.NoError(t, err)
	require.Equal(t, id, again, "the canonical form counts")
	_, err = r.Register(t.Context(), "shop.Order", schema.Schema{Kind: schema.Avro,
		Text:       `{"type":"record","name":"shop.Order","fields":[{"name":"item","type":"shop.Item"}]}`,
		References: []schema.Reference{{Name: "shop.Item", Subject: "shop.Item", Version: 1}}})
	require.ErrorContains(t, err, "write the types that it refers to into its text")
}
