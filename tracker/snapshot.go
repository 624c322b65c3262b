package tracker

import (
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Snapshot is one saga as its log has told it so far. Its JSON is the value of a record in the
// tracker topic and what the API answers with: fields may be added, none changes its meaning.
type Snapshot struct {
	ID        string        `json:"id"`
	Saga      string        `json:"saga"`
	Version   int           `json:"version"`
	Status    choreo.Status `json:"status"`
	Initiator string        `json:"initiator,omitempty"` // the service that started it
	// Tags are what its start said of it, to find it by.
	Tags map[string]string `json:"tags,omitempty"`

	StartedAt time.Time  `json:"started_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// Deadline is when the initiator asks for an abort if the saga is still open.
	Deadline *time.Time `json:"deadline,omitempty"`

	// Cause is why it was turned back.
	Cause  *Cause   `json:"cause,omitempty"`
	Parked []Parked `json:"parked,omitempty"`
	Steps  []Step   `json:"steps"` // in the definition's order
	// Next are the steps that are still to come, in the order in which they can: the way forward of a
	// saga that goes forward, the compensations to come of one that goes backwards. Those that
	// are ready come first.
	Next []Next `json:"next,omitempty"`

	TraceID string `json:"trace_id,omitempty"` // of the transaction that started it
	// Unknown is set while nobody has published the definition: the steps are those that the
	// log has named, and nothing can be said of what is to come.
	Unknown bool `json:"definition_unknown,omitempty"`

	Partition int32 `json:"partition"` // its home partition
	Offset    int64 `json:"offset"`    // of the last event that was folded in
	Events    int64 `json:"events"`    // how many changed it

	// Fold is what the fold needs to go on from here. It is for the tracker alone.
	Fold *Fold `json:"fold,omitempty"`
}

// Fold is the part of a fold that nobody looks at.
type Fold struct {
	// First is the offset of the first event of the saga: from there it can be folded anew.
	First     int64    `json:"first"`
	Requested bool     `json:"requested,omitempty"`
	Turned    bool     `json:"turned,omitempty"`
	Kept      bool     `json:"kept,omitempty"`
	Parkings  []string `json:"parkings,omitempty"`
}

// Cause is why a saga was turned back.
type Cause struct {
	Step    string       `json:"step,omitempty"` // whose failure it was; empty: an abort
	Class   choreo.Class `json:"class,omitempty"`
	Code    string       `json:"code,omitempty"`
	Message string       `json:"message,omitempty"`
	By      string       `json:"by,omitempty"`   // who asked for the abort
	Note    string       `json:"note,omitempty"` // and why
}

// Parked says that a service cannot go on with the saga.
type Parked struct {
	Service string    `json:"service"`
	Since   time.Time `json:"since"`
	Error   *Error    `json:"error,omitempty"`
}

// Error is why something failed.
type Error struct {
	Class   choreo.Class `json:"class,omitempty"`
	Code    string       `json:"code,omitempty"`
	Message string       `json:"message,omitempty"`
}

// Step is a step of one saga.
type Step struct {
	Name     string            `json:"name"`
	Service  string            `json:"service,omitempty"`
	Status   choreo.StepStatus `json:"status"`
	Pivot    bool              `json:"pivot,omitempty"`
	Attempts int               `json:"attempts,omitempty"`
	ReadyAt  *time.Time        `json:"ready_at,omitempty"`
	EndedAt  *time.Time        `json:"ended_at,omitempty"`
	UndoneAt *time.Time        `json:"undone_at,omitempty"`
	// Seconds is from ReadyAt to EndedAt.
	Seconds float64 `json:"duration_seconds,omitempty"`
	Error   *Error  `json:"error,omitempty"`
}

// Next is a step that is still to come.
type Next struct {
	Step    string     `json:"step"`
	Service string     `json:"service,omitempty"`
	Run     choreo.Run `json:"run"` // execute or compensate
	Ready   bool       `json:"ready"`
	// WaitsFor are the steps that have to come, or to be settled, first.
	WaitsFor []string `json:"waits_for,omitempty"`
}
