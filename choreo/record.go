package choreo

import "time"

// AnyPartition in [Record.Partition] leaves the partition to the log, which
// picks it by the record's key.
const AnyPartition int32 = -1

// Record is one record of a Kafka topic as bytes: what an outbox keeps and a
// relay moves without understanding it.
type Record struct {
	Topic     string
	Partition int32     // AnyPartition, or the home partition of the saga
	Offset    int64     // set on records that were read
	Time      time.Time // of the record: set on records that were read
	Key       []byte    // the saga id; records of one key keep their order
	Value     []byte
	Headers   []Header
}

// Header is one header of a [Record].
type Header struct {
	Key   string
	Value []byte
}

// Header returns the value of the first header of that key.
func (r *Record) Header(key string) ([]byte, bool) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}
