package topics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

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
