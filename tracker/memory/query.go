package memory

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/tracker"
)

// chosen is a filter as the columns are asked: which classes, which times, which rows.
type chosen struct {
	classes   []bool
	from, to  int64 // of the start
	updatedTo int64
	found     []uint64 // nil: no search
}

func (m *Model) choose(f *tracker.Filter) chosen {
	c := chosen{classes: make([]bool, len(m.classes.all)), from: math.MinInt64, to: math.MaxInt64, updatedTo: math.MaxInt64}
	has := func(wanted, names []string) bool {
		return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(names, w) })
	}
	for id, k := range m.classes.all {
		c.classes[id] = k.count > 0 &&
			(len(f.Sagas) == 0 || slices.Contains(f.Sagas, k.saga)) &&
			(len(f.Versions) == 0 || slices.Contains(f.Versions, k.version)) &&
			(len(f.Statuses) == 0 || slices.Contains(f.Statuses, k.status)) &&
			has(f.Steps, k.steps) && has(f.Services, k.services) && has(f.Codes, k.codes)
	}
	if !f.StartedFrom.IsZero() {
		c.from = nanos(f.StartedFrom)
	}
	if !f.StartedTo.IsZero() {
		c.to = nanos(f.StartedTo)
	}
	if !f.UpdatedTo.IsZero() {
		c.updatedTo = nanos(f.UpdatedTo)
	}
	if f.Search != "" {
		c.found = m.texts.find(f.Search, len(m.columns.class))
	}
	return c
}

func (m *Model) has(c *chosen, row int) bool {
	return c.classes[m.columns.class[row]] &&
		m.columns.started[row] >= c.from && m.columns.started[row] < c.to && m.columns.updated[row] < c.updatedTo &&
		(c.found == nil || c.found[row/64]&(1<<(row%64)) != 0)
}

// cursor is the last saga of the page before.
type cursor struct {
	Order      tracker.Order `json:"o"`
	Descending bool          `json:"d,omitempty"`
	At         int64         `json:"t"`
	Saga       string        `json:"s"`
	ID         string        `json:"i"`
}

// item is a row and its key, turned over where the order is descending.
type item struct {
	at  int64
	row uint32
}

// List implements [tracker.Model].
func (m *Model) List(_ context.Context, q tracker.Query) (tracker.Page, error) {
	if q.Order == "" {
		q.Order = tracker.ByStarted
	}
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 1000)
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return tracker.Page{}, ErrClosed
	}
	var column []int64
	switch q.Order {
	case tracker.ByStarted:
		column = m.columns.started
	case tracker.ByUpdated:
		column = m.columns.updated
	case tracker.ByEnded:
		column = m.columns.ended
	default:
		return tracker.Page{}, fmt.Errorf("memory: order %q: use %q, %q or %q", q.Order, tracker.ByStarted, tracker.ByUpdated, tracker.ByEnded)
	}
	after := cursor{Order: q.Order, Descending: q.Descending}
	if q.After != "" {
		data, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || json.Unmarshal(data, &after) != nil || after.Order != q.Order || after.Descending != q.Descending || after.ID == "" {
			return tracker.Page{}, fmt.Errorf("memory: list: %w", tracker.ErrBadCursor)
		}
	}
	return m.page(&q, m.top(&q, column, &after))
}

// top returns the first rows after the cursor, one more than the page holds.
func (m *Model) top(q *tracker.Query, column []int64, after *cursor) []item {
	c := m.choose(&q.Filter)
	compare := func(a, b item) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		return cmp.Or(strings.Compare(m.sagaOf(a.row), m.sagaOf(b.row)), strings.Compare(m.columns.ids[a.row], m.columns.ids[b.row]))
	}
	wanted := q.Limit + 1
	best := make([]item, 0, 4*wanted)
	last := item{at: math.MaxInt64}
	full := false
	for i := range column {
		row := i
		if q.Descending { // rows are mostly in the order of their start: the best come first
			row = len(column) - 1 - i
		}
		if !m.has(&c, row) {
			continue
		}
		it := item{at: turned(column[row], q.Descending), row: uint32(row)}
		if full && it.at > last.at || q.After != "" && !m.isAfter(it, after) {
			continue
		}
		if best = append(best, it); len(best) == cap(best) {
			slices.SortFunc(best, compare)
			best = best[:wanted]
			last, full = best[wanted-1], true
		}
	}
	slices.SortFunc(best, compare)
	return best[:min(len(best), wanted)]
}

