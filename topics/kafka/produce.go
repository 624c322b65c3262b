package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/choreo-go/choreo/choreo"
)

// The record batch format, version 2: https://kafka.apache.org/documentation/#recordbatch
const (
	batchLengthAt      = 8
	batchMagicAt       = 16
	batchCRCAt         = 17
	batchAttributesAt  = 21
	batchRecordsAt     = 61
	lengthWithoutBytes = 12 // what batchLength does not count
	magic              = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends what of a record does not depend on its place in a batch.
func appendRecord(buf []byte, r *choreo.Record) []byte {
	buf = appendVarbytes(buf, r.Key)
	buf = appendVarbytes(buf, r.Value)
	buf = binary.AppendVarint(buf, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		buf = binary.AppendVarint(buf, int64(len(h.Key)))
		buf = append(buf, h.Key...)
		buf = appendVarbytes(buf, h.Value)
	}
	return buf
}

// recordSize bounds from above what appendRecord appends.
func recordSize(r *choreo.Record) int {
	size := len(r.Key) + len(r.Value) + 3*binary.MaxVarintLen32
	for i := range r.Headers {
		size += len(r.Headers[i].Key) + len(r.Headers[i].Value) + 2*binary.MaxVarintLen32
	}
	return size
}

func appendVarbytes(buf, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(buf, -1)
	}
	buf = binary.AppendVarint(buf, int64(len(b)))
	return append(buf, b...)
}

// varintSize is how long binary.AppendVarint makes n, which is not negative.
func varintSize(n int) int { return (bits.Len64(uint64(n)<<1|1) + 6) / 7 }

// appendBatch appends the items as a record batch. All records get the same time.
func appendBatch(buf []byte, items []*item, at time.Time, codec compress.Compression) ([]byte, error) {
	begin := len(buf)
	buf = append(buf, make([]byte, batchRecordsAt)...)
	if codec == compress.None {
		buf = appendBodies(buf, items)
	} else {
		var packed bytes.Buffer
		w := codec.Codec().NewWriter(&packed)
		if _, err := w.Write(appendBodies(nil, items)); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		buf = append(buf, packed.Bytes()...)
	}
	b := buf[begin:]
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-lengthWithoutBytes))
	binary.BigEndian.PutUint32(b[12:], ^uint32(0)) // leader epoch: unknown
	b[batchMagicAt] = magic
	binary.BigEndian.PutUint16(b[batchAttributesAt:], uint16(codec))
	binary.BigEndian.PutUint32(b[23:], uint32(len(items)-1)) // last offset delta
	binary.BigEndian.PutUint64(b[27:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(b[35:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(b[43:], ^uint64(0)) // producer id: none
	binary.BigEndian.PutUint16(b[51:], ^uint16(0)) // producer epoch
	binary.BigEndian.PutUint32(b[53:], ^uint32(0)) // base sequence
	binary.BigEndian.PutUint32(b[57:], uint32(len(items)))
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli))
	return buf, nil
}

func appendBodies(buf []byte, items []*item) []byte {
	for i, item := range items {
		length := 2 + varintSize(i) + len(item.body)
		buf = binary.AppendVarint(buf, int64(length))
		buf = append(buf, 0, 0) // attributes; time delta
		buf = binary.AppendVarint(buf, int64(i))
		buf = append(buf, item.body...)
	}
	return buf
}

// batch is what one request writes to one partition.
type batch struct {
	queue *queue
	items []*item
}

// Versions of Produce: 3 brought the record format, 8 is the last without tagged fields.
const minProduce = 3

// appendProduce appends the body of a Produce request of the batches, which are sorted
// by topic.
func appendProduce(buf []byte, batches []batch, timeout time.Duration, codec compress.Compression) ([]byte, error) {
	const acksFromAll = ^uint16(0)
	slices.SortFunc(batches, func(a, b batch) int { return strings.Compare(a.queue.topic, b.queue.topic) })
	topics := 0
	for i := range batches {
		if i == 0 || batches[i].queue.topic != batches[i-1].queue.topic {
			topics++
		}
	}
	now := time.Now()
	buf = binary.BigEndian.AppendUint16(buf, ^uint16(0)) // no transaction
	buf = binary.BigEndian.AppendUint16(buf, acksFromAll)
	buf = binary.BigEndian.AppendUint32(buf, uint32(timeout.Milliseconds()))
	buf = binary.BigEndian.AppendUint32(buf, uint32(topics))
	for i := 0; i < len(batches); {
		topic, end := batches[i].queue.topic, i
		for end < len(batches) && batches[end].queue.topic == topic {
			end++
		}
		buf = appendString(buf, topic)
		buf = binary.BigEndian.AppendUint32(buf, uint32(end-i))
		for ; i < end; i++ {
			buf = binary.BigEndian.AppendUint32(buf, uint32(batches[i].queue.partition))
			sizeAt := len(buf)
			buf = append(buf, 0, 0, 0, 0)
			var err error
			if buf, err = appendBatch(buf, batches[i].items, now, codec); err != nil {
				return nil, fmt.Errorf("compressing records: %w", err)
			}
			binary.BigEndian.PutUint32(buf[sizeAt:], uint32(len(buf)-sizeAt-4))
		}
	}
	return buf, nil
}

// verdict is a broker's answer for one partition.
type verdict struct {
	err     error
	message string
	guilty  []int // places in the batch of the records that were the reason, if it said so
}

type topicPartition struct {
	topic     string
	partition int32
}

// readProduced reads the body of a Produce response.
func readProduced(body []byte, version int16) (map[topicPartition]verdict, error) {
	r := &reader{buf: body}
	verdicts := make(map[topicPartition]verdict)
	for range r.count() {
		topic := string(r.text())
		for range r.count() {
			partition := r.int32()
			v := verdict{err: codeError(r.int16())}
			r.take(8 + 8) // base offset, append time
			if version >= 5 {
				r.take(8) // log start offset
			}
			if version >= 8 {
				for range r.count() {
					v.guilty = append(v.guilty, int(r.int32()))
					r.text()
				}
				v.message = string(r.text())
			}
			if v.err != nil && v.message != "" {
				v.err = fmt.Errorf("%w: %s", v.err, v.message)
			}
			verdicts[topicPartition{topic, partition}] = v
		}
	}
	return verdicts, r.err()
}
