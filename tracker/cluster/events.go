package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
)

var errEnough = errors.New("there is enough")

// Events returns the records of a saga's log in order, at most limit, and whether there are more
// of them. It reads the whole home partition, for the log has no index by key.
func (c *Cluster) Events(ctx context.Context, s *tracker.Snapshot, limit int) (records []choreo.Record, more bool, err error) {
	home := func(partition int32) bool { return partition == s.Partition }
	return c.events(ctx, s.Saga, s.ID, home, limit)
}

// EventsOf returns the records of a saga of which no snapshot is known, from all partitions: what
// came of a start that was asked for, too.
func (c *Cluster) EventsOf(ctx context.Context, saga, id string, limit int) (records []choreo.Record, more bool, err error) {
	return c.events(ctx, saga, id, nil, limit)
}

func (c *Cluster) events(ctx context.Context, saga, id string, of func(int32) bool, limit int) (records []choreo.Record, more bool, err error) {
	config := topics.ReadConfig{Topic: c.names.Events(saga), ToEnd: true, BatchMax: 5000, Partitions: of}
	err = c.log.Read(ctx, config, func(_ context.Context, batch []choreo.Record) error {
		for i := range batch {
			if string(batch[i].Key) != id {
				continue
			}
			if len(records) == limit {
				more = true
				return errEnough
			}
			records = append(records, kept(&batch[i]))
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, fmt.Errorf("cluster: the log of saga %s %q: %w", saga, id, err)
	}
	return records, more, nil
}

// kept returns a record that shares no memory with the batch that it came in.
func kept(rec *choreo.Record) choreo.Record {
	own := *rec
	own.Key, own.Value, own.Headers = slices.Clone(rec.Key), slices.Clone(rec.Value), slices.Clone(rec.Headers)
	for i := range own.Headers {
		own.Headers[i].Value = slices.Clone(own.Headers[i].Value)
	}
	return own
}