// turned makes what is greater less, but for sagas that have not ended.
func turned(at int64, descending bool) int64 {
	if descending && at != notEnded {
		return ^at
	}
	return at
}

func (m *Model) isAfter(it item, after *cursor) bool {
	if it.at != after.At {
		return it.at > after.At
	}
	return cmp.Or(strings.Compare(m.sagaOf(it.row), after.Saga), strings.Compare(m.columns.ids[it.row], after.ID)) > 0
}

func (m *Model) sagaOf(row uint32) string { return m.classes.all[m.columns.class[row]].saga }

func (m *Model) page(q *tracker.Query, top []item) (tracker.Page, error) {
	var page tracker.Page
	for i, it := range top {
		if i == q.Limit {
			last := top[i-1]
			data, err := json.Marshal(cursor{
				Order: q.Order, Descending: q.Descending, At: last.at, Saga: m.sagaOf(last.row), ID: m.columns.ids[last.row],
			})
			if err != nil {
				return tracker.Page{}, fmt.Errorf("memory: list: %w", err)
			}
			page.Next = base64.RawURLEncoding.EncodeToString(data)
			break
		}
		s, err := m.packer.Unpack(m.columns.ids[it.row], m.columns.packed[it.row])
		if err != nil {
			return tracker.Page{}, err
		}
		page.Sagas = append(page.Sagas, s)
	}
	return page, nil
}

// Count implements [tracker.Model].
func (m *Model) Count(_ context.Context, f tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
	}
	if !slices.Contains([]tracker.Group{
		"", tracker.GroupStatus, tracker.GroupSaga, tracker.GroupVersion, tracker.GroupStep, tracker.GroupService, tracker.GroupCode,
	}, by) {
		return nil, fmt.Errorf("memory: group %q: use status, saga, version, step, service or code", by)
	}
	c := m.choose(&f)
	counts, oldest := make([]int64, len(m.classes.all)), make([]uint32, len(m.classes.all))
	for row, class := range m.columns.class {
		if !m.has(&c, row) {
			continue
		}
		counts[class]++
		if m.columns.ended[row] == notEnded && (oldest[class] == 0 || m.columns.started[row] < m.columns.started[oldest[class]-1]) {
			oldest[class] = uint32(row) + 1
		}
	}
	sums := map[string]*tracker.Count{}
	for id, n := range counts {
		if n == 0 {
			continue
		}
		for _, name := range m.classes.all[id].groups(by) {
			sum := sums[name]
			if sum == nil {
				sum = &tracker.Count{Key: name}
				sums[name] = sum
			}
			sum.Count += n
			if oldest[id] == 0 {
				continue
			}
			if at := time.Unix(0, m.columns.started[oldest[id]-1]).UTC(); sum.Oldest == nil || at.Before(*sum.Oldest) {
				sum.Oldest = &at
			}
		}
	}
	list := make([]tracker.Count, 0, len(sums))
	for _, sum := range sums {
		list = append(list, *sum)
	}
	if by == "" && len(list) == 0 {
		list = append(list, tracker.Count{})
	}
	slices.SortFunc(list, func(a, b tracker.Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Key, b.Key))
	})
	return list, nil
}

// groups returns the keys under which a class counts.
func (k *class) groups(by tracker.Group) []string {
	version := func() string { return k.saga + "/" + strconv.Itoa(k.version) }
	switch by {
	case tracker.GroupStatus:
		return []string{string(k.status)}
	case tracker.GroupSaga:
		return []string{k.saga}
	case tracker.GroupVersion:
		return []string{version()}
	case tracker.GroupStep:
		names := make([]string, len(k.steps))
		for i := range k.steps {
			names[i] = version() + "/" + k.steps[i]
		}
		return names
	case tracker.GroupService:
		return k.services
	case tracker.GroupCode:
		return k.codes
	}
	return []string{""}
}
