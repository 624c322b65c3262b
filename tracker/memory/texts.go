package memory

import (
	"bytes"
	"strings"

	"github.com/choreo-go/choreo/tracker"
)

// texts are what sagas are searched by, one after the other: the id, the tags' values and whole
// tags, in small letters. A search runs through them as through one text.
type texts struct {
	chunks []*chunk
	dead   int
	all    int
}

// chunk has at most chunkTexts entries. Each is its text between two marks.
type chunk struct {
	bytes []byte
	ends  []uint32
	rows  []uint32 // deadRow for those that are gone
}

const (
	chunkTexts = 1 << 12
	deadRow    = 1<<32 - 1
	between    = 0 // stands between the parts of a text: no id and no tag holds it
)

// add appends the text of a saga and returns its number.
func (t *texts) add(row uint32, s *tracker.Snapshot) int32 {
	var b []byte
	part := func(text string) { b = append(append(b, strings.ToLower(text)...), between) }
	part(s.ID)
	for name, value := range s.Tags {
		part(value)
		b = append(b, 1) // a whole tag is found as a whole alone
		part(name + "=" + value)
	}
	return t.put(row, b)
}

func (t *texts) put(row uint32, text []byte) int32 {
	if n := len(t.chunks); n == 0 || len(t.chunks[n-1].rows) == chunkTexts {
		t.chunks = append(t.chunks, &chunk{})
	}
	c := t.chunks[len(t.chunks)-1]
	c.bytes = append(c.bytes, text...)
	c.ends, c.rows = append(c.ends, uint32(len(c.bytes))), append(c.rows, row)
	t.all++
	return int32((len(t.chunks)-1)*chunkTexts + len(c.rows) - 1)
}

func (t *texts) of(number int32) []byte {
	c, i := t.chunks[number/chunkTexts], number%chunkTexts
	from := uint32(0)
	if i > 0 {
		from = c.ends[i-1]
	}
	return c.bytes[from:c.ends[i]]
}

func (t *texts) remove(number int32) {
	t.chunks[number/chunkTexts].rows[number%chunkTexts] = deadRow
	t.dead++
}

func (t *texts) wasteful() bool { return t.dead > chunkTexts && t.dead > t.all/2 }

// find returns the rows whose text holds what is searched, as a set of bits.
func (t *texts) find(search string, rows int) []uint64 {
	found := make([]uint64, rows/64+1)
	needle := []byte(strings.ToLower(search))
	if bytes.IndexByte(needle, between) >= 0 || bytes.IndexByte(needle, 1) >= 0 {
		return found
	}
	for _, c := range t.chunks {
		i := 0
		for at := 0; at < len(c.bytes); {
			hit := bytes.Index(c.bytes[at:], needle)
			if hit < 0 {
				break
			}
			at += hit
			for c.ends[i] <= uint32(at) {
				i++
			}
			if !c.counts(at, at+len(needle)) {
				at++
				continue
			}
			if row := c.rows[i]; row != deadRow {
				found[row/64] |= 1 << (row % 64)
			}
			at = int(c.ends[i])
		}
	}
	return found
}

// counts reports whether what was found there counts: a whole tag only where it is all of it.
func (c *chunk) counts(from, to int) bool {
	start := bytes.LastIndexByte(c.bytes[:from], between) + 1
	if start >= len(c.bytes) || c.bytes[start] != 1 {
		return true
	}
	return from == start+1 && to < len(c.bytes) && c.bytes[to] == between
}
