package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/choreo-go/choreo/choreo"
)

// ReadConfig configures [Log.Read]. The zero value of a field is its default.
type ReadConfig struct {
	// Topic to read. Required.
	Topic string
	// From are the offsets to begin at, by partition. Where the log has no such offset
	// (any more) it begins at the oldest record. One of a partition that does not exist
	// counts once it is added. Default: every partition from its oldest record.
	From map[int32]int64
	// Partitions, if set, chooses the partitions that are read, also of those that are added
	// later. It must not block. Default: all.
	Partitions func(partition int32) bool
	// ToEnd ends Read when all that the topic held at its begin has been handled.
	// Default: it goes on until its context ends.
	ToEnd bool
	// OnCaughtUp, if set, is called once, when all that the topic held when Read began
	// has been handled: at once where it was empty. Read calls the handler neither
	// meanwhile nor before it returns.
	OnCaughtUp func()
	// BatchMax is how many records one handler call gets at most, all of one partition.
	// Default: 500.
	BatchMax int
	// OnState, if set, is told about changes: how many partitions are read, and why
	// there are some that cannot be. It must not block.
	OnState func(ConsumeState)
}

// WithDefaults returns a copy with every default filled in, or an error that names
// each field at fault. Adapters call it at the start of [Log.Read].
func (c ReadConfig) WithDefaults() (ReadConfig, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("topics: ReadConfig."+format, args...))
	}
	if c.Topic == "" {
		fault("Topic is empty: name the topic to read")
	}
	for _, partition := range slices.Sorted(maps.Keys(c.From)) {
		if offset := c.From[partition]; partition < 0 || offset < 0 {
			fault("From[%d] is %d: use partitions and offsets from 0 on, or leave the partition out to read it from its oldest record", partition, offset)
		}
	}
	if c.BatchMax < 0 {
		fault("BatchMax is %d: use a positive number, or 0 for 500", c.BatchMax)
	} else if c.BatchMax == 0 {
		c.BatchMax = 500
	}
	if c.Partitions == nil {
		c.Partitions = func(int32) bool { return true }
	}
	if c.OnCaughtUp == nil {
		c.OnCaughtUp = func() {}
	}
	if c.OnState == nil {
		c.OnState = func(ConsumeState) {}
	}
	c.From = maps.Clone(c.From)
	return c, errors.Join(faults...)
}

// ReadTable reads a topic to its end as a table, such as a compacted one: the latest record
// of each key. Keys whose latest record is a tombstone are not in it, nor are records
// without a key. A key is in one partition, unless partitions were added since: of
// records in several the one with the latest time counts. Errors are as those of
// [Log.Read] with ToEnd.
func ReadTable(ctx context.Context, log Log, topic string) (map[string]choreo.Record, error) {
	table := make(map[string]choreo.Record)
	err := log.Read(ctx, ReadConfig{Topic: topic, ToEnd: true}, func(_ context.Context, batch []choreo.Record) error {
		for _, rec := range batch {
			if rec.Key == nil {
				continue
			}
			before, had := table[string(rec.Key)]
			if !had || before.Partition == rec.Partition || !rec.Time.Before(before.Time) {
				table[string(rec.Key)] = rec
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("topics: reading topic %s as a table: %w", topic, err)
	}
	maps.DeleteFunc(table, func(_ string, rec choreo.Record) bool { return rec.Value == nil })
	return table, nil
}
