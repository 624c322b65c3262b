package definition_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
)

// describer makes a schema of a type's name, and none of types called "created" once it
// is told so.
type describer struct {
	kind schema.Kind
	refs []schema.Reference
	fail error
}

func (d describer) Schema(t reflect.Type) (schema.Schema, error) {
	if d.fail != nil {
		return schema.Schema{}, d.fail
	}
	return schema.Schema{Kind: d.kind, Name: t.Name(), Text: `{"type": "record", "name": "` + t.Name() + `", "fields": []}`, References: d.refs}, nil
}

type receipt struct{ ID string }

func goSaga(t *testing.T, options ...choreo.Option) *choreo.Saga[placed] {
	t.Helper()
	create := choreo.NewStep[placed, created]("create")
	charge := choreo.NewStep[created, receipt]("charge")
	tell := choreo.NewStep[receipt, struct{}]("tell")
	options = append(options,
		create.OwnedBy("orders").Timeout(time.Second),
		charge.OwnedBy("payments").After(create).Encoding(choreo.JSON).CompensateWhen("odd", func(*choreo.Failure) bool { return true }),
		tell.OwnedBy("orders").After(charge).NoCompensation())
	saga, err := choreo.Define[placed]("order", 1, options...)
	require.NoError(t, err)
	return saga
}

func TestAGoDefinitionAndItsFileAreOne(t *testing.T) {
	ref := schema.Reference{Name: "shop.Money", Text: `{"type": "fixed", "name": "Money", "namespace": "shop", "size": 8}`}
	d, err := definition.FromGo(goSaga(t, choreo.Encoding(choreo.Avro), choreo.InputName("Order Placed")), map[choreo.MediaType]schema.Describer{
		choreo.Avro: describer{kind: schema.Avro, refs: []schema.Reference{ref}}, choreo.JSON: describer{kind: schema.JSONType},
	})
	require.NoError(t, err)
	again, err := definition.FromGo(d, nil)
	require.NoError(t, err)
	require.Same(t, d, again)

	dir := t.TempDir()
	file, err := d.Save(dir)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "order-1.yaml"), file)
	saved, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, `# yaml-language-server: $schema=`+definition.SchemaURL+`
saga: order
version: 1
encoding: avro
input: "Order Placed"
payloads:
  "Order Placed": {schema: order-placed.avsc, imports: [shop-money.avsc]}
  created: {schema: created.avsc, imports: [shop-money.avsc]}
  receipt: {schema: receipt.json}
steps:
  create:
    owner: orders
    output: created
    timeout: 1s
  charge:
    owner: payments
    after: [create]
    output: receipt
    encoding: json
    compensate-when: odd
  tell:
    owner: orders
    after: [charge]
    no-compensation: true
`, string(saved))

	loaded, err := definition.LoadFile(file)
	require.NoError(t, err)
	require.Equal(t, definition.Fingerprint(d.Definition), definition.Fingerprint(loaded.Definition))
	require.Empty(t, definition.Diff(d, loaded))
	for i := range d.Payloads {
		require.Equal(t, d.Payloads[i].Schema.Text, loaded.Payloads[i].Schema.Text)
		require.Equal(t, d.Payloads[i].Schema.References, loaded.Payloads[i].Schema.References)
	}
	require.Equal(t, []string{"odd"}, loaded.Definition.Step("charge").Unbound())
	bound, err := definition.LoadFile(file, choreo.BindCompensateWhen("odd", func(*choreo.Failure) bool { return false }))
	require.NoError(t, err)
	require.Empty(t, bound.Definition.Step("charge").Unbound())
}

func TestPayloadsWithoutDescriberHaveNoSchema(t *testing.T) {
	d, err := definition.FromGo(goSaga(t), map[choreo.MediaType]schema.Describer{"": describer{kind: schema.Avro}})
	require.NoError(t, err)
	require.True(t, d.Written("").HasSchema())
	require.Equal(t, "created", d.Read("charge", "create").Name)
	require.False(t, d.Written("charge").HasSchema(), "it is JSON")
	require.Nil(t, d.Written("tell"))
	require.Nil(t, d.Written("gone"))
	require.Nil(t, d.Sources("gone"))
	require.Equal(t, definition.Place{}, d.Place("steps", "create"))
}

func TestFromGoNamesEveryTypeAtFault(t *testing.T) {
	unknown := errors.New("no such thing")
	_, err := definition.FromGo(goSaga(t), map[choreo.MediaType]schema.Describer{"": describer{fail: unknown}, choreo.JSON: describer{fail: unknown}})
	require.ErrorIs(t, err, unknown)
	require.ErrorContains(t, err, "payload placed")
	require.ErrorContains(t, err, "payload receipt (definition_test.receipt): no such thing")

	one := choreo.NewStep[placed, placed]("one")
	saga, err := choreo.Define[placed]("a", 1, one.OwnedBy("x").Encoding(choreo.JSON))
	require.NoError(t, err)
	_, err = definition.FromGo(saga, map[choreo.MediaType]schema.Describer{"": describer{kind: schema.Avro}, choreo.JSON: describer{kind: schema.JSONType}})
	require.ErrorContains(t, err, "encoded in two ways")
}

func TestSaveKeepsToItsFolder(t *testing.T) {
	d, err := definition.FromGo(goSaga(t), map[choreo.MediaType]schema.Describer{"": describer{kind: schema.Avro}})
	require.NoError(t, err)
	d.Payloads[0].File = "../out.avsc"
	dir := filepath.Join(t.TempDir(), "in")
	_, err = d.Save(dir)
	require.ErrorContains(t, err, "outside of the folder")
	require.NoFileExists(t, filepath.Join(dir, "..", "out.avsc"))
	d.Payloads[0].File = d.Payloads[1].File
	_, err = d.Save(dir)
	require.ErrorContains(t, err, "would hold two texts")
	require.NoDirExists(t, dir, "nothing is written of what cannot be saved whole")
}
