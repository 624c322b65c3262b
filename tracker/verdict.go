package tracker

import (
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Service is what a service's processes have said of themselves, as far as [Explain] needs it.
type Service struct {
	Name string
	// SeenAt is when one of its processes was heard last; zero: never.
	SeenAt time.Time
	// Gone says that none of its processes lives: each has stopped, or was silent for too long.
	Gone bool
	// Lag is how many events it has not read, by partition of the saga's events topic; nil: not known.
	Lag map[int32]int64
	// OutboxEntries wait to be published, the oldest since OutboxOldest.
	OutboxEntries int64
	OutboxOldest  time.Time
	// Waiting are rows of this saga that wait in its database.
	Waiting []WaitingRow
}

// WaitingRow is a step of a saga that waits in its owner's database.
type WaitingRow struct {
	Saga, ID, Step string
	State          choreo.RowState
	Attempt        int
	DueAt          time.Time // of the next attempt; zero: none is planned
	Since          time.Time
	Error          *Error
}

// Verdict says in a sentence where a saga stands and what it waits for.
type Verdict struct {
	Sentence string `json:"sentence"`
	Why      Why    `json:"why"`
}

// Reason is what a saga waits for, for programs.
type Reason string

// The reasons of a [Why].
const (
	ReasonEnded     Reason = "ended"      // nothing is to come
	ReasonUnknown   Reason = "unknown"    // nobody has published the definition
	ReasonStuck     Reason = "stuck"      // a step is out of its retries
	ReasonParked    Reason = "parked"     // a service cannot go on with it
	ReasonRetrying  Reason = "retrying"   // a step failed and is tried again
	ReasonPending   Reason = "pending"    // somebody else has to answer a step
	ReasonGone      Reason = "gone"       // the service does not run
	ReasonLag       Reason = "lag"        // the service has not read so far
	ReasonOutbox    Reason = "outbox"     // the service's answer is not published
	ReasonRunning   Reason = "running"    // a step is being run
	ReasonArbiter   Reason = "cancelling" // an abort waits for its answer
	ReasonOtherStep Reason = "waiting"    // nothing is ready, others have to settle first
)

// Why is the machine form of a [Verdict].
type Why struct {
	Reason    Reason     `json:"reason"`
	Step      string     `json:"step,omitempty"`
	Service   string     `json:"service,omitempty"`
	Run       choreo.Run `json:"run,omitempty"`
	Partition int32      `json:"partition"`
	Since     *time.Time `json:"since,omitempty"`
	Cause     *Error     `json:"cause,omitempty"`
	Attempt   int        `json:"attempt,omitempty"`
	Due       *time.Time `json:"due,omitempty"`
	LagEvents int64      `json:"lag_events,omitempty"`
}
