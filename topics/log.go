package topics

import (
	"context"
	"errors"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Log writes and reads topics. It is safe for concurrent use.
type Log interface {
	// Publish writes the records and returns once each is acknowledged by all in-sync
	// replicas or has failed: nil when all are acknowledged, else one error a record
	// (nil for acknowledged ones). Faults that may pass are retried until ctx ends or
	// the adapter's delivery bound is over. Records of one key keep their order: when
	// one fails, no later one of the same key and call is written, and its error wraps
	// ErrEarlierFailed. A failed record may yet be in the log (its acknowledgement was
	// lost), and a retried one may be there twice.
	Publish(ctx context.Context, records []choreo.Record) []error

	// Consume reads topics as a member of a consumer group and calls handle until ctx
	// ends, handle returns an error, or the group refuses the member for good. It
	// returns nil when ctx ended, else why it stopped. Outages of the broker are waited
	// out and reported to Config.OnState.
	Consume(ctx context.Context, config ConsumeConfig, handle Handler) error

	// Read reads all partitions of one topic, as a member of no group and without
	// committing anything, and calls handle until ctx ends, handle returns an error, or,
	// with Config.ToEnd, all that the topic held when Read began is handled. It returns
	// nil when ctx ended or the end was reached, else why it stopped; under ToEnd an end of
	// ctx before that is an error, for what was read is a part. Records of one partition
	// come in order, duplicates aside, and no two calls of handle overlap. Partitions
	// that are added later are read, too. Outages of the broker are waited out and
	// reported to Config.OnState. The error wraps ErrUnknownTopic where there is no such
	// topic when Read begins.
	Read(ctx context.Context, config ReadConfig, handle Handler) error

	Admin
	GroupLag
	// Close ends all calls that are under way and releases what the log holds.
	Close() error
}

// Handler handles a batch of records and returns nil when it is done with all of
// them; only then may their offsets be committed. Records of one key come in
// partition order and never to two calls at once; a batch holds records of many keys
// and may hold several of one. ctx ends when the consumer stops or loses the
// partitions: then the handler should finish or give up soon, and return.
type Handler func(ctx context.Context, batch []choreo.Record) error

// ConsumeConfig configures [Log.Consume]. The zero value of a field is its default.
type ConsumeConfig struct {
	// Group is the consumer group. Required.
	Group string
	// Topics to read. Required. A group without offsets starts at the oldest record.
	Topics []string
	// Keep, if set, is asked about each record before it is queued; records for which
	// it is false are skipped and their offsets count as handled. It must not block.
	Keep func(*choreo.Record) bool
	// Lanes is how many handler calls run side by side; a key always goes to the same
	// lane. Default: 32.
	Lanes int
	// BatchMax is how many queued records one handler call gets at most. Default: 64.
	BatchMax int
	// InFlight bounds the records that are fetched and not yet handled, over all
	// partitions; fetching pauses above it. Default: 4096.
	InFlight int
	// Hold, if set, is asked before each fetch. Where it returns a channel, the fetch waits until that
	// is closed: what is read meanwhile would only stand behind what the handler has not come to,
	// and later it comes in fewer and larger responses. It must not block. A log that fetches
	// nothing over a network may leave it unasked.
	Hold func() <-chan struct{}
	// SessionTimeout is how long a member may be silent before the group takes its
	// partitions away. Default: 10 s.
	SessionTimeout time.Duration
	// CommitEvery is how long offsets of handled records may wait to be committed.
	// Default: 100 ms.
	CommitEvery time.Duration
	// OnState, if set, is told about changes of the membership. It must not block.
	OnState func(ConsumeState)
}

// ConsumeState is how a consumer stands.
type ConsumeState struct {
	// Partitions is how many partitions are assigned, over all topics.
	Partitions int
	// Err is why the consumer currently cannot read; nil when it can.
	Err error
}

// Admin looks at and changes topics.
type Admin interface {
	// DescribeTopics returns the named topics; those that do not exist are missing.
	DescribeTopics(ctx context.Context, names ...string) (map[string]TopicState, error)
	// CreateTopic makes a topic. ErrTopicExists where there is one.
	CreateTopic(ctx context.Context, spec TopicSpec) error
	// AddPartitions raises a topic's partition count to total.
	AddPartitions(ctx context.Context, name string, total int) error
	// SetConfig changes settings of a topic and leaves all others alone.
	SetConfig(ctx context.Context, name string, settings map[string]string) error
}

// GroupLag tells how far consumer groups are.
type GroupLag interface {
	// GroupLag returns how far a group is with every partition of the topics, in the order of the
	// topics and partitions. A group that has committed nothing, also one that does not
	// exist, is at the oldest record. The error wraps ErrUnknownTopic where there is no such topic.
	GroupLag(ctx context.Context, group string, names ...string) ([]PartitionLag, error)
}

// PartitionLag is how far a consumer group is with a partition.
type PartitionLag struct {
	Topic     string
	Partition int32
	Committed int64 // the next offset to handle; -1: none was committed
	Oldest    int64 // the oldest offset that is there
	End       int64 // the offset of the next record that is written
}

// Lag returns how many offsets the group has not handled yet.
func (l PartitionLag) Lag() int64 {
	return max(l.End-max(l.Committed, l.Oldest), 0)
}

// TopicSpec is a topic as it should be.
type TopicSpec struct {
	Name       string
	Partitions int
	// ReplicationFactor is the number of replicas; 0 means the broker's default.
	ReplicationFactor int
	// Settings are topic settings by Kafka's names, such as "retention.ms".
	Settings map[string]string
}

// TopicState is a topic as it is.
type TopicState struct {
	Partitions int
	Settings   map[string]string // also those at their default
}

// Errors of a [Log].
var (
	// ErrEarlierFailed marks a record that was not written because an earlier one of
	// its key and call failed.
	ErrEarlierFailed = errors.New("not written: an earlier record of the same key failed")
	// ErrRecordTooLarge marks a record above the topic's max.message.bytes. Retrying
	// will not help: raise the limit or shrink the payload.
	ErrRecordTooLarge = errors.New("record is larger than the topic's max.message.bytes")
	// ErrTopicExists is returned by CreateTopic.
	ErrTopicExists = errors.New("topic exists")
	// ErrUnknownTopic marks a topic or partition that the cluster does not have.
	ErrUnknownTopic = errors.New("topic or partition does not exist: create it with 'topics apply'")
	// ErrClosed is returned by a log after Close.
	ErrClosed = errors.New("log is closed")
)
