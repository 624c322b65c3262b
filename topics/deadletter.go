package topics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// The headers of a dead letter, by the names that Spring Kafka's recoverer gives them,
// so that existing tools read them. Numbers are big-endian.
const (
	dltPrefix           = "kafka_dlt-"
	dltTopic            = dltPrefix + "original-topic"
	dltPartition        = dltPrefix + "original-partition"      // 4 bytes
	dltOffset           = dltPrefix + "original-offset"         // 8 bytes
	dltTimestamp        = dltPrefix + "original-timestamp"      // 8 bytes, ms since 1970
	dltConsumerGroup    = dltPrefix + "original-consumer-group" //
	dltExceptionType    = dltPrefix + "exception-fqcn"          // the Go type of the cause
	dltExceptionMessage = dltPrefix + "exception-message"
)

// maxCause bounds what of a cause's text travels in a dead letter, in bytes.
const maxCause = 4096

// DeadLetter returns a record that was read as a dead letter for the topic: its key,
// value and headers as they were, and where it was read, by which group, and why it
// was given up. Such headers of an earlier death are replaced.
func DeadLetter(rec *choreo.Record, topic, group string, cause error) choreo.Record {
	headers := slices.DeleteFunc(slices.Clone(rec.Headers), func(h choreo.Header) bool {
		return strings.HasPrefix(h.Key, dltPrefix)
	})
	message := cause.Error()
	if len(message) > maxCause {
		message = message[:maxCause]
	}
	headers = append(headers,
		choreo.Header{Key: dltTopic, Value: []byte(rec.Topic)},
		choreo.Header{Key: dltPartition, Value: binary.BigEndian.AppendUint32(nil, uint32(rec.Partition))},
		choreo.Header{Key: dltOffset, Value: binary.BigEndian.AppendUint64(nil, uint64(rec.Offset))},
		choreo.Header{Key: dltTimestamp, Value: binary.BigEndian.AppendUint64(nil, uint64(rec.Time.UnixMilli()))},
		choreo.Header{Key: dltConsumerGroup, Value: []byte(group)},
		choreo.Header{Key: dltExceptionType, Value: []byte(typeName(cause))},
		choreo.Header{Key: dltExceptionMessage, Value: []byte(storable(message))},
	)
	return choreo.Record{
		Topic: topic, Partition: choreo.AnyPartition,
		Key: rec.Key, Value: rec.Value, Headers: headers,
	}
}

// Letter is a dead letter as it stands in its topic.
type Letter struct {
	// Place is where the letter stands, Time when it was written.
	Place Place
	Time  time.Time
	// Original is the record that could not be handled: where it was read and as it was.
	Original choreo.Record
	// Group is the consumer group that gave it up, see [Names.ServiceOf].
	Group string
	// Type is the Go type of the cause, Message its text.
	Type, Message string
}

// Place is a place in a topic.
type Place struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

func (p Place) String() string { return fmt.Sprintf("%d/%d", p.Partition, p.Offset) }

// ReadDeadLetter reads what [DeadLetter] has written, or another program by the same names.
// The original shares the record's memory. The error is a [*DecodeError].
func ReadDeadLetter(rec *choreo.Record) (*Letter, error) {
	l := &Letter{
		Place: Place{rec.Partition, rec.Offset}, Time: rec.Time,
		Original: choreo.Record{Partition: -1, Offset: -1, Key: rec.Key, Value: rec.Value},
	}
	for i := range rec.Headers {
		h := &rec.Headers[i]
		if !strings.HasPrefix(h.Key, dltPrefix) {
			l.Original.Headers = append(l.Original.Headers, *h)
			continue
		}
		if err := l.readHeader(h); err != nil {
			return nil, err
		}
	}
	switch {
	case l.Original.Topic == "":
		return nil, &DecodeError{Header: dltTopic, Err: errMissing}
	case l.Original.Partition < 0:
		return nil, &DecodeError{Header: dltPartition, Err: errMissing}
	case l.Original.Offset < 0:
		return nil, &DecodeError{Header: dltOffset, Err: errMissing}
	}
	return l, nil
}

func (l *Letter) readHeader(h *choreo.Header) error {
	size := func(n int) error {
		if len(h.Value) != n {
			return &DecodeError{Header: h.Key, Err: fmt.Errorf("%d bytes, %d are expected", len(h.Value), n)}
		}
		return nil
	}
	switch h.Key {
	case dltTopic:
		if l.Original.Topic = string(h.Value); !isText(l.Original.Topic) {
			return &DecodeError{Header: h.Key, Err: errText}
		}
	case dltPartition:
		if err := size(4); err != nil {
			return err
		}
		l.Original.Partition = int32(binary.BigEndian.Uint32(h.Value))
	case dltOffset:
		if err := size(8); err != nil {
			return err
		}
		l.Original.Offset = int64(binary.BigEndian.Uint64(h.Value))
	case dltTimestamp:
		if err := size(8); err != nil {
			return err
		}
		l.Original.Time = time.UnixMilli(int64(binary.BigEndian.Uint64(h.Value))).UTC()
	case dltConsumerGroup:
		l.Group = storable(string(h.Value))
	case dltExceptionType:
		l.Type = storable(string(h.Value))
	case dltExceptionMessage:
		l.Message = storable(string(h.Value))
	}
	return nil
}

// particulars are what differs between messages of one cause: quoted words, ids and numbers.
var particulars = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b0x[0-9a-fA-F]+\b|[0-9]+(?:\.[0-9]+)?`)

// Cause is the message without what differs from letter to letter: quoted words, ids and numbers
// are each replaced by "…".
func (l *Letter) Cause() string { return particulars.ReplaceAllLiteralString(l.Message, "…") }

// typeName returns the Go type of the first error in the chain that is more than a
// wrapper with a text.
func typeName(err error) string {
	for {
		name := fmt.Sprintf("%T", err)
		inner := errors.Unwrap(err)
		if name != "*fmt.wrapError" || inner == nil {
			return name
		}
		err = inner
	}
}
