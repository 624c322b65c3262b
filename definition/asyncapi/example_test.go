package asyncapi_test

import (
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition/asyncapi"
)

type (
	Placed  struct{ Customer string }
	Created struct{ OrderID string }
)

func ExampleDocument() {
	create := choreo.NewStep[Placed, Created]("create-order")
	order := choreo.MustDefine[Placed]("order", 1, create.OwnedBy("orders"))

	document, err := asyncapi.Document([]asyncapi.Saga{{Definition: order}}, asyncapi.Options{
		Namespace: "choreo", Title: "Orders", Format: asyncapi.YAML,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.Join(strings.SplitN(string(document), "\n", 5)[:4], "\n"))
	// Output:
	// asyncapi: 3.0.0
	// info:
	//   title: Orders
	//   version: 1.0.0
}
