package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/choreo-go/choreo/choreo"
)

// Attributes of a record batch.
const (
	codecBits         = 7
	appendTimeBit     = 1 << 3
	transactionalBit  = 1 << 4
	controlBit        = 1 << 5
	controlTypeAbort  = 0
	maxHeaderNames    = 1024
	maxLikely         = 64
	leastBytesARecord = 7
)

// decoder decodes record batches. The records that it returns point into the bytes it
// was given and into memory of its own, until reset.
type decoder struct {
	headers []choreo.Header
	used    int // of headers, since forget
	// names are the header names seen, so that each is one string however often it
	// comes. likely are those of the last record: most often the next one has the same.
	names  map[string]headerName
	likely []headerName
}

// headerName is a header's name, and the bytes with which such a header begins in a record.
type headerName struct {
	text string
	lead []byte
}

func newDecoder() *decoder { return &decoder{names: make(map[string]headerName)} }

// reset takes back the memory of the records that were returned.
func (d *decoder) reset() {
	d.used = max(d.used, len(d.headers))
	d.headers = d.headers[:0]
}

// forget lets go of what those records pointed to.
func (d *decoder) forget() {
	clear(d.headers[:d.used])
	d.used = 0
}

var (
	errChecksum  = errors.New("a record batch does not match its checksum")
	errOldFormat = errors.New("the partition holds records in a format from before Kafka 0.11: rewrite them, or skip them by deleting records up to there")
	errBatch     = errors.New("a record batch is not well formed")
)

// decode appends to records those of f, from offset on, that readers may see: no
// control records, none of aborted transactions. It returns them and the offset to go
// on from, which is beyond batches that held nothing to see. After an error both are
// good for what came before.
func (d *decoder) decode(f fetched, offset int64, records []choreo.Record) ([]choreo.Record, int64, error) {
	slices.SortFunc(f.aborted, func(a, b abortedTransaction) int { return int(min(max(a.first-b.first, -1), 1)) })
	var aborted map[int64]bool // producers whose transaction, at this place, will be aborted
	for buf := f.records; len(buf) > batchMagicAt; {
		if buf[batchMagicAt] != magic {
			return records, offset, errOldFormat
		}
		size := int64(int32(binary.BigEndian.Uint32(buf[batchLengthAt:]))) + lengthWithoutBytes
		if size > int64(len(buf)) || len(buf) < batchRecordsAt {
			break // cut short by the broker
		}
		if size < batchRecordsAt {
			return records, offset, errBatch
		}
		b := buf[:size]
		buf = buf[size:]
		if binary.BigEndian.Uint32(b[batchCRCAt:]) != crc32.Checksum(b[batchAttributesAt:], castagnoli) {
			return records, offset, errChecksum
		}
		base := int64(binary.BigEndian.Uint64(b))
		last := lastOffset(b)
		attributes := binary.BigEndian.Uint16(b[batchAttributesAt:])
		producer := int64(binary.BigEndian.Uint64(b[43:]))
		for len(f.aborted) > 0 && f.aborted[0].first <= last {
			if aborted == nil {
				aborted = make(map[int64]bool)
			}
			aborted[f.aborted[0].producer] = true
			f.aborted = f.aborted[1:]
		}
		switch {
		case last < offset:
		case attributes&controlBit != 0:
			if isAbort(b) {
				delete(aborted, producer)
			}
		case attributes&transactionalBit != 0 && aborted[producer]:
		default:
			var err error
			if records, err = d.batch(b, base, offset, attributes, records); err != nil {
				return records, offset, err
			}
		}
		offset = max(offset, last+1)
	}
	return records, offset, nil
}

// lastOffset returns the offset of a batch's last record.
func lastOffset(b []byte) int64 {
	return int64(binary.BigEndian.Uint64(b)) + int64(int32(binary.BigEndian.Uint32(b[23:])))
}

