package topics

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Topic settings by Kafka's names.
const (
	settingCleanup     = "cleanup.policy"
	settingRetention   = "retention.ms"
	settingMinInSync   = "min.insync.replicas"
	settingMaxMessage  = "max.message.bytes"
	settingSegment     = "segment.ms"
	defaultPartitions  = 12
	defaultRetention   = 30 * 24 * time.Hour
	deadLetterMaxBytes = 2 << 20
	// Of a process that has gone nothing is left after a day.
	statusRetention = 24 * time.Hour
	statusSegment   = 10 * time.Minute
)

// TopologyOptions are the sizes of a topology. The zero value of a field is its
// default.
type TopologyOptions struct {
	// Partitions is how many partitions the topics have whose key is a saga id: it
	// bounds how many processes of one service can share the work. More can be added
	// later. Default: 12.
	Partitions int
	// ReplicationFactor of all topics. From 3 on, an acknowledgement waits for all
	// replicas but one. Default: the broker's.
	ReplicationFactor int
	// Retention is how long events and dead letters are kept. It has to be longer than
	// the longest outage of a service plus the longest life of a saga: an event that is
	// gone can no longer undo anything. Default: 30 days; negative: without end.
	Retention time.Duration
}

// Topology returns the topics that the definitions need in a namespace, sorted by name.
// Several versions of one saga share their topics.
//
// Events and dead letters expire. Tracker snapshots, definitions and schemas are
// compacted; the latter two have one partition, for their order counts. Dead letters
// may be larger than the broker's default of 1 MiB, for they are a record and the
// story of its death. What processes tell of themselves is compacted, in segments that are soon
// over, and expires in a day.
func Topology(names Names, defs []choreo.AnySaga, opts TopologyOptions) []TopicSpec {
	if opts.Partitions == 0 {
		opts.Partitions = defaultPartitions
	}
	if opts.Retention == 0 {
		opts.Retention = defaultRetention
	}
	retention := int64(-1)
	if opts.Retention > 0 {
		retention = opts.Retention.Milliseconds()
	}
	spec := func(name string, partitions int, settings map[string]string) TopicSpec {
		if opts.ReplicationFactor >= 3 {
			settings[settingMinInSync] = strconv.Itoa(opts.ReplicationFactor - 1)
		}
		return TopicSpec{
			Name: name, Partitions: partitions,
			ReplicationFactor: opts.ReplicationFactor, Settings: settings,
		}
	}
	expiring := func() map[string]string {
		return map[string]string{settingCleanup: "delete", settingRetention: strconv.FormatInt(retention, 10)}
	}
	compacted := func() map[string]string { return map[string]string{settingCleanup: "compact"} }

	deadLetters := spec(names.DeadLetters(), opts.Partitions, expiring())
	deadLetters.Settings[settingMaxMessage] = strconv.Itoa(deadLetterMaxBytes)
	specs := []TopicSpec{
		deadLetters,
		spec(names.Definitions(), 1, compacted()),
		spec(names.Participants(), 1, map[string]string{
			settingCleanup: "compact,delete", settingRetention: strconv.FormatInt(statusRetention.Milliseconds(), 10),
			settingSegment: strconv.FormatInt(statusSegment.Milliseconds(), 10),
		}),
		spec(names.Schemas(), 1, compacted()),
	}
	for _, saga := range sagaNames(defs) {
		specs = append(specs,
			spec(names.Events(saga), opts.Partitions, expiring()),
			spec(names.Tracker(saga), opts.Partitions, compacted()))
	}
	slices.SortFunc(specs, func(a, b TopicSpec) int {
		return strings.Compare(a.Name, b.Name)
	})
	return specs
}

func sagaNames(defs []choreo.AnySaga) []string {
	names := make([]string, 0, len(defs))
	for _, d := range defs {
		names = append(names, d.Def().Name())
	}
	slices.Sort(names)
	return slices.Compact(names)
}
