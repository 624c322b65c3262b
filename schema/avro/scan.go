package avro

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// maxEmpty bounds the values of a payload that take no bytes: nulls outside of unions, fixed
// of size 0, records without fields. An array of 2^62 of them is eight bytes long.
const maxEmpty = 1 << 16

// scanner walks over a body by its schema before goavro gets it. goavro allocates what a
// block claims to hold, reads varints without end and follows a recursive type as deep as it
// goes; what has passed here holds at most one value for each byte and maxEmpty more, and
// nests no deeper than allowed. It allocates nothing.
type scanner struct {
	data     []byte
	pos      int
	depth    int
	maxDepth int
	empty    int
}

// scan checks that the body is exactly one value.
func scan(t *typ, body []byte, maxDepth int) faults {
	s := scanner{data: body, maxDepth: maxDepth}
	if f := s.value(t); f != nil {
		return f
	}
	if left := len(body) - s.pos; left > 0 {
		return faultf("%d bytes follow after the value: it was written by another schema, or is damaged", left)
	}
	return nil
}

func (s *scanner) value(t *typ) faults {
	switch t.kind {
	case kindNull:
		return s.nothing()
	case kindBoolean:
		return s.boolean()
	case kindInt:
		return s.int()
	case kindLong:
		_, f := s.long()
		return f
	case kindFloat:
		return s.skip(4)
	case kindDouble:
		return s.skip(8)
	case kindBytes:
		_, f := s.bytes()
		return f
	case kindString:
		return s.string()
	case kindFixed:
		if t.size == 0 {
			return s.nothing()
		}
		return s.skip(int64(t.size))
	case kindEnum:
		_, f := s.index(len(t.symbols), "symbols")
		return f
	case kindUnion:
		i, f := s.index(len(t.branches), "branches")
		if f != nil {
			return f
		}
		return s.value(t.branches[i])
	default:
		return s.nested(t)
	}
}

func (s *scanner) nested(t *typ) faults {
	if s.depth++; s.depth > s.maxDepth {
		return tooDeep(s.maxDepth)
	}
	var f faults
	if t.kind == kindRecord {
		f = s.record(t)
	} else {
		f = s.blocks(t)
	}
	s.depth--
	return f
}

func tooDeep(most int) faults {
	return faultf("nests deeper than %d: raise Config.MaxDepth where that is meant", most)
}

func (s *scanner) record(t *typ) faults {
	if len(t.fields) == 0 {
		return s.nothing()
	}
	for _, field := range t.fields {
		if f := s.value(field.typ); f != nil {
			return f.under(field.name)
		}
	}
	return nil
}

// blocks walks over an array or a map. The size in bytes that may stand behind a negative
// count is only for those who skip; it has to fit all the same.
func (s *scanner) blocks(t *typ) faults {
	for item := 0; ; {
		count, f := s.long()
		if f != nil {
			return f
		}
		if count == 0 {
			return nil
		}
		end := -1
		if count < 0 {
			if count == math.MinInt64 {
				return faultf("a block counts %d items", count)
			}
			count = -count
			size, f := s.long()
			if f != nil {
				return f
			}
			if size < 0 || size > int64(len(s.data)-s.pos) {
				return faultf("a block claims %d bytes, where %d are left", size, len(s.data)-s.pos)
			}
			end = s.pos + int(size)
		}
		if left := int64(len(s.data) - s.pos + maxEmpty - s.empty); count > left {
			return faultf("a block counts %d items, where there are bytes for %d at most", count, left)
		}
		for ; count > 0; count, item = count-1, item+1 {
			if f := s.item(t); f != nil {
				return f.under(indexStep(item))
			}
		}
		if end >= 0 && s.pos != end {
			return faultf("a block is %d bytes longer than it claims", s.pos-end)
		}
	}
}

func (s *scanner) item(t *typ) faults {
	if t.kind == kindMap {
		if f := s.string(); f != nil {
			return f
		}
	}
	return s.value(t.items)
}

func (s *scanner) nothing() faults {
	if s.empty++; s.empty > maxEmpty {
		return faultf("there are more than %d values that take no bytes: send their number instead", maxEmpty)
	}
	return nil
}

func (s *scanner) boolean() faults {
	if s.pos >= len(s.data) {
		return s.short(1)
	}
	if b := s.data[s.pos]; b > 1 {
		return faultf("a boolean is %d, not 0 or 1", b)
	}
	s.pos++
	return nil
}

func (s *scanner) int() faults {
	n, f := s.long()
	if f == nil && (n < math.MinInt32 || n > math.MaxInt32) {
		return faultf("%d is no 32-bit int", n)
	}
	return f
}

func (s *scanner) long() (int64, faults) {
	// One byte is by far the most frequent length.
	if s.pos < len(s.data) && s.data[s.pos] < 0x80 {
		u := uint64(s.data[s.pos])
		s.pos++
		return int64(u>>1) ^ -int64(u&1), nil
	}
	u, n := binary.Uvarint(s.data[s.pos:])
	switch {
	case n == 0:
		return 0, s.short(1)
	case n < 0:
		return 0, faultf("a number is longer than 64 bits")
	}
	s.pos += n
	return int64(u>>1) ^ -int64(u&1), nil
}

func (s *scanner) index(of int, what string) (int, faults) {
	i, f := s.long()
	switch {
	case f != nil:
		return 0, f
	case i < 0 || i >= int64(of):
		return 0, faultf("index %d, where there are %d %s", i, of, what)
	}
	return int(i), nil
}

func (s *scanner) string() faults {
	text, f := s.bytes()
	if f == nil && !utf8.Valid(text) {
		return faultf("a string is not valid UTF-8: bytes belong into the type bytes")
	}
	return f
}

func (s *scanner) bytes() ([]byte, faults) {
	size, f := s.long()
	if f != nil {
		return nil, f
	}
	if size < 0 {
		return nil, faultf("a length is %d", size)
	}
	start := s.pos
	if f := s.skip(size); f != nil {
		return nil, f
	}
	return s.data[start:s.pos], nil
}

func (s *scanner) skip(n int64) faults {
	if n > int64(len(s.data)-s.pos) {
		return s.short(n)
	}
	s.pos += int(n)
	return nil
}

func (s *scanner) short(want int64) faults {
	return faultf("the payload ends after %d bytes, where %d more are wanted", len(s.data), want-int64(len(s.data)-s.pos))
}
