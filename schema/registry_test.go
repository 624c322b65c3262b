package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
)

func TestAnIDStandsInFrontOfTheBody(t *testing.T) {
	for _, test := range []struct {
		id    schema.ID
		frame []byte
		text  string
	}{
		{schema.ID{Framing: schema.Confluent, Number: 0x01020304}, []byte{0, 1, 2, 3, 4}, "16909060"},
		{schema.ID{Framing: schema.SingleObject, Number: 0x0102030405060708}, []byte{0xC3, 1, 8, 7, 6, 5, 4, 3, 2, 1}, "0102030405060708"},
	} {
		payload := append(test.id.Append(nil), "body"...)
		require.Equal(t, test.frame, payload[:len(test.frame)])
		require.Equal(t, test.text, test.id.String())
		id, body, err := schema.ParseID(payload)
		require.NoError(t, err)
		require.Equal(t, test.id, id)
		require.Equal(t, "body", string(body))
	}
}

func TestAPayloadWithoutAnIDSaysHowItBegins(t *testing.T) {
	for _, payload := range [][]byte{nil, {0}, {0, 1, 2, 3}, {0xC3, 1, 2}, {0xC3, 2, 0, 0, 0, 0, 0, 0, 0, 0}, []byte(`{"a":1}`)} {
		_, _, err := schema.ParseID(payload)
		require.ErrorIs(t, err, schema.ErrNoID)
	}
	_, _, err := schema.ParseID([]byte(`{"a":1}`))
	require.ErrorContains(t, err, "7b 22 61")
}
