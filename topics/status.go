package topics

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Status is how one process of a service stands, as it tells every while in the topic
// [Names.Participants]. It is for people and for what shows them sagas: no participant reads
// it. Fields may be added, none changes its meaning.
type Status struct {
	Service   string    `json:"service"`
	Instance  string    `json:"instance"` // of the process: another one each time it starts
	Build     string    `json:"build,omitempty"`
	StartedAt time.Time `json:"started_at"`
	At        time.Time `json:"at"` // of this status, on the process's clock
	// EverySeconds is after how long the next one follows: a process that has been silent for
	// several times that is gone.
	EverySeconds float64 `json:"every_seconds"`
	// Stopping is set in the last one of a process that stops by itself.
	Stopping bool `json:"stopping,omitempty"`
	// Partitions is how many are assigned to the process, over all sagas.
	Partitions int `json:"partitions"`
	// ReadError is why the process cannot read its log now.
	ReadError string `json:"read_error,omitempty"`
	// StoreError is why what follows, which all processes of a service have in common, is
	// missing: the database did not answer in time.
	StoreError string       `json:"store_error,omitempty"`
	Outbox     StatusOutbox `json:"outbox"`
	Parked     int          `json:"parked"`           // sagas; counted up to [StatusCounted]
	Open       int          `json:"open,omitempty"`   // sagas that it has started and that have not closed; the same
	Queued     int          `json:"queued,omitempty"` // sagas that wait for their start; the same
	Waiting    []StatusRow  `json:"waiting,omitempty"`
}

// StatusCounted is up to where a [Status] counts.
const StatusCounted = 10_000

// StatusOutbox is what a service has committed and not yet written to the log.
type StatusOutbox struct {
	Entries  int        `json:"entries"`
	OldestAt *time.Time `json:"oldest_at,omitempty"`
}

// StatusRow is a step, or a parked saga, that waits for something else than the next event.
type StatusRow struct {
	Saga    string          `json:"saga"`
	Version int             `json:"version,omitempty"` // 0: not known
	ID      string          `json:"id"`
	Step    string          `json:"step,omitempty"` // empty: the service has parked the saga
	State   choreo.RowState `json:"state"`          // retrying, pending, undoing, undo-failed, parked
	Stuck   bool            `json:"stuck,omitempty"`
	Attempt int             `json:"attempt,omitempty"`
	DueAt   *time.Time      `json:"due_at,omitempty"` // of the next attempt
	Since   time.Time       `json:"since"`            // when the row was written last
	Error   *StatusError    `json:"error,omitempty"`
}

// StatusError is why a step has not gone on.
type StatusError struct {
	Class   choreo.Class `json:"class,omitempty"`
	Code    string       `json:"code,omitempty"`
	Message string       `json:"message,omitempty"`
}

// Key returns the key of the record in which the status stands.
func (s *Status) Key() string { return s.Service + "/" + s.Instance }

// EncodeStatus returns the record of a status.
func EncodeStatus(s *Status, topic string) (choreo.Record, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return choreo.Record{}, fmt.Errorf("topics: status of %s: %w", s.Key(), err)
	}
	return choreo.Record{
		Topic: topic, Partition: choreo.AnyPartition, Key: []byte(s.Key()), Value: value,
		Headers: []choreo.Header{{Key: hContentType, Value: []byte("application/json")}},
	}, nil
}

// DecodeStatus reads a status from a record.
func DecodeStatus(rec *choreo.Record) (*Status, error) {
	var s Status
	err := json.Unmarshal(rec.Value, &s)
	if err == nil && s.Key() != string(rec.Key) {
		err = fmt.Errorf("its key is %.80q, and it is that of %.80q", rec.Key, s.Key())
	}
	if err == nil && (!isText(s.Service) || !isText(s.Instance) || s.Service == "" || s.Instance == "") {
		err = errors.New("service and instance are not named")
	}
	if err != nil {
		return nil, fmt.Errorf("topics: record %s/%d/%d is not a participant's status: %w", rec.Topic, rec.Partition, rec.Offset, err)
	}
	return &s, nil
}
