package facts

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/tracker"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
	// maxValues bounds the values of one field of a filter: databases bound the parameters of a statement.
	maxValues = 1000
)

// Filter is the checked form of a tracker.Filter. A list that is nil chooses all; one that is
// empty, nothing.
type Filter struct {
	Sagas, Statuses          []string
	Versions                 []int
	Steps, Services, Codes   []string
	From, To, UpdatedTo      int64 // all that there is: MinInt64, MaxInt64, MaxInt64
	HasFrom, HasTo, HasUntil bool
	Search                   string // in small letters
}

// NewFilter checks a filter.
func NewFilter(f *tracker.Filter) (*Filter, error) {
	statuses := make([]string, len(f.Statuses))
	for i, s := range f.Statuses {
		statuses[i] = string(s)
	}
	var faults []error
	few := func(field string, n int) {
		if n > maxValues {
			faults = append(faults, fmt.Errorf("Filter.%s has %d values: use at most %d", field, n, maxValues))
		}
	}
	few("Sagas", len(f.Sagas))
	few("Versions", len(f.Versions))
	few("Statuses", len(f.Statuses))
	few("Steps", len(f.Steps))
	few("Services", len(f.Services))
	few("Codes", len(f.Codes))
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	out := &Filter{
		Sagas: set(f.Sagas), Statuses: set(statuses), Steps: set(f.Steps), Services: set(f.Services), Codes: set(f.Codes),
		From: math.MinInt64, To: math.MaxInt64, UpdatedTo: math.MaxInt64, Search: lower(f.Search),
	}
	if len(f.Versions) > 0 {
		out.Versions = slices.Compact(slices.Sorted(slices.Values(f.Versions)))
	}
	bound := func(t time.Time, to *int64, has *bool) {
		if !t.IsZero() {
			*to, *has = Nanos(t), true
		}
	}
	bound(f.StartedFrom, &out.From, &out.HasFrom)
	bound(f.StartedTo, &out.To, &out.HasTo)
	bound(f.UpdatedTo, &out.UpdatedTo, &out.HasUntil)
	return out, nil
}

// Parts returns what Facts.Parts must contain for the search, and Tags, what Facts.Tags must.
func (f *Filter) Parts() string { return f.Search }

// Tags is the other half of Parts.
func (f *Filter) Tags() string { return mark + f.Search + mark }

// All reports whether the filter chooses all sagas.
func (f *Filter) All() bool {
	return f.Sagas == nil && f.Statuses == nil && f.Versions == nil && f.Steps == nil && f.Services == nil && f.Codes == nil &&
		!f.HasFrom && !f.HasTo && !f.HasUntil && f.Search == ""
}

// Timeless reports whether the filter asks for nothing that is each saga's own: a time, or what a
// search finds.
func (f *Filter) Timeless() bool { return !f.HasFrom && !f.HasTo && !f.HasUntil && f.Search == "" }

// Match reports whether the filter chooses a saga.
func (f *Filter) Match(s *Facts) bool {
	return one(f.Sagas, s.Saga) && one(f.Statuses, s.Status) &&
		(f.Versions == nil || slices.Contains(f.Versions, s.Version)) &&
		anyOf(f.Steps, s.Steps) && anyOf(f.Services, s.Services) && anyOf(f.Codes, s.Codes) &&
		s.Started >= f.From && (!f.HasTo || s.Started < f.To) && (!f.HasUntil || s.Updated < f.UpdatedTo) &&
		(f.Search == "" || strings.Contains(s.Parts, f.Parts()) || strings.Contains(s.Tags, f.Tags()))
}

func one(chosen []string, has string) bool { return chosen == nil || slices.Contains(chosen, has) }

func anyOf(chosen, has []string) bool {
	return chosen == nil || slices.ContainsFunc(has, func(h string) bool { return slices.Contains(chosen, h) })
}

// Query is the checked form of a tracker.Query.
type Query struct {
	*Filter
	Order      tracker.Order
	Descending bool
	Limit      int
	After      *Key // nil: from the start

	sum [8]byte
}

// Key is the place of a saga in an order: of the time that the order is by, then name and id.
type Key struct {
	Time     int64  `json:"t"`
	Saga, ID string `json:",omitempty"`
}

// Key returns the saga's place in the query's order.
func (q *Query) Key(f *Facts) Key {
	k := Key{Time: f.Started, Saga: f.Saga, ID: f.ID}
	switch q.Order {
	case tracker.ByUpdated:
		k.Time = f.Updated
	case tracker.ByEnded:
		k.Time = f.Ended
	case tracker.ByStarted:
	}
	return k
}

