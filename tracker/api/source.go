package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/tracker"
)

// Source is what the server answers from. Sagas is required; what is missing of the rest is
// answered with the problem "not-available".
type Source struct {
	Sagas        Sagas
	Explainer    Explainer
	Events       Events
	Definitions  Definitions
	Participants Participants
	DeadLetters  DeadLetters
	Commands     Commands
	Answers      Answers
	// Codecs decode payloads for those who may see them, each those of its content type: into an
	// empty interface, as package avro does. Default: JSON and texts are shown as they are, all else
	// as base64.
	Codecs []schema.Codec
	// Ready says why the tracker is not ready, such as that it is catching up. /readyz tells it to
	// whoever asks. Default: it always is.
	Ready func(ctx context.Context) error
}

// Sagas answers questions about snapshots, as a [tracker.Tracker] does.
type Sagas interface {
	tracker.Reader
	Freshness(partitions bool) tracker.Freshness
	Overview(ctx context.Context) (tracker.Overview, error)
	// Watch returns changes until ctx ends: then the channel is closed. after is the Seq of the
	// last change that is known, 0 to begin now.
	Watch(ctx context.Context, f tracker.Filter, after uint64) <-chan tracker.Change
}

// Explainer says what a saga waits for.
type Explainer interface {
	Explain(ctx context.Context, s *tracker.Snapshot) (tracker.Verdict, error)
}

// Events reads a saga's events.
type Events interface {
	// Events returns the records of a saga's log in order, at most limit, and whether there are
	// more of them.
	Events(ctx context.Context, s *tracker.Snapshot, limit int) (records []choreo.Record, more bool, err error)
}

// Definitions knows what the services have published.
type Definitions interface {
	Definitions(ctx context.Context) ([]Published, error)
}

// Participants knows which processes there are.
type Participants interface {
	Participants(ctx context.Context) ([]Participant, error)
}

// DeadLetters reads and redrives records that a service could not handle.
type DeadLetters interface {
	// Groups returns the letters by what was wrong, the largest group first.
	Groups(ctx context.Context) ([]LetterGroup, error)
	// Letters returns those of a group, the newest first, at most limit. The error wraps
	// [ErrNoGroup].
	Letters(ctx context.Context, group string, limit int) ([]Letter, error)
	// Redrive publishes letters anew, or says which ones it would. The error wraps [ErrNoGroup].
	Redrive(ctx context.Context, by string, r Redrive) (Redriven, error)
}

// Commands asks services to do something. It is called only for what makes sense by the
// snapshot; the services decide.
type Commands interface {
	// Act publishes what was asked for, and returns the id of the event. The error is a
	// [*RefusedError] where that cannot be.
	Act(ctx context.Context, s *tracker.Snapshot, by string, a Action) (eventID string, err error)
	// Start asks the service that starts a saga to start one. Of a saga that is not known the
	// error is a [*RefusedError].
	Start(ctx context.Context, saga, by string, s Start) (eventID string, err error)
}

// Answers knows what came of commands.
type Answers interface {
	// Answer returns a command that stands in a saga's log, and what came of it, for which it waits
	// for so long. home is the saga's home partition, [choreo.AnyPartition] where it is not known.
	// The error wraps [ErrNoCommand].
	Answer(ctx context.Context, saga, id, command string, home int32, wait time.Duration) (Answer, error)
}

// Answer is what came of a command.
type Answer struct {
	Command *choreo.Record // the command itself
	Record  *choreo.Record // the event that answers it; nil: there is none yet
}

// ErrNoCommand says that a saga's log holds no such command.
var ErrNoCommand = errors.New("no such command in the saga's log")

// ErrNoGroup says that there are no dead letters of a group, any more.
var ErrNoGroup = errors.New("no such group of dead letters")

// RefusedError says why something that was asked for makes no sense. It is answered with the
// problem "refused".
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// Published is a version of a saga as its services have published it.
type Published struct {
	Document    *definition.Document
	Fingerprint string
	By          []Publisher // sorted by service
}

