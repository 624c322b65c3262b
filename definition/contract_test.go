package definition_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
)

func orderDocument(t *testing.T) *definition.Document {
	t.Helper()
	d, err := definition.LoadFile("testdata/valid/order.yaml")
	require.NoError(t, err)
	return d
}

func TestAContractHoldsEachSchemaOnce(t *testing.T) {
	d := orderDocument(t)
	c, err := definition.NewContract([]*definition.Document{d}, definition.ContractConfig{Service: "payments", Build: "v1.2.3", Starts: []string{"order"}})
	require.NoError(t, err)
	require.Equal(t, "contract/payments", c.Key())
	require.True(t, definition.IsContractKey(c.Key()))
	require.False(t, definition.IsContractKey("definition/order/1"))
	totals := definition.SchemaFingerprint(d.Payload("OrderTotals").Schema)
	placed := definition.SchemaFingerprint(d.Payload("OrderPlaced").Schema)
	require.Equal(t, []definition.ContractRead{{Step: "charge-payment", Of: "create-order", Schema: totals}}, c.Definitions[0].Reads,
		"the output of reserve-stock has no schema")
	require.Equal(t, []definition.ContractWrite{{Schema: placed}}, c.Definitions[0].Writes)
	require.Len(t, c.Schemas, 2)
	require.Equal(t, d.Payload("OrderTotals").Schema, c.Schemas[totals].Schema())

	data, err := c.Encode()
	require.NoError(t, err)
	validateContract(t, data)
	back, err := definition.DecodeContract(data)
	require.NoError(t, err)
	require.Equal(t, c, back)
	parsed, err := definition.Parse("", []byte(back.Definitions[0].Document))
	require.NoError(t, err)
	require.Equal(t, back.Definitions[0].Fingerprint, definition.Fingerprint(parsed.Definition))
}

func TestHandlersMayWriteAndReadByOtherSchemas(t *testing.T) {
	d := orderDocument(t)
	c, err := definition.NewContract([]*definition.Document{d}, definition.ContractConfig{Service: "payments"})
	require.NoError(t, err)
	own := schema.Schema{Kind: schema.Avro, Name: "Own", Text: `"string"`}
	require.NoError(t, c.SetRead("order", 1, "charge-payment", "create-order", own))
	require.NoError(t, c.SetWrite("order", 1, "charge-payment", own))
	require.Equal(t, []definition.ContractRead{{Step: "charge-payment", Of: "create-order", Schema: definition.SchemaFingerprint(own)}}, c.Definitions[0].Reads)
	require.Equal(t, []definition.ContractWrite{{Step: "charge-payment", Schema: definition.SchemaFingerprint(own)}}, c.Definitions[0].Writes)
	require.Len(t, c.Schemas, 1, "the one that was replaced is gone")
	require.ErrorContains(t, c.SetRead("order", 2, "charge-payment", "", own), "has no saga order/2")
	require.ErrorContains(t, c.SetWrite("order", 1, "create-order", own), `does not own step "create-order"`)
}

func TestContractsThatCannotBe(t *testing.T) {
	d := orderDocument(t)
	_, err := definition.NewContract([]*definition.Document{d, d}, definition.ContractConfig{Starts: []string{"travel"}})
	require.ErrorContains(t, err, "Service is empty")
	require.ErrorContains(t, err, "order/1 is there twice")
	require.ErrorContains(t, err, `Starts names saga "travel"`)

	c, err := definition.NewContract([]*definition.Document{d}, definition.ContractConfig{Service: "payments"})
	require.NoError(t, err)
	huge := schema.Schema{Kind: schema.Avro, Name: "Huge", Text: `"` + strings.Repeat("x", definition.MaxContract) + `"`}
	require.NoError(t, c.SetWrite("order", 1, "charge-payment", huge))
	_, err = c.Encode()
	require.ErrorContains(t, err, `"Huge" the largest with 1000002`)
}

func TestContractsThatCannotBeRead(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                             "unexpected end",
		`{"format": 1}`:                 "no format or no service",
		`{"format": 2, "service": "a"}`: "newer format: 2, and this build knows 1",
		`{"format": 1, "service": "a", "definitions": [{"name": "x"}]}`:                                                                                        "lacks name, version or fingerprint",
		`{"format": 1, "service": "a", "definitions": [{"name": "x", "version": 1, "fingerprint": "f", "writes": [{"schema": "s"}]}]}`:                         `refers to schema "s"`,
		`{"format": 1, "service": "a", "definitions": [{"name": "x", "version": 1, "fingerprint": "f", "reads": [{"schema": "r"}], "further": "is dropped"}]}`: `refers to schema "r"`,
	} {
		_, err := definition.DecodeContract([]byte(text))
		require.ErrorContains(t, err, want)
	}
	_, err := definition.DecodeContract([]byte(`{"format": 2, "service": "a"}`))
	require.ErrorIs(t, err, definition.ErrNewerFormat)
}
