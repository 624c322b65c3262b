package redis

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

const (
	// few is up to how many sagas of one condition are read and sorted for one page.
	few = 1000
	// chunk bounds what is read in one round trip.
	chunk = 500
)

// List returns a page.
func (m *Model) List(ctx context.Context, q tracker.Query) (tracker.Page, error) {
	query, err := facts.NewQuery(&q)
	if err != nil {
		return tracker.Page{}, fail("list", err)
	}
	page, err := m.list(ctx, query)
	if err != nil {
		return tracker.Page{}, fail("list", err)
	}
	return page, nil
}

func (m *Model) list(ctx context.Context, query *facts.Query) (tracker.Page, error) {
	var page tracker.Page
	var last facts.Key
	more := false
	err := m.walk(ctx, query, query.Limit+1, func(s *tracker.Snapshot, f *facts.Facts) bool {
		if more = len(page.Sagas) == query.Limit; more {
			return false
		}
		page.Sagas, last = append(page.Sagas, s), query.Key(f)
		return true
	})
	if err == nil && more {
		page.Next, err = query.Cursor(last)
	}
	return page, err
}

// walk hands over what the query chooses, in its order, until yield has had enough. wanted is how many
// that will be, as a guess.
func (m *Model) walk(ctx context.Context, query *facts.Query, wanted int, yield func(*tracker.Snapshot, *facts.Facts) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	best, size, err := m.best(ctx, query.Filter)
	if err != nil {
		return err
	}
	ordered := query.Order == tracker.ByStarted || query.Order == tracker.ByUpdated && best != nil && best.updated
	if best != nil && !ordered && size <= few {
		return m.sorted(ctx, query, best, yield)
	}
	after := query.After
	for n := min(wanted, chunk); ; n = min(2*n, chunk) {
		keys, err := m.next(ctx, query, best, after, n)
		if err != nil || len(keys) == 0 {
			return err
		}
		after = &keys[len(keys)-1]
		snapshots, err := m.fetch(ctx, keys)
		if err != nil {
			return err
		}
		for i, s := range snapshots {
			if s == nil {
				continue
			}
			f, err := facts.Of(s)
			if err != nil {
				return err
			}
			// One that has moved since comes, or came, at its new place.
			if query.Key(&f) == keys[i] && query.Match(&f) && !yield(s, &f) {
				return nil
			}
		}
	}
}

// best returns the condition that chooses the fewest sagas, and how many; nil where no condition
// has sets.
func (m *Model) best(ctx context.Context, f *facts.Filter) (best *condition, size int64, err error) {
	var choices []condition
	for _, c := range []condition{
		{ofSaga, f.Sagas, false}, {ofStatus, f.Statuses, true}, {ofStep, f.Steps, true}, {ofService, f.Services, true}, {ofCode, f.Codes, true},
	} {
		if c.values != nil {
			choices = append(choices, c)
		}
	}
	if len(choices) == 0 {
		return nil, 0, nil
	}
	sizes := make([][]*redis.IntCmd, len(choices))
	var format *redis.SliceCmd
	commands := func(p redis.Pipeliner) error {
		format = p.MGet(ctx, m.prefix+"format")
		for i := range choices {
			for _, key := range choices[i].keys(m.prefix + byStart) {
				sizes[i] = append(sizes[i], p.ZCard(ctx, key))
			}
		}
		return nil
	}
	if _, err = m.client.Pipelined(ctx, commands); err != nil {
		return nil, 0, err
	}
	for i := range choices {
		var sum int64
		for _, n := range sizes[i] {
			sum += n.Val()
		}
		if best == nil || sum < size {
			best, size = &choices[i], sum
		}
	}
	best.updated = best.updated && current(format)
	return best, size, nil
}

// sorted reads all sagas of the condition's sets, and sorts them.
func (m *Model) sorted(ctx context.Context, query *facts.Query, c *condition, yield func(*tracker.Snapshot, *facts.Facts) bool) error {
	started := &facts.Query{Filter: query.Filter, Order: tracker.ByStarted}
	var after *facts.Key
	type found struct {
		snapshot *tracker.Snapshot
		facts    facts.Facts
	}
	var list []found
	for {
		keys, err := m.next(ctx, started, c, after, chunk)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		after = &keys[len(keys)-1]
		snapshots, err := m.fetch(ctx, keys)
		if err != nil {
			return err
		}
		for _, s := range snapshots {
			if s == nil {
				continue
			}
			f, err := facts.Of(s)
			if err != nil {
				return err
			}
			if query.Match(&f) && (query.After == nil || query.Compare(query.Key(&f), *query.After) > 0) {
				list = append(list, found{s, f})
			}
		}
	}
	slices.SortFunc(list, func(a, b found) int { return query.Compare(query.Key(&a.facts), query.Key(&b.facts)) })
	for i := range list {
		if !yield(list[i].snapshot, &list[i].facts) {
			break
		}
	}
	return nil
}
