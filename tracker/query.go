package tracker

import (
	"context"
	"errors"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Filter chooses sagas. A field left zero chooses all; several values of one field choose what
// has any of them; several fields choose what has all.
type Filter struct {
	Sagas    []string
	Versions []int
	Statuses []choreo.Status
	// Steps chooses sagas that wait for, or are stuck at, one of these steps: it is among those
	// that are ready in Snapshot.Next, or it is stuck or could not be undone.
	Steps []string
	// Services chooses sagas that wait for one of these services, since it owns such a step, or
	// are parked by it.
	Services []string
	// Codes chooses by the code of the cause, of a stuck step's error, or of a parking's.
	Codes []string
	// StartedFrom and StartedTo bound the start, the latter not included; UpdatedTo the last change.
	StartedFrom, StartedTo, UpdatedTo time.Time
	// Search chooses by a part of the id or of a tag's value, or by a whole tag as "name=value".
	// It does not tell capitals from small letters.
	Search string
}

// Order is by what a list is sorted. Sagas that are equal in it are sorted by name and id, byte
// by byte. A descending list is turned around in this, too.
type Order string

// The orders.
const (
	ByStarted Order = "started"
	ByUpdated Order = "updated"
	ByEnded   Order = "ended" // those that have not ended come last, in either direction
)

// Query asks for one page of a list.
type Query struct {
	Filter
	Order      Order // default: ByStarted
	Descending bool
	Limit      int    // of the page; default: 50, at most 1000
	After      string // Page.Next of the page before, opaque; empty: the first page
}

// Page is one page of a list.
type Page struct {
	Sagas []*Snapshot
	Next  string // empty on the last page
}

// Group is by what sagas are counted.
type Group string

// The groups.
const (
	GroupStatus  Group = "status"
	GroupSaga    Group = "saga"
	GroupVersion Group = "version" // saga and version, as "order/2"
	GroupStep    Group = "step"    // the steps that are ready or stuck, as "order/2/charge-payment"; a saga may count at several
	GroupService Group = "service" // that it waits for; a saga may count at several
	GroupCode    Group = "code"    // of the cause, the stuck step or the parking
)

// Count is how many sagas fall into one group.
type Count struct {
	Key   string `json:"key"`
	Count int64  `json:"count"`
	// Oldest is the start of the oldest of them that has not ended.
	Oldest *time.Time `json:"oldest,omitempty"`
}

// Errors of a [Model].
var (
	ErrNotFound  = errors.New("no such saga")
	ErrBadCursor = errors.New("the cursor does not fit the query: ask for the first page again")
)

// Model is a read model: it keeps snapshots and answers queries. It is safe for concurrent use.
// Several trackers may share one that is a database. One conformance suite holds for all.
type Model interface {
	// Put stores snapshots and, in the same transaction where there are some, up to which offset
	// each partition of a topic is folded in. A snapshot whose offset is not above that of the
	// one that is there changes nothing; but one whose definition is known takes the place of
	// one that is Unknown, whatever their offsets.
	Put(ctx context.Context, snapshots []*Snapshot, positions []Position) error
	// Positions returns where the topic's partitions stand.
	Positions(ctx context.Context, topic string) ([]Position, error)
	// Get returns a saga. The error wraps [ErrNotFound].
	Get(ctx context.Context, saga, id string) (*Snapshot, error)
	// List returns a page. The error wraps [ErrBadCursor] where After is none of this query's.
	List(ctx context.Context, q Query) (Page, error)
	// Count counts what a filter chooses, by group, the largest first. With an empty group there
	// is one count with the key "".
	Count(ctx context.Context, f Filter, by Group) ([]Count, error)
	// Forget removes sagas that ended before, and returns how many.
	Forget(ctx context.Context, endedBefore time.Time) (int64, error)
	// Close releases what the model holds.
	Close() error
}

// Position is up to where a partition of an events topic is folded in.
type Position struct {
	Topic     string
	Partition int32
	Next      int64 // the offset to read on from
}