// Compare says which of two places comes first in the query's order.
func (q *Query) Compare(a, b Key) int {
	if q.Order == tracker.ByEnded && (a.Time == Open) != (b.Time == Open) {
		return cmp.Compare(a.Time, b.Time) // in either direction
	}
	c := cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Saga, b.Saga), cmp.Compare(a.ID, b.ID))
	if q.Descending {
		return -c
	}
	return c
}

// cursor is what tracker.Page.Next holds.
type cursor struct {
	Sum []byte `json:"q"` // of the query that it belongs to
	Key
}

// NewQuery checks a query.
func NewQuery(q *tracker.Query) (*Query, error) {
	filter, err := NewFilter(&q.Filter)
	if err != nil {
		return nil, err
	}
	out := &Query{
		Filter: filter, Order: cmp.Or(q.Order, tracker.ByStarted), Descending: q.Descending,
		Limit: min(cmp.Or(q.Limit, defaultLimit), maxLimit),
	}
	switch {
	case out.Order != tracker.ByStarted && out.Order != tracker.ByUpdated && out.Order != tracker.ByEnded:
		return nil, fmt.Errorf("Query.Order is %q: use %s, %s or %s", q.Order, tracker.ByStarted, tracker.ByUpdated, tracker.ByEnded)
	case q.Limit < 0:
		return nil, fmt.Errorf("Query.Limit is %d: use 1 to %d, or 0 for %d", q.Limit, maxLimit, defaultLimit)
	}
	text, err := json.Marshal(struct {
		Filter     *Filter
		Order      tracker.Order
		Descending bool
	}{filter, out.Order, out.Descending})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	copy(out.sum[:], sum[:])
	if q.After != "" {
		out.After, err = out.parse(q.After)
	}
	return out, err
}

// Cursor returns the cursor that goes on behind a place.
func (q *Query) Cursor(k Key) (string, error) {
	data, err := json.Marshal(cursor{Sum: q.sum[:], Key: k})
	return base64.RawURLEncoding.EncodeToString(data), err
}

func (q *Query) parse(text string) (*Key, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	var c cursor
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil || !bytes.Equal(c.Sum, q.sum[:]) {
		return nil, tracker.ErrBadCursor
	}
	return &c.Key, nil
}

// CheckGroup returns an error for a group that there is not.
func CheckGroup(by tracker.Group) error {
	switch by {
	case "", tracker.GroupStatus, tracker.GroupSaga, tracker.GroupVersion, tracker.GroupStep, tracker.GroupService, tracker.GroupCode:
		return nil
	}
	return fmt.Errorf("sagas are not counted by %q: use %s, %s, %s, %s, %s or %s", by, tracker.GroupStatus, tracker.GroupSaga,
		tracker.GroupVersion, tracker.GroupStep, tracker.GroupService, tracker.GroupCode)
}

// Counter adds sagas up by group.
type Counter struct {
	by     tracker.Group
	counts map[string]*tally
}

type tally struct{ count, oldest int64 }

// NewCounter returns a counter without sagas.
func NewCounter(by tracker.Group) *Counter {
	c := &Counter{by: by, counts: make(map[string]*tally)}
	if by == "" {
		c.Add("", 0, Open)
	}
	return c
}

// Saga counts one saga.
func (c *Counter) Saga(f *Facts) {
	oldest := int64(Open)
	if f.Ended == Open {
		oldest = f.Started
	}
	c.Class(f, 1, oldest)
}

// Class counts so many sagas that have the facts of a class. oldest is Open where none of them is open.
func (c *Counter) Class(f *Facts, count, oldest int64) {
	for _, key := range f.Keys(c.by) {
		c.Add(key, count, oldest)
	}
}

// Add adds sagas with a key. oldest is Open where none of them is open.
func (c *Counter) Add(key string, count, oldest int64) {
	t := c.counts[key]
	if t == nil {
		t = &tally{oldest: Open}
		c.counts[key] = t
	}
	t.count += count
	t.oldest = min(t.oldest, oldest)
}

// Counts returns the counts, the largest first.
func (c *Counter) Counts() []tracker.Count {
	list := make([]tracker.Count, 0, len(c.counts))
	for key, t := range c.counts {
		count := tracker.Count{Key: key, Count: t.count}
		if t.oldest != Open {
			at := instant(t.oldest)
			count.Oldest = &at
		}
		list = append(list, count)
	}
	slices.SortFunc(list, func(a, b tracker.Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key))
	})
	return list
}

// instant is the inverse of Nanos; an instant before all is the zero one.
func instant(nanos int64) time.Time {
	if nanos == math.MinInt64 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
