package memory

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// chosen is a filter as the columns are asked: which classes, which times, which rows.
type chosen struct {
	*facts.Filter
	classes []bool
	found   []uint64 // nil: no search
}

func (m *Model) choose(f *facts.Filter) chosen {
	c := chosen{Filter: f, classes: make([]bool, len(m.classes.all))}
	ofClass := *f
	ofClass.HasFrom, ofClass.HasTo, ofClass.HasUntil, ofClass.Search, ofClass.From = false, false, false, "", math.MinInt64
	for id, k := range m.classes.all {
		c.classes[id] = k.count > 0 && ofClass.Match(&k.facts)
	}
	if f.Search != "" {
		c.found = m.texts.find(f.Search, len(m.columns.class))
	}
	return c
}

func (m *Model) has(c *chosen, row int) bool {
	return c.classes[m.columns.class[row]] &&
		m.columns.started[row] >= c.From && (!c.HasTo || m.columns.started[row] < c.To) &&
		(!c.HasUntil || m.columns.updated[row] < c.UpdatedTo) &&
		(c.found == nil || c.found[row/64]&(1<<(row%64)) != 0)
}

// item is a row and the time by which it is sorted.
type item struct {
	at  int64
	row uint32
}

// List implements [tracker.Model].
func (m *Model) List(ctx context.Context, query tracker.Query) (tracker.Page, error) {
	q, err := facts.NewQuery(&query)
	if err != nil {
		return tracker.Page{}, fmt.Errorf("memory: list: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check(ctx); err != nil {
		return tracker.Page{}, err
	}
	column := m.columns.started
	switch q.Order {
	case tracker.ByUpdated:
		column = m.columns.updated
	case tracker.ByEnded:
		column = m.columns.ended
	case tracker.ByStarted:
	}
	return m.page(q, m.top(q, column))
}

func (m *Model) key(it item) facts.Key {
	return facts.Key{Time: it.at, Saga: m.classes.all[m.columns.class[it.row]].facts.Saga, ID: m.columns.ids[it.row]}
}

// top returns the first rows after the cursor, one more than the page holds.
func (m *Model) top(q *facts.Query, column []int64) []item {
	c := m.choose(q.Filter)
	descends := func(at int64) bool { return q.Descending && at != facts.Open }
	sooner := func(a, b int64) bool { // that the times alone decide it
		if descends(a) && descends(b) {
			return a > b
		}
		return a < b
	}
	compare := func(a, b item) int {
		switch {
		case a.at == b.at:
			return q.Compare(m.key(a), m.key(b))
		case sooner(a.at, b.at):
			return -1
		}
		return 1
	}
	wanted := q.Limit + 1
	best := make([]item, 0, 4*wanted)
	var last int64
	full := false
	for i := range column {
		row := i
		if q.Descending { // rows are mostly in the order of their start: the best come first
			row = len(column) - 1 - i
		}
		if !m.has(&c, row) {
			continue
		}
		it := item{at: column[row], row: uint32(row)}
		if full && sooner(last, it.at) || q.After != nil && !m.isAfter(q, it, sooner) {
			continue
		}
		if best = append(best, it); len(best) == cap(best) {
			slices.SortFunc(best, compare)
			best = best[:wanted]
			last, full = best[wanted-1].at, true
		}
	}
	slices.SortFunc(best, compare)
	return best[:min(len(best), wanted)]
}

func (m *Model) isAfter(q *facts.Query, it item, sooner func(a, b int64) bool) bool {
	if it.at == q.After.Time {
		return q.Compare(m.key(it), *q.After) > 0
	}
	return sooner(q.After.Time, it.at)
}

func (m *Model) page(q *facts.Query, top []item) (page tracker.Page, err error) {
	for i, it := range top {
		if i == q.Limit {
			page.Next, err = q.Cursor(m.key(top[i-1]))
			return page, err
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
func (m *Model) Count(ctx context.Context, filter tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	f, err := facts.NewFilter(&filter)
	if err == nil {
		err = facts.CheckGroup(by)
	}
	if err != nil {
		return nil, fmt.Errorf("memory: count: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check(ctx); err != nil {
		return nil, err
	}
	c := m.choose(f)
	counts, oldest := make([]int64, len(m.classes.all)), make([]int64, len(m.classes.all))
	for i := range oldest {
		oldest[i] = facts.Open
	}
	for row, class := range m.columns.class {
		if !m.has(&c, row) {
			continue
		}
		counts[class]++
		if m.columns.ended[row] == facts.Open {
			oldest[class] = min(oldest[class], m.columns.started[row])
		}
	}
	counter := facts.NewCounter(by)
	for id, n := range counts {
		if n == 0 {
			continue
		}
		for _, key := range m.classes.all[id].facts.Keys(by) {
			counter.Add(key, n, oldest[id])
		}
	}
	return counter.Counts(), nil
}
