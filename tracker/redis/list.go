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
	few = 5000
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

// Count counts what a filter chooses: from the sets' sizes without a filter, else saga by saga.
func (m *Model) Count(ctx context.Context, f tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	query, err := facts.NewQuery(&tracker.Query{Filter: f})
	if err == nil {
		err = facts.CheckGroup(by)
	}
	counter := facts.NewCounter(by)
	switch {
	case err != nil:
	case query.Filter.All():
		err = m.sizes(ctx, by, counter)
	default:
		err = m.walk(ctx, query, chunk, func(_ *tracker.Snapshot, f *facts.Facts) bool {
			counter.Saga(f)
			return true
		})
	}
	if err != nil {
		return nil, fail("count", err)
	}
	return counter.Counts(), nil
}

// sizes counts without a filter.
func (m *Model) sizes(ctx context.Context, by tracker.Group, counter *facts.Counter) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	kind := kindOf(by)
	values, err := m.client.SMembers(ctx, m.prefix+"values:"+kind).Result()
	if err != nil || len(values) == 0 {
		return err
	}
	sizes, firsts := make([]*redis.IntCmd, len(values)), make([]*redis.StringSliceCmd, len(values))
	_, err = m.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for i, v := range values {
			key := m.prefix + "x:" + kind + v
			sizes[i], firsts[i] = p.ZCard(ctx, key), p.ZRange(ctx, key, 0, 0)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, v := range values {
		if sizes[i].Val() == 0 {
			continue
		}
		oldest := int64(facts.Open)
		if first := firsts[i].Val(); len(first) == 1 && first[0][:1] == openPart {
			k, err := placed(first[0][1:])
			if err != nil {
				return err
			}
			oldest = k.Time
		}
		if by == "" {
			v = ""
		}
		counter.Add(v, sizes[i].Val(), oldest)
	}
	return nil
}

// walk hands over what the query chooses, in its order, until yield has had enough. wanted is how many
// that will be, as a guess.
func (m *Model) walk(ctx context.Context, query *facts.Query, wanted int, yield func(*tracker.Snapshot, *facts.Facts) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sets, size, err := m.best(ctx, query.Filter)
	if err != nil {
		return err
	}
	if sets != nil && query.Order != tracker.ByStarted && size <= few {
		return m.sorted(ctx, query, sets, yield)
	}
	after := query.After
	for n := min(wanted, chunk); ; n = min(2*n, chunk) {
		keys, err := m.next(ctx, query, sets, after, n)
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

// best returns the sets of the one condition that chooses the fewest sagas, and how many; nil
// where no condition has sets.
func (m *Model) best(ctx context.Context, f *facts.Filter) (best []string, size int64, err error) {
	var choices [][]string
	for _, c := range []struct {
		kind   string
		values []string
	}{{ofSaga, f.Sagas}, {ofStatus, f.Statuses}, {ofStep, f.Steps}, {ofService, f.Services}, {ofCode, f.Codes}} {
		if c.values != nil {
			sets := make([]string, len(c.values))
			for i, v := range c.values {
				sets[i] = m.prefix + "x:" + c.kind + v
			}
			choices = append(choices, sets)
		}
	}
	sizes := make([][]*redis.IntCmd, len(choices))
	if len(slices.Concat(choices...)) > 0 {
		_, err = m.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, sets := range choices {
				for _, set := range sets {
					sizes[i] = append(sizes[i], p.ZCard(ctx, set))
				}
			}
			return nil
		})
	}
	for i, sets := range choices {
		var sum int64
		for _, n := range sizes[i] {
			sum += n.Val()
		}
		if best == nil || sum < size {
			best, size = sets, sum
		}
	}
	return best, size, err
}

// sorted reads all sagas of the sets, and sorts them.
func (m *Model) sorted(ctx context.Context, query *facts.Query, sets []string, yield func(*tracker.Snapshot, *facts.Facts) bool) error {
	byStart := &facts.Query{Filter: query.Filter, Order: tracker.ByStarted}
	var after *facts.Key
	type found struct {
		snapshot *tracker.Snapshot
		facts    facts.Facts
	}
	var list []found
	for {
		keys, err := m.next(ctx, byStart, sets, after, chunk)
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
