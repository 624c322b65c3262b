// Package frame writes lists of outputs and of headers as one byte string, for a
// column of a table.
//
// A frame is a version byte, the number of items as a uvarint, and the fields of
// each item in order. A field is its length plus one as a uvarint, then its bytes; 0
// stands for nil. An empty list is an empty frame.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
)

const version = 1

// ErrMalformed is wrapped by every error of this package.
var ErrMalformed = errors.New("malformed frame")

// Outputs returns the frame of a list of outputs: nil for an empty list.
func Outputs(list []choreo.Output) []byte {
	if len(list) == 0 {
		return nil
	}
	size := 1 + binary.MaxVarintLen32
	for i := range list {
		size += len(list[i].Step) + len(list[i].ContentType) + len(list[i].Data) + 3*binary.MaxVarintLen32
	}
	return AppendOutputs(make([]byte, 0, size), list)
}

// AppendOutputs appends the frame of a list of outputs: nothing for an empty list.
func AppendOutputs(b []byte, list []choreo.Output) []byte {
	if len(list) == 0 {
		return b
	}
	b = begin(b, len(list))
	for i := range list {
		b = appendString(b, list[i].Step)
		b = appendString(b, list[i].ContentType)
		b = appendBytes(b, list[i].Data)
	}
	return b
}

// DecodeOutputs is the inverse of [Outputs]. The result shares its memory with data.
func DecodeOutputs(data []byte) ([]choreo.Output, error) {
	r, count, err := open(data, 3)
	if err != nil || count == 0 {
		return nil, err
	}
	list := make([]choreo.Output, count)
	for i := range list {
		list[i] = choreo.Output{Step: string(r.field()), ContentType: string(r.field()), Data: r.field()}
	}
	return list, r.close()
}

// Headers returns the frame of a list of headers: nil for an empty list.
func Headers(list []choreo.Header) []byte {
	if len(list) == 0 {
		return nil
	}
	size := 1 + binary.MaxVarintLen32
	for i := range list {
		size += len(list[i].Key) + len(list[i].Value) + 2*binary.MaxVarintLen32
	}
	return AppendHeaders(make([]byte, 0, size), list)
}

// AppendHeaders appends the frame of a list of headers: nothing for an empty list.
func AppendHeaders(b []byte, list []choreo.Header) []byte {
	if len(list) == 0 {
		return b
	}
	b = begin(b, len(list))
	for i := range list {
		b = appendString(b, list[i].Key)
		b = appendBytes(b, list[i].Value)
	}
	return b
}

// DecodeHeaders is the inverse of [Headers]. The result shares its memory with data.
func DecodeHeaders(data []byte) ([]choreo.Header, error) {
	r, count, err := open(data, 2)
	if err != nil || count == 0 {
		return nil, err
	}
	list := make([]choreo.Header, count)
	text := string(data) // of which all names are parts: one allocation in place of one each
	for i := range list {
		name := r.field()
		end := len(data) - len(r.rest)
		list[i] = choreo.Header{Key: text[end-len(name) : end], Value: r.field()}
	}
	return list, r.close()
}

func begin(b []byte, count int) []byte {
	b = append(b, version)
	return binary.AppendUvarint(b, uint64(count))
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s))+1)
	return append(b, s...)
}

func appendBytes(b, field []byte) []byte {
	if field == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(field))+1)
	return append(b, field...)
}

// reader reads fields off the front of rest; its first error sticks.
type reader struct {
	rest []byte
	err  error
}

// open reads a frame's head. Each item takes at least one byte a field, so that a
// hostile count cannot make the caller allocate more than a multiple of len(data).
func open(data []byte, fields int) (*reader, int, error) {
	if len(data) == 0 {
		return nil, 0, nil
	}
	if data[0] != version {
		return nil, 0, fmt.Errorf("%w: version %d, this build knows %d", ErrMalformed, data[0], version)
	}
	count, n := binary.Uvarint(data[1:])
	if n <= 0 || count == 0 || count > uint64((len(data)-1-n)/fields) {
		return nil, 0, fmt.Errorf("%w: its item count does not fit its %d bytes", ErrMalformed, len(data))
	}
	return &reader{rest: data[1+n:]}, int(count), nil
}

func (r *reader) field() []byte {
	size, n := binary.Uvarint(r.rest)
	if r.err != nil {
		return nil
	}
	if n <= 0 || size > uint64(len(r.rest)-n)+1 {
		r.err = fmt.Errorf("%w: a field is longer than what is left of it", ErrMalformed)
		return nil
	}
	if size == 0 {
		r.rest = r.rest[n:]
		return nil
	}
	end := n + int(size) - 1
	field := r.rest[n:end:end]
	r.rest = r.rest[end:]
	return field
}

func (r *reader) close() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%w: %d bytes after its last item", ErrMalformed, len(r.rest))
	}
	return r.err
}
