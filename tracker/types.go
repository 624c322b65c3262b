package tracker

import (
	"context"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Reader answers queries: a tracker, a [Model], or several trackers as one ([Join]).
type Reader interface {
	Get(ctx context.Context, saga, id string) (*Snapshot, error)
	List(ctx context.Context, q Query) (Page, error)
	Count(ctx context.Context, f Filter, by Group) ([]Count, error)
}

// Change is one change of a saga that somebody watches.
type Change struct {
	// Seq counts all changes of the tracker since it began, from 1.
	Seq uint64
	// Snapshot is the saga after the change.
	Snapshot *Snapshot
	// Reset says that changes were left out, since they came faster than they were taken:
	// ask anew for what is of interest. Snapshot is nil then.
	Reset bool
}

// Freshness is how far a tracker is behind the logs.
type Freshness struct {
	LagEvents  int64          `json:"lag_events"`
	LagSeconds float64        `json:"lag_seconds"` // of the partition that is furthest behind
	Partitions []PartitionLag `json:"partitions,omitempty"`
	// Parts are the trackers that share the work, where several do ([Join]): those that are away
	// first, then the one that is furthest behind.
	Parts []PartLag `json:"parts,omitempty"`
}

// PartLag is how far one of several trackers is behind.
type PartLag struct {
	Part       string  `json:"part"` // its name
	LagEvents  int64   `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
	// Away says that it does not answer: its lag is what was known last.
	Away bool `json:"away,omitempty"`
}

// PartitionLag is how far a tracker is behind one partition of a log.
type PartitionLag struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Next      int64  `json:"next"` // the offset that it reads next
	End       int64  `json:"end"`  // the offset that the log writes next
	// LagEvents is how many events are not folded in, and LagSeconds for how long the first of
	// them has been there, at most.
	LagEvents  int64   `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
}

// Overview is how all sagas do.
type Overview struct {
	Counts map[choreo.Status]int64 `json:"counts"`
	// PerMinute are the last 60 minutes, the oldest first.
	PerMinute []Minute `json:"per_minute"`
	// OldestStuck are the sagas that started first of those that are stuck.
	OldestStuck []*Snapshot `json:"oldest_stuck"`
	// SlowestSteps are the slowest by their 95th percentile.
	SlowestSteps []StepFigures `json:"slowest_steps"`
	Freshness    Freshness     `json:"freshness"`
}

// Minute is what happened in one minute.
type Minute struct {
	At          time.Time `json:"at"`
	Started     int64     `json:"started"`
	Completed   int64     `json:"completed"`
	Compensated int64     `json:"compensated"`
	Failed      int64     `json:"failed"`
}

// StepFigures is how long a step takes, from its trigger to its answer. The percentiles are
// those of a histogram whose classes are 19 % wide.
type StepFigures struct {
	Saga       string  `json:"saga"`
	Version    int     `json:"version"`
	Step       string  `json:"step"`
	Service    string  `json:"service"`
	Count      int64   `json:"count"`
	P50Seconds float64 `json:"p50_seconds"`
	P95Seconds float64 `json:"p95_seconds"`
	MaxSeconds float64 `json:"max_seconds"`
}
