package definition_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	"github.com/choreo-go/choreo/schema/registry/memory"
)

type (
	Order struct {
		ID string `avro:"id"`
	}
	Receipt struct {
		Number int64 `avro:"number"`
	}
)

// Faults are all told at once, each with its place and a way out.
func ExampleParse() {
	_, err := definition.Parse("order.yaml", []byte(`saga: order
version: 1
steps:
  create: {owner: orders}
  charge: {owner: payments, after: [crate], timout: 10s}
`))
	fmt.Println(err)
	// Output:
	// definition: 1 fault(s):
	//   order.yaml:5:45: error: saga order/1: step "charge": steps.charge has no key "timout" [unknown-key]: did you mean "timeout"?
}

// A definition in Go becomes a file that services of other languages share.
func ExampleFromGo() {
	charge := choreo.NewStep[Order, Receipt]("charge")
	saga := choreo.MustDefine[Order]("order", 1, charge.OwnedBy("payments").Refuses("no-money"), choreo.Encoding(choreo.Avro))

	registry, err := memory.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	codec, err := avro.New(registry, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	doc, err := definition.FromGo(saga, map[choreo.MediaType]schema.Describer{choreo.Avro: codec})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", definition.Format(doc))

	dir, err := os.MkdirTemp("", "definition")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file, err := doc.Save(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := definition.LoadFile(file)
	fmt.Println(filepath.Base(file), err, len(definition.Diff(doc, again)), "changes")
	// Output:
	// # yaml-language-server: $schema=https://raw.githubusercontent.com/choreo-go/choreo/main/definition/definition.schema.json
	// saga: order
	// version: 1
	// encoding: avro
	// input: Order
	// payloads:
	//   Order: {schema: order.avsc}
	//   Receipt: {schema: receipt.avsc}
	// steps:
	//   charge:
	//     owner: payments
	//     output: Receipt
	//     refuses: [no-money]
	// order-1.yaml <nil> 0 changes
}

// Lint follows the data through the graph: here a reader needs what nobody writes.
func ExampleLint() {
	files := fstest.MapFS{
		"order.yaml": {Data: []byte(`saga: order
version: 1
encoding: avro
payloads:
  Created: {schema: created.avsc}
  Totals: {schema: totals.avsc}
steps:
  create: {owner: orders, output: Created}
  charge: {owner: payments, after: [create], reads: {create: Totals}}
`)},
		"created.avsc": {Data: []byte(`{"type": "record", "name": "Created", "fields": [{"name": "id", "type": "string"}]}`)},
		"totals.avsc":  {Data: []byte(`{"type": "record", "name": "Created", "fields": [{"name": "cents", "type": "long"}]}`)},
	}
	doc, err := definition.Load(files, "order.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range definition.Lint([]*definition.Document{doc}, nil) {
		fmt.Printf("%s:%d:%d %s %s\n%s\n", f.File, f.Line, f.Column, f.Severity, f.Code, f.WayOut)
	}
	// Output:
	// order.yaml:9:54 error cannot-read
	// give cents a default in the reader's schema, or keep cents in the writer's schema
}

// Diff says whether a change may be rolled out under running sagas.
func ExampleDiff() {
	parse := func(text string) *definition.Document {
		doc, err := definition.Parse("order.yaml", []byte(text))
		if err != nil {
			panic(err)
		}
		return doc
	}
	before := parse("saga: order\nversion: 1\nsteps: {create: {owner: orders}, charge: {owner: payments, after: [create]}}\n")
	after := parse("saga: order\nversion: 1\nsteps: {create: {owner: orders, timeout: 5s}, charge: {owner: payments}}\n")
	for _, c := range definition.Diff(before, after) {
		fmt.Printf("%s %s %s: %s\n", c.Safety, c.Step, c.Code, c.WayOut)
	}
	// Output:
	// safe create timeout-changed: nothing
	// unsafe-for-running charge after-changed: leave version 1 as it was and make this version 2
}

// A service compares its contract with those that others published, before it starts.
func ExampleCompare() {
	contract := func(service, text string) definition.Contract {
		doc, err := definition.Parse("order.yaml", []byte(text))
		if err != nil {
			panic(err)
		}
		c, err := definition.NewContract([]*definition.Document{doc}, definition.ContractConfig{Service: service, Build: "v1.4.0"})
		if err != nil {
			panic(err)
		}
		return c
	}
	mine := contract("payments", "saga: order\nversion: 1\nsteps: {create: {owner: orders}, charge: {owner: payments, after: [create]}}\n")
	theirs := contract("orders", "saga: order\nversion: 1\nsteps: {create: {owner: orders}, charge: {owner: orders, after: [create]}}\n")
	for _, f := range definition.Compare(mine, []definition.Contract{theirs}) {
		fmt.Printf("%s %s: %s\n", f.Severity, f.Code, f.Step)
	}
	// Output:
	// error fingerprint-differs: charge
	// error two-owners: charge
}
