package confluent_test

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/confluent"
)

func Example() {
	server := srfake.New() // speaks the protocol of a real one
	defer server.Close()

	ctx := context.Background()
	registry, err := confluent.New(&confluent.Config{URLs: []string{server.URL()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	id, err := registry.Register(ctx, schema.Subject("choreo.order.events", "shop.Order"), schema.Schema{
		Kind: schema.Avro,
		Text: `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"cents","type":"long"}]}`,
	})
	fmt.Println(id, err)
	versions, err := registry.Versions(ctx, "choreo.order.events-shop.Order")
	fmt.Println(versions[0].Number, versions[0].Schema.Name, err)
	_, err = registry.Schema(ctx, schema.ID{Framing: schema.Confluent, Number: 7})
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// 1 shop.Order <nil>
	// confluent: schema 7: unknown schema: schema not found
}