// Publisher is a service that has published a definition.
type Publisher struct {
	Service     string
	Build       string
	Fingerprint string // of the definition as this service knows it
	Starts      bool
}

// Participant is a service and its processes.
type Participant struct {
	Service   string     `json:"service"`
	Instances []Instance `json:"instances"`
	LagEvents int64      `json:"lag_events"` // of its consumer group
	LastSeen  time.Time  `json:"last_seen"`
}

// Instance is a process of a service.
type Instance struct {
	Instance   string    `json:"instance"`
	Build      string    `json:"build,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	SeenAt     time.Time `json:"seen_at"`
	Gone       bool      `json:"gone"`       // it said goodbye, or was silent for too long
	Partitions int       `json:"partitions"` // how many it reads, over all topics
	LagEvents  int64     `json:"lag_events"`
	Outbox     Outbox    `json:"outbox"`
	Parked     int64     `json:"parked"`
	Waiting    []Waiting `json:"waiting"`
}

// Outbox is what a process has not published yet.
type Outbox struct {
	Entries       int64   `json:"entries"`
	OldestSeconds float64 `json:"oldest_seconds"`
}

// Waiting is a step that a process cannot go on with at once.
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

// LetterGroup is dead letters of one service, topic and fault.
type LetterGroup struct {
	Group   string `json:"group"` // opaque, to ask for the letters by
	Error   string `json:"error"` // the message, numbers and ids left out
	Code    string `json:"code"`
	Topic   string `json:"topic"`
	Service string `json:"service"`
	Count   int64  `json:"count"`
	// Redriven is how many of them were redriven.
	Redriven int64     `json:"redriven"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Sample   Letter    `json:"sample"`
}

// LetterID is where a dead letter stands.
type LetterID struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Letter is a record that a service could not handle. It shows no payload.
type Letter struct {
	LetterID
	Time      time.Time `json:"time"`
	Service   string    `json:"service"`
	Error     string    `json:"error"`
	Code      string    `json:"code,omitempty"`
	Topic     string    `json:"topic"` // where the record was read, and at which place
	From      int32     `json:"original_partition"`
	At        int64     `json:"original_offset"`
	Key       string    `json:"key,omitempty"` // the saga's id, if the record was an event
	EventType string    `json:"event_type,omitempty"`
	Redriven  bool      `json:"redriven"`
}

// Redrive says what to redrive: a group or letters.
type Redrive struct {
	Group   string     `json:"group,omitempty"`
	Letters []LetterID `json:"letters,omitempty"`
	DryRun  bool       `json:"dry_run,omitempty"`
	// Force redrives also what was redriven before.
	Force  bool   `json:"force,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Redriven is what became of a [Redrive].
type Redriven struct {
	Redriven int64     `json:"redriven"`
	Skipped  []Skipped `json:"skipped"`
	DryRun   bool      `json:"dry_run"`
}

// Skipped is a letter that was not redriven.
type Skipped struct {
	LetterID
	Why string `json:"why"`
}

// ActionName is what can be asked for.
type ActionName string

// The actions.
const (
	ActionCancel     ActionName = "cancel"
	ActionRetry      ActionName = "retry"
	ActionResolve    ActionName = "resolve"
	ActionRelease    ActionName = "release"
	ActionForceAbort ActionName = "force-abort"
	actionStart      ActionName = "start" // is asked for at an address of its own
)

// Action is something to do about a saga.
type Action struct {
	Action ActionName `json:"action"`
	// Step is which one to retry or to resolve.
	Step string `json:"step,omitempty"`
	// Resolve says how to resolve: as done, or as undone.
	Resolve choreo.Resolve `json:"resolve,omitempty"`
	// Output is what a step that is resolved as done has put out.
	Output json.RawMessage `json:"output,omitempty"`
	// Service is which one to release from being parked.
	Service string `json:"service,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Start is a saga to start.
type Start struct {
	ID      string            `json:"id"`
	Version int               `json:"version"`
	Input   json.RawMessage   `json:"input,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	Reason  string            `json:"reason,omitempty"`
}
