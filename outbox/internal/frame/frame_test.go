package frame

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
)

// bytesOrNil draws byte strings, also the empty one and nil, which differ.
func bytesOrNil(t *rapid.T, label string) []byte {
	if rapid.Bool().Draw(t, label+" is nil") {
		return nil
	}
	return rapid.SliceOf(rapid.Byte()).Draw(t, label)
}

func TestRoundTripOutputs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.Custom(func(t *rapid.T) choreo.Output {
			return choreo.Output{
				Step:        rapid.String().Draw(t, "step"),
				ContentType: string(rapid.SliceOf(rapid.Byte()).Draw(t, "content type")),
				Data:        bytesOrNil(t, "data"),
			}
		})).Draw(t, "outputs")
		got, err := DecodeOutputs(Outputs(list))
		require.NoError(t, err)
		if len(list) == 0 {
			require.Nil(t, got)
			return
		}
		require.Equal(t, list, got)
	})
}

func TestRoundTripHeaders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.Custom(func(t *rapid.T) choreo.Header {
			return choreo.Header{
				Key:   string(rapid.SliceOf(rapid.Byte()).Draw(t, "key")),
				Value: bytesOrNil(t, "value"),
			}
		})).Draw(t, "headers")
		got, err := DecodeHeaders(Headers(list))
		require.NoError(t, err)
		if len(list) == 0 {
			require.Nil(t, got)
			return
		}
		require.Equal(t, list, got)
	})
}

func TestMalformed(t *testing.T) {
	whole := Headers([]choreo.Header{{Key: "a", Value: []byte("bc")}, {Key: "d"}})
	for name, data := range map[string][]byte{
		"unknown version":         {2, 1, 1, 1},
		"no count":                {version},
		"no items":                {version, 0},
		"count beyond the data":   {version, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1},
		"count overflows":         {version, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"field beyond the data":   {version, 1, 9, 'a', 1},
		"field length overflows":  {version, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"cut short":               whole[:len(whole)-1],
		"bytes after the last":    append(bytes.Clone(whole), 0),
		"text that is no frame":   []byte("application/json"),
		"length that is unending": {version, 1, 0x80, 0x80},
	} {
		_, err := DecodeHeaders(data)
		require.ErrorIs(t, err, ErrMalformed, name)
	}
}

// FuzzDecode feeds hostile bytes: no panic, and what decodes has a frame that decodes
// to the same. The memory is bounded by the check of the count against the length.
func FuzzDecode(f *testing.F) {
	f.Add(Outputs([]choreo.Output{{Step: "charge", ContentType: "application/json", Data: []byte(`{}`)}, {}}))
	f.Add(Headers([]choreo.Header{{Key: "ce_id", Value: []byte{0}}, {Key: "", Value: nil}}))
	f.Add([]byte{version, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		if outputs, err := DecodeOutputs(data); err == nil {
			again, err := DecodeOutputs(Outputs(outputs))
			require.NoError(t, err)
			require.Equal(t, outputs, again)
			require.LessOrEqual(t, 3*len(outputs), len(data))
		}
		if headers, err := DecodeHeaders(data); err == nil {
			again, err := DecodeHeaders(Headers(headers))
			require.NoError(t, err)
			require.Equal(t, headers, again)
			require.LessOrEqual(t, 2*len(headers), len(data))
		}
	})
}
