package memory

import (
	"bytes"
	"runtime"
	"sync"
)

// texts are what sagas are searched by, one after the other: first the parts of which a search
// finds parts, then the tags that it finds as a whole. A search runs through them as through
// one text.
type texts struct {
	chunks []*chunk
	dead   int
	all    int
}

// chunk has at most chunkTexts entries.
type chunk struct {
	bytes  []byte
	splits []uint32 // where the whole tags of an entry begin
	ends   []uint32
	rows   []uint32 // deadRow for those that are gone
}

const (
	chunkTexts = 1 << 12
	deadRow    = 1<<32 - 1
	mark       = 0xFF // stands around each part and tag, see facts.Facts
)

// put appends the text of a saga and returns its number.
func (t *texts) put(row uint32, parts, tags string) int32 {
	if n := len(t.chunks); n == 0 || len(t.chunks[n-1].rows) == chunkTexts {
		t.chunks = append(t.chunks, &chunk{})
	}
	c := t.chunks[len(t.chunks)-1]
	c.bytes = append(c.bytes, parts...)
	c.splits = append(c.splits, uint32(len(c.bytes)))
	c.bytes = append(c.bytes, tags...)
	c.ends, c.rows = append(c.ends, uint32(len(c.bytes))), append(c.rows, row)
	t.all++
	return int32((len(t.chunks)-1)*chunkTexts + len(c.rows) - 1)
}

func (t *texts) of(number int32) (parts, tags string) {
	c, i := t.chunks[number/chunkTexts], number%chunkTexts
	from := uint32(0)
	if i > 0 {
		from = c.ends[i-1]
	}
	return string(c.bytes[from:c.splits[i]]), string(c.bytes[c.splits[i]:c.ends[i]])
}

func (t *texts) remove(number int32) {
	t.chunks[number/chunkTexts].rows[number%chunkTexts] = deadRow
	t.dead++
}

func (t *texts) wasteful() bool { return t.dead > chunkTexts && t.dead > t.all/2 }

// find returns the rows whose text holds what is searched, as a set of bits.
func (t *texts) find(search string, rows int) []uint64 {
	needle := []byte(search)
	parts := make([][]uint64, max(min(runtime.GOMAXPROCS(0), len(t.chunks)), 1))
	var searches sync.WaitGroup
	for n := range parts {
		parts[n] = make([]uint64, rows/64+1)
		searches.Go(func() {
			for i := n; i < len(t.chunks); i += len(parts) {
				t.chunks[i].find(needle, parts[n])
			}
		})
	}
	searches.Wait()
	for _, part := range parts[1:] {
		for i, bits := range part {
			parts[0][i] |= bits
		}
	}
	return parts[0]
}

func (c *chunk) find(needle []byte, found []uint64) {
	i := 0
	for at := 0; at < len(c.bytes); {
		hit := bytes.Index(c.bytes[at:], needle)
		if hit < 0 {
			return
		}
		at += hit
		for c.ends[i] <= uint32(at) {
			i++
		}
		if uint32(at) >= c.splits[i] && (c.bytes[at-1] != mark || c.bytes[at+len(needle)] != mark) {
			at++
			continue
		}
		if row := c.rows[i]; row != deadRow {
			found[row/64] |= 1 << (row % 64)
		}
		at = int(c.ends[i])
	}
}
