package participant

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Publish puts records of the service's own into the outbox, in a transaction of its own. It
// returns when that has committed; the relay publishes them soon after. After an error
// that wraps outbox.ErrUnknownOutcome they may be there all the same. All else is as in
// [PublishTx].
func Publish[Tx any](ctx context.Context, p *Participant[Tx], records ...choreo.Record) error {
	return publish(ctx, p, records, func(keys []outbox.SagaID) (outbox.Unit[Tx], error) {
		return p.store.Begin(ctx, keys...)
	})
}

// PublishTx puts records of the service's own into the outbox, in the caller's
// transaction or in that of a handler: they are published when it commits, and never if it
// does not. A record may have any topic, headers, value (nil is a tombstone) and key.
// Its partition is that of its key by Kafka's default partitioner, whatever Record.Partition
// says; offset and time are the broker's.
//
// Records of one key and topic leave in the order of the transactions that wrote them, and
// inside of one in the order of the calls; for that, a key is locked until the transaction
// ends. Transactions that lock several keys one call after the other can deadlock, which
// the database finds out: publish them by one call, or give no key to records that need no
// order. Records come at least once.
//
// A record that cannot be published, such as one of a topic that does not exist or one that is
// larger than its topic allows, stays in the outbox and is tried until it can be; what has the
// same key waits behind it, events of a saga of that id included. All records without a
// key are held back together. So make the topics first.
//
// The error names every record at fault, and nothing was written then. Topics of
// saga events are refused: what is in them, participants alone decide.
func PublishTx[Tx any](ctx context.Context, p *Participant[Tx], tx Tx, records ...choreo.Record) error {
	return publish(ctx, p, records, func(keys []outbox.SagaID) (outbox.Unit[Tx], error) {
		return p.store.Join(ctx, tx, keys...)
	})
}

func publish[Tx any](ctx context.Context, p *Participant[Tx], records []choreo.Record, open func([]outbox.SagaID) (outbox.Unit[Tx], error)) error {
	if len(records) == 0 {
		return nil
	}
	fail := func(err error) error { return fmt.Errorf("publish %d records: %w", len(records), err) }
	if err := p.checkRecords(records); err != nil {
		return fail(err)
	}
	var (
		keys    []outbox.SagaID
		changes outbox.Changes
	)
	for _, rec := range records {
		if rec.Key != nil {
			keys = append(keys, lockOf(&rec))
		}
		rec.Partition = choreo.AnyPartition
		changes.Entries = append(changes.Entries, outbox.Entry{ID: p.world.NewID(), Type: typeOf(&rec), Record: rec})
	}
	unit, err := open(keys)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	if err := unit.Commit(ctx, changes); err != nil {
		return fail(err)
	}
	return nil
}

// topicPattern is what Kafka takes as the name of a topic.
var topicPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func (p *Participant[Tx]) checkRecords(records []choreo.Record) error {
	var faults []error
	for i := range records {
		topic := records[i].Topic
		if !topicPattern.MatchString(topic) || topic == "." || topic == ".." {
			faults = append(faults, fmt.Errorf("record %d: %q is no name of a topic", i, topic))
		} else if saga, ok := p.names.SagaOf(topic); ok {
			faults = append(faults, fmt.Errorf("record %d: topic %s holds the events of saga %q: use Start, Cancel or a step", i, topic, saga))
		}
	}
	return errors.Join(faults...)
}

// lockOf names what is locked for a record: its key in its topic. No definition has a
// space in its name, so that it is never a saga that is locked.
func lockOf(rec *choreo.Record) outbox.SagaID {
	id := outbox.SagaID{Saga: "topic " + rec.Topic, ID: string(rec.Key)}
	if !isText(id.ID) { // stores take text
		id.ID = "0x" + hex.EncodeToString(rec.Key)
	}
	return id
}

// recordType is the type of an outbox entry whose record does not name one.
const recordType = "record"

// typeOf returns the type of an entry: the record's own where it is a CloudEvent.
func typeOf(rec *choreo.Record) string {
	if t, ok := rec.Header("ce_type"); ok && len(t) > 0 && isText(string(t)) {
		return string(t)
	}
	return recordType
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
