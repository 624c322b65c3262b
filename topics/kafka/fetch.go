package kafka

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

const (
	// fetchVersion is the last without tagged fields.
	fetchVersion = 11
	// fetchWait is how long a broker holds a fetch back that has nothing to say.
	fetchWait = 500 * time.Millisecond
	// Bytes of one response, in all and of one partition. A broker sends at least one
	// batch, whatever its size.
	fetchBytes          = 4 << 20
	partitionFetchBytes = 1 << 20
)

// appendFetch appends a Fetch request for the positions. A broker fills its response in
// the order of the request, which is that of the positions, and of their topics.
func appendFetch(buf []byte, clientID string, positions []*position) []byte {
	var topics []string
	for _, p := range positions {
		if !slices.Contains(topics, p.Topic) {
			topics = append(topics, p.Topic)
		}
	}
	const none = ^uint32(0)
	const committedOnly = 1
	buf = appendHeader(buf, protocol.Fetch, clientID)
	buf = binary.BigEndian.AppendUint32(buf, none) // not a replica
	buf = binary.BigEndian.AppendUint32(buf, uint32(fetchWait.Milliseconds()))
	buf = binary.BigEndian.AppendUint32(buf, 1) // least bytes: answer at once
	buf = binary.BigEndian.AppendUint32(buf, fetchBytes)
	buf = append(buf, committedOnly)
	buf = binary.BigEndian.AppendUint32(buf, 0)    // session id: none
	buf = binary.BigEndian.AppendUint32(buf, none) // session epoch: without a session
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(topics)))
	for _, topic := range topics {
		buf = appendString(buf, topic)
		countAt, count := len(buf), 0
		buf = append(buf, 0, 0, 0, 0)
		for _, p := range positions {
			if p.Topic != topic {
				continue
			}
			count++
			buf = binary.BigEndian.AppendUint32(buf, uint32(p.Partition.Partition))
			buf = binary.BigEndian.AppendUint32(buf, none) // leader epoch: unknown
			buf = binary.BigEndian.AppendUint64(buf, uint64(p.offset))
			buf = binary.BigEndian.AppendUint64(buf, ^uint64(0)) // log start: for replicas
			buf = binary.BigEndian.AppendUint32(buf, partitionFetchBytes)
		}
		binary.BigEndian.PutUint32(buf[countAt:], uint32(count))
	}
	buf = binary.BigEndian.AppendUint32(buf, 0) // forgotten topics
	return appendString(buf, "")                // rack
}

// fetched is what a Fetch response says of one partition.
type fetched struct {
	err      error
	readable int64 // the last stable offset: up to there is what readers may see
	aborted  []abortedTransaction
	records  []byte // batches, the last of which may be cut short
}

// abortedTransaction is one that a producer aborted, from its first record on.
type abortedTransaction struct {
	producer, first int64
}

// readFetched reads the body of a Fetch response and calls each for its partitions.
func readFetched(body []byte, each func(topic []byte, partition int32, f fetched)) error {
	r := &reader{buf: body}
	r.int32() // throttled for
	if err := codeError(r.int16()); err != nil {
		return err
	}
	r.int32() // session
	for range r.count() {
		topic := r.text()
		for range r.count() {
			partition := r.int32()
			f := fetched{err: codeError(r.int16())}
			r.int64() // high watermark
			f.readable = r.int64()
			r.int64() // log start
			for range r.count() {
				f.aborted = append(f.aborted, abortedTransaction{r.int64(), r.int64()})
			}
			r.int32() // preferred replica: we name no rack
			f.records = r.bytes()
			if r.short {
				return errShort
			}
			each(topic, partition, f)
		}
	}
	return r.err()
}
