package sagas

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

// Source tells of sagas and takes commands for them.
type Source interface {
	// List returns a page.
	List(ctx context.Context, q tracker.Query) (*List, error)
	// Saga returns one saga with what can be said of it. The error wraps [tracker.ErrNotFound].
	Saga(ctx context.Context, saga, id string) (*Detail, error)
	// Count counts sagas by a group.
	Count(ctx context.Context, f tracker.Filter, by tracker.Group) ([]tracker.Count, error)
	// Overview tells how all sagas do.
	Overview(ctx context.Context) (tracker.Overview, error)
	// Freshness tells how far what is told lags behind the log, each partition where asked.
	Freshness(ctx context.Context, partitions bool) (Freshness, error)
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
	// Outcome waits until a command was answered, and returns the answer; or until ctx ends.
	Outcome(ctx context.Context, saga, id, command string) (*Outcome, error)
	// Close releases what the source holds.
	Close() error
}

// ErrRefused is wrapped where a command makes no sense where the saga stands, and is not sent.
var ErrRefused = errors.New("refused")

// Freshness is how far what is told lags behind the log.
type Freshness = tracker.Freshness

// List is a page of a list.
type List struct {
	Sagas     []*tracker.Snapshot `json:"sagas"`
	Next      string              `json:"next,omitempty"`
	Freshness Freshness           `json:"freshness"`
	// Missing are the parts that are away, of several trackers.
	Missing []string `json:"missing,omitempty"`
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

// What the API of a tracker says as well.
type (
	// Participant is a service with its processes.
	Participant = api.Participant
	// Instance is a process of a service.
	Instance = api.Instance
	// Outbox is what a service has not published yet.
	Outbox = api.Outbox
	// Waiting is a step that waits in the database of its owner.
	Waiting = api.Waiting
	// LetterGroup are dead letters with the same thing wrong.
	LetterGroup = api.LetterGroup
	// Letter is a dead letter.
	Letter = api.Letter
	// Place is where a dead letter stands.
	Place = api.LetterID
	// Redrive says which dead letters are sent again: a group or some.
	Redrive = api.Redrive
	// Redriven says what came of it.
	Redriven = api.Redriven
	// Action is a command to a saga.
	Action = api.Action
	// Start says which saga to start.
	Start = api.Start
)

// Sent is a command that is in the log.
type Sent struct {
	EventID string `json:"event_id"`
	Action  string `json:"action"`
}

// Outcome is what came of a command.
type Outcome struct {
	EventID string           `json:"event_id"`
	Action  string           `json:"action"`
	State   api.OutcomeState `json:"state"`
	Answer  *Event           `json:"answer,omitempty"`
}
