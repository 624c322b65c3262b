package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// Count counts what a filter chooses: from the sizes of the classes if it asks for no time and no
// text, else saga by saga.
func (m *Model) Count(ctx context.Context, f tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	query, err := facts.NewQuery(&tracker.Query{Filter: f})
	if err == nil {
		err = facts.CheckGroup(by)
	}
	counter := facts.NewCounter(by)
	if err == nil {
		err = m.count(ctx, query, counter)
	}
	if err != nil {
		return nil, fail("count", err)
	}
	return counter.Counts(), nil
}

func (m *Model) count(ctx context.Context, query *facts.Query, counter *facts.Counter) error {
	if query.Timeless() {
		counted, err := m.countClasses(ctx, query.Filter, counter)
		if err != nil || counted {
			return err
		}
	}
	return m.walk(ctx, query, chunk, func(_ *tracker.Snapshot, f *facts.Facts) bool {
		counter.Saga(f)
		return true
	})
}

// countClasses counts by the sizes of the sets of the classes. It reports false, and has not
// counted, while the data are of an older build, which has no classes.
func (m *Model) countClasses(ctx context.Context, filter *facts.Filter, counter *facts.Counter) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	values := m.prefix + "values:" + ofClass
	var format *redis.SliceCmd
	var names *redis.StringSliceCmd
	_, err := m.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		format, names = p.MGet(ctx, m.prefix+"format"), p.SMembers(ctx, values)
		return nil
	})
	if err != nil {
		return false, err
	}
	if !current(format) {
		return false, nil
	}
	var classes []facts.Facts
	var keys []string
	for _, name := range names.Val() {
		class, err := classed(name)
		if err != nil {
			return false, err
		}
		if filter.Match(&class) {
			classes, keys = append(classes, class), append(keys, m.prefix+"x:"+ofClass+name)
		}
	}
	if len(keys) == 0 {
		return true, nil
	}
	sizes, firsts := make([]*redis.IntCmd, len(keys)), make([]*redis.StringSliceCmd, len(keys))
	_, err = m.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			sizes[i], firsts[i] = p.ZCard(ctx, key), p.ZRange(ctx, key, 0, 0)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for i := range classes {
		if sizes[i].Val() == 0 {
			continue // since a moment ago
		}
		oldest, err := oldestOf(firsts[i].Val())
		if err != nil {
			return false, err
		}
		counter.Class(&classes[i], sizes[i].Val(), oldest)
	}
	return true, nil
}

// oldestOf returns the start of the first member of a class if that is open.
func oldestOf(first []string) (int64, error) {
	if len(first) == 0 || first[0][:1] != openPart {
		return facts.Open, nil
	}
	k, err := placed(first[0][1:])
	return k.Time, err
}
