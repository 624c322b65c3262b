package tracker

import (
	_ "embed"
	"encoding/json"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// The tracker topic holds three kinds of records. A saga's snapshot has the saga's id as its key,
// and no value once it is forgotten. The other two are for the tracker alone; their keys begin
// with a byte that no saga's id can begin with.
const (
	reserved    = "\x00"
	positionKey = reserved + "position"
	beforeKey   = reserved + "before-start/" // and the saga's id
)

// IsSnapshotKey reports whether a record of a tracker topic is a saga's snapshot, and not one that the
// tracker keeps for itself.
func IsSnapshotKey(key []byte) bool { return !strings.HasPrefix(string(key), reserved) }

// JSONSchema returns the JSON Schema of the values of the tracker topic: of a [Snapshot] as JSON.
func JSONSchema() string { return snapshotSchema }

//go:embed snapshot.schema.json
var snapshotSchema string

// positionValue says up to where all events of a partition are in the snapshots before it in the
// tracker topic's partition of the same number.
type positionValue struct {
	Position struct {
		Partition int32 `json:"partition"`
		Next      int64 `json:"next"`
	} `json:"position"`
}

// beforeValue are the events of a saga that stand before its start, as far as they count.
type beforeValue struct {
	BeforeStart []beforeEvent `json:"before_start"`
}

type beforeEvent struct {
	Type    choreo.EventType `json:"type"`
	ID      string           `json:"id"`
	Source  string           `json:"source"`
	Time    time.Time        `json:"time"`
	Offset  int64            `json:"offset"`
	Force   bool             `json:"force,omitempty"`
	By      string           `json:"by,omitempty"`
	Note    string           `json:"note,omitempty"`
	Failure *Error           `json:"error,omitempty"`
}

func beforeOf(events []*choreo.Event) ([]byte, error) {
	var v beforeValue
	for _, ev := range events {
		v.BeforeStart = append(v.BeforeStart, beforeEvent{
			Type: ev.Type, ID: ev.ID, Source: ev.Source, Time: ev.Time, Offset: ev.Offset,
			Force: ev.Force, By: ev.By, Note: ev.Note, Failure: errorOf(ev.Failure),
		})
	}
	return json.Marshal(v)
}

func (v *beforeValue) events(saga, id string, partition int32) []*choreo.Event {
	events := make([]*choreo.Event, len(v.BeforeStart))
	for i, b := range v.BeforeStart {
		events[i] = &choreo.Event{
			Type: b.Type, ID: b.ID, Source: b.Source, Time: b.Time, Saga: saga, SagaID: id,
			Force: b.Force, By: b.By, Note: b.Note, Failure: failureOf(b.Failure), Partition: partition, Offset: b.Offset,
		}
	}
	return events
}
