package protobuf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// maxIndex bounds a message index: how deep messages nest in a file.
const maxIndex = 32

// appendIndex appends a message index, the way through the messages of a file: its length and
// its numbers as zigzag varints, and a lone zero for the first message:
// https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
func appendIndex(b []byte, index []int) []byte {
	if slices.Equal(index, []int{0}) {
		return append(b, 0)
	}
	b = binary.AppendVarint(b, int64(len(index)))
	for _, at := range index {
		b = binary.AppendVarint(b, int64(at))
	}
	return b
}

var errIndex = errors.New("the message index behind the schema id is broken: the writer does not use Confluent's wire format")

// parseIndex splits off a message index.
func parseIndex(b []byte) (index []int, rest []byte, err error) {
	length, n := binary.Varint(b)
	if n <= 0 || length < 0 {
		return nil, nil, errIndex
	}
	if length > maxIndex {
		return nil, nil, fmt.Errorf("%w: it has %d numbers", errIndex, length)
	}
	b = b[n:]
	if length == 0 {
		return []int{0}, b, nil
	}
	for range length {
		at, n := binary.Varint(b)
		if n <= 0 || at < 0 || at > 1<<20 {
			return nil, nil, errIndex
		}
		index = append(index, int(at))
		b = b[n:]
	}
	return index, b, nil
}
