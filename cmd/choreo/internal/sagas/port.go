package sagas

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/choreo-go/choreo/tracker"
)

// Source tells of sagas and takes commands for them.
type Source interface {
	// List returns a page.
	List(ctx context.Context, q tracker.Query) (*List, error)
	// Saga returns one saga with what can be said of it. The error wraps [tracker.ErrNotFound].
	Saga(ctx context.Context, saga, id string) (*Detail, error)
	// Events returns the saga's log, with the payloads where they are asked for.
	Events(ctx context.Context, saga, id string, payload bool) ([]Event, error)
	// Watch calls see with each saga of the filter that changes, until ctx ends or see returns an
	// error. Where changes were lost it calls reset, and what has changed meanwhile has to be
	// asked for.
	Watch(ctx context.Context, f tracker.Filter, reset func(), see func(*tracker.Snapshot) error) error
	// Participants returns the services and their processes.
	Participants(ctx context.Context) ([]Participant, error)
	// Groups returns the dead letters by what is wrong with them.
	Groups(ctx context.Context) ([]LetterGroup, error)
	// Letters returns those of one group.
	Letters(ctx context.Context, group string) ([]Letter, error)
	// Redrive sends dead letters to where they came from once more.
	Redrive(ctx context.Context, what Redrive) (*Redriven, error)
	// Act gives a command to a saga. What comes of it is told by the saga's log.
	Act(ctx context.Context, saga, id string, action Action) (*Sent, error)
	// Start asks the service that starts such sagas to start one.
	Start(ctx context.Context, saga string, start Start) (*Sent, error)
	// Close releases what the source holds.
	Close() error
}

// ErrRefused is wrapped where a command makes no sense where the saga stands, and is not sent.
var ErrRefused = errors.New("refused")

// Freshness is how far what is told lags behind the log.
type Freshness struct {
	LagEvents  int64   `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
}

// List is a page of a list.
type List struct {
	Sagas     []*tracker.Snapshot `json:"sagas"`
	Next      string              `json:"next,omitempty"`
	Freshness Freshness           `json:"freshness"`
}

// Detail is one saga.
type Detail struct {
	Saga      *tracker.Snapshot `json:"saga"`
	Verdict   string            `json:"verdict"`
	Why       json.RawMessage   `json:"why,omitempty"` // the verdict for programs
	Freshness Freshness         `json:"freshness"`
}

// Event is an event of a saga's log.
type Event struct {
	Offset      int64           `json:"offset"`
	Partition   int32           `json:"partition"`
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	Step        string          `json:"step,omitempty"`
	Source      string          `json:"source"`
	Time        time.Time       `json:"time"`
	Attempt     int             `json:"attempt,omitempty"`
	Causation   string          `json:"causation_id,omitempty"`
	By          string          `json:"by,omitempty"`
	Note        string          `json:"note,omitempty"`
	Error       *tracker.Error  `json:"error,omitempty"`
	Headers     []Header        `json:"headers,omitempty"`
	ContentType string          `json:"content_type,omitempty"`
	Size        int             `json:"size"`
	Payload     json.RawMessage `json:"payload,omitempty"`
}

// Header is a header of an event's record.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Participant is a service with its processes.
type Participant struct {
	Service   string     `json:"service"`
	Instances []Instance `json:"instances"`
	LagEvents int64      `json:"lag_events"`
	LastSeen  time.Time  `json:"last_seen"`
}

// Instance is a process of a service.
type Instance struct {
	Instance   string    `json:"instance"`
	Build      string    `json:"build,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	SeenAt     time.Time `json:"seen_at"`
	Gone       bool      `json:"gone"`
	Partitions []int32   `json:"partitions"`
	LagEvents  int64     `json:"lag_events"`
	Outbox     Outbox    `json:"outbox"`
	Parked     int64     `json:"parked"`
	Waiting    []Waiting `json:"waiting,omitempty"`
}

// Outbox is what a service has not published yet.
type Outbox struct {
	Entries       int64   `json:"entries"`
	OldestSeconds float64 `json:"oldest_seconds"`
}

// Waiting is a step that waits in the database of its owner.
type Waiting struct {
	Saga    string         `json:"saga"`
	ID      string         `json:"id"`
	Step    string         `json:"step"`
	State   string         `json:"state"`
	Attempt int            `json:"attempt,omitempty"`
	Due     *time.Time     `json:"due_at,omitempty"`
	Since   *time.Time     `json:"since,omitempty"`
	Error   *tracker.Error `json:"error,omitempty"`
}

// LetterGroup are dead letters with the same thing wrong.
type LetterGroup struct {
	Group   string    `json:"group"`
	Error   string    `json:"error"`
	Code    string    `json:"code,omitempty"`
	Topic   string    `json:"topic"`
	Service string    `json:"service"`
	Count   int64     `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

// Letter is a dead letter.
type Letter struct {
	Place
	Time      time.Time `json:"time"`
	Service   string    `json:"service"`
	Error     string    `json:"error"`
	Code      string    `json:"code"`
	Topic     string    `json:"topic"` // where the record was read
	Original  Place     `json:"original"`
	Saga      string    `json:"saga,omitempty"`
	ID        string    `json:"id,omitempty"`
	EventType string    `json:"event_type,omitempty"`
	Redriven  bool      `json:"redriven"`
}

// Place is where a record stands.
type Place struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Redrive says which dead letters are sent again: a group or some.
type Redrive struct {
	Group   string  `json:"group,omitempty"`
	Letters []Place `json:"letters,omitempty"`
	DryRun  bool    `json:"dry_run,omitempty"`
	Force   bool    `json:"force,omitempty"` // also those that were sent again before
	Reason  string  `json:"reason,omitempty"`
}

// Redriven says what came of it.
type Redriven struct {
	Redriven int64     `json:"redriven"`
	Skipped  []Skipped `json:"skipped,omitempty"`
	DryRun   bool      `json:"dry_run"`
}

// Skipped is a dead letter that was not sent again.
type Skipped struct {
	Place
	Why string `json:"why"`
}

// Action is a command to a saga.
type Action struct {
	Action  string          `json:"action"` // cancel, retry, resolve, release or force-abort
	Step    string          `json:"step,omitempty"`
	Resolve string          `json:"resolve,omitempty"` // done or undone
	Output  json.RawMessage `json:"output,omitempty"`  // of a step that counts as done
	Service string          `json:"service,omitempty"` // that is to go on with a parked saga
	Reason  string          `json:"reason"`
	By      string          `json:"-"` // who gives it, where no token says so
}

// Start says which saga to start.
type Start struct {
	ID      string            `json:"id"`
	Version int               `json:"version,omitempty"`
	Input   json.RawMessage   `json:"input"`
	Tags    map[string]string `json:"tags,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	By      string            `json:"-"`
}

// Sent is a command that is in the log.
type Sent struct {
	EventID string `json:"event_id"`
	Action  string `json:"action"`
}
