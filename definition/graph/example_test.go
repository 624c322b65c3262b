package graph_test

import (
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition/graph"
)

type (
	Placed  struct{ Customer string }
	Created struct{ OrderID string }
	Receipt struct{ PaymentID string }
)

func order() *choreo.Saga[Placed] {
	create := choreo.NewStep[Placed, Created]("create-order")
	charge := choreo.NewStep[Created, Receipt]("charge-card")
	return choreo.MustDefine[Placed]("order", 1,
		create.OwnedBy("orders"),
		charge.OwnedBy("payments").After(create).NoCompensation(),
	)
}

func ExampleMermaid() {
	fmt.Print(graph.Mermaid(order(), graph.Options{Direction: graph.Right}))
	// Output:
	// ---
	// title: "order/1 · no deadline · undone in reverse order"
	// ---
	// flowchart LR
	//   start((" ")):::start
	//   subgraph service0["orders"]
	//     step0["create-order<br/>orders"]
	//     class step0 color0
	//     undo0(["undo create-order"]):::undo
	//   end
	//   subgraph service1["payments"]
	//     step1["charge-card<br/>payments<br/>nothing to undo"]
	//     class step1 color1
	//   end
	//   start -->|"Placed"| step0
	//   step0 -->|"Created"| step1
	//   step0 -.- undo0
	//   classDef start fill:#3b4252,stroke:#3b4252
	//   classDef undo fill:#fdf1f0,stroke:#c2413b,color:#1f2430
	//   classDef optional stroke-dasharray:6 4
	//   classDef pivot stroke-width:4px
	//   classDef color0 fill:#e4f1fa,stroke:#336e99,color:#1f2430
	//   classDef color1 fill:#faf7e4,stroke:#998833,color:#1f2430
	//   linkStyle 2 stroke:#c2413b
}

func ExampleArrange() {
	layout := graph.Arrange(order(), graph.Options{})
	for _, b := range layout.Steps {
		fmt.Printf("%s in layer %d, %d × %d\n", b.Step, b.Layer, b.Width, b.Height)
	}
	for _, e := range layout.Edges {
		fmt.Printf("%s: %q → %q %s\n", e.Kind, e.From, e.To, e.Payload)
	}
	// Output:
	// create-order in layer 1, 148 × 48
	// charge-card in layer 2, 133 × 64
	// start: "" → "create-order" Placed
	// after: "create-order" → "charge-card" Created
	// undo: "charge-card" → "create-order"
}
