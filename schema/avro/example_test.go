package avro_test

import (
	"context"
	"fmt"
	"reflect"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
)

type Item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

type OrderCreated struct {
	OrderID string  `json:"order_id"`
	Items   []Item  `json:"items"`
	Note    *string `json:"note"`
}

func Example() {
	codec, err := avro.New(newRegistry(schema.Confluent), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	order := reflect.TypeFor[OrderCreated]()
	if err := codec.Prepare(context.Background(), "choreo.order.events", []reflect.Type{order}); err != nil {
		fmt.Println(err)
		return
	}
	data, err := codec.Encode(OrderCreated{OrderID: "o-1", Items: []Item{{SKU: "pen", Quantity: 3}}})
	fmt.Printf("%x %v\n", data, err)

	var back OrderCreated
	fmt.Println(codec.Decode(data, &back), back.OrderID, back.Items[0], back.Note)

	s, err := codec.Schema(order)
	fmt.Println(s.Name, err)
	fmt.Println(s.Text)
	// Output:
	// 0000000001066f2d31020670656e060000 <nil>
	// <nil> o-1 {pen 3} <nil>
	// avro_test.OrderCreated <nil>
	// {"type":"record","name":"OrderCreated","namespace":"avro_test","fields":[{"name":"order_id","type":"string"},{"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","namespace":"avro_test","fields":[{"name":"sku","type":"string"},{"name":"quantity","type":"long"}]}}},{"name":"note","type":["null","string"],"default":null}]}
}