// isAbort reports whether a control batch ends its transaction by an abort. A control
// record's key is its version and its type.
func isAbort(b []byte) bool {
	r := &reader{buf: b[batchRecordsAt:]}
	r.varint() // length
	r.take(1)  // attributes
	r.varint() // time delta
	r.varint() // offset delta
	key := r.varbytes()
	return len(key) >= 4 && binary.BigEndian.Uint16(key[2:]) == controlTypeAbort
}

// batch appends a batch's records from offset on.
func (d *decoder) batch(b []byte, base, offset int64, attributes uint16, records []choreo.Record) ([]choreo.Record, error) {
	r := &reader{buf: b[batchRecordsAt:]}
	if codec := compress.Compression(attributes & codecBits); codec != compress.None {
		unpacked, err := unpack(codec, r.buf)
		if err != nil {
			return records, fmt.Errorf("unpacking a record batch: %w", err)
		}
		r.buf = unpacked
	}
	first := int64(binary.BigEndian.Uint64(b[27:]))
	latest := int64(binary.BigEndian.Uint64(b[35:]))
	count := int(int32(binary.BigEndian.Uint32(b[57:])))
	if count < 0 || count > len(r.buf)/leastBytesARecord {
		return records, errBatch
	}
	begin := len(records)
	for range count {
		length := r.varint()
		rest := &reader{buf: r.take(int(length))}
		rest.take(1) // attributes
		at := first + rest.varint()
		if attributes&appendTimeBit != 0 {
			at = latest
		}
		record := choreo.Record{Offset: base + rest.varint(), Time: time.UnixMilli(at)}
		record.Key = rest.varbytes()
		record.Value = rest.varbytes()
		record.Headers = d.readHeaders(rest)
		if r.short || rest.short {
			return records[:begin], errBatch
		}
		if record.Offset >= offset {
			records = append(records, record)
		}
	}
	return records, nil
}

func (d *decoder) readHeaders(r *reader) []choreo.Header {
	n := r.varint()
	if n <= 0 || n > int64(len(r.buf)) {
		r.short = r.short || n != 0
		return nil
	}
	begin := len(d.headers)
	d.headers = slices.Grow(d.headers, int(n))[:begin+int(n)]
	list := d.headers[begin:len(d.headers):len(d.headers)]
	buf := r.buf
	for i := range list {
		h := &list[i]
		if i < len(d.likely) && bytes.HasPrefix(buf, d.likely[i].lead) {
			h.Key = d.likely[i].text
			buf = buf[len(d.likely[i].lead):]
		} else {
			r.buf = buf
			h.Key = d.name(r.varbytes(), i)
			buf = r.buf
		}
		if len(buf) > 0 && buf[0] < 0x80 && buf[0]&1 == 0 && int(buf[0]>>1) < len(buf) { // as most are
			end := 1 + int(buf[0]>>1)
			h.Value = buf[1:end:end]
			buf = buf[end:]
		} else {
			r.buf = buf
			h.Value = r.varbytes()
			buf = r.buf
		}
	}
	r.buf = buf
	return list
}

// name returns the name of a record's i-th header as a string.
func (d *decoder) name(b []byte, i int) string {
	name, known := d.names[string(b)]
	if !known {
		if len(d.names) >= maxHeaderNames {
			clear(d.names)
		}
		name = headerName{string(b), appendVarbytes(nil, b)}
		d.names[name.text] = name
	}
	if i < len(d.likely) {
		d.likely[i] = name
	} else if i == len(d.likely) && i < maxLikely {
		d.likely = append(d.likely, name)
	}
	return name.text
}

func unpack(codec compress.Compression, packed []byte) ([]byte, error) {
	c := codec.Codec()
	if c == nil {
		return nil, fmt.Errorf("codec %d is not known", codec)
	}
	r := c.NewReader(bytes.NewReader(packed))
	unpacked, err := io.ReadAll(r)
	return unpacked, errors.Join(err, r.Close())
}
