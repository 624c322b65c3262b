package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// run is a stretch of a sorted set whose sagas are in the query's order.
type run struct {
	key      string
	part     string // what each member begins with, before the place
	from, to string // bounds as ZRANGE takes them, the lower one first
}

// condition is one condition of a filter that has sets.
type condition struct {
	kind    string
	values  []string
	updated bool // it has sets by update, too
}

// keys returns the names of the condition's sets.
func (c *condition) keys(order string) []string {
	keys := make([]string, len(c.values))
	for i, v := range c.values {
		keys[i] = order + c.kind + v
	}
	return keys
}

// runs returns what has to be merged behind a place: the order's own set, or by start or update, the
// sets of a condition, if there is one.
func (m *Model) runs(query *facts.Query, c *condition, after *facts.Key) []run {
	var list []run
	add := func(key, part, from, to string, behind bool) {
		if behind && after != nil {
			bound := "(" + part + place(*after)
			if query.Descending {
				to = bound
			} else {
				from = bound
			}
		}
		list = append(list, run{key: key, part: part, from: from, to: to})
	}
	switch {
	case query.Order == tracker.ByEnded:
		// Those that have not ended come last in either direction: a stretch of their own.
		open := sortable(facts.Open)
		behindEnded := after != nil && after.Time == facts.Open
		if !behindEnded {
			add(m.prefix+"ended", "", "-", "("+open, true)
		}
		add(m.prefix+"ended", "", "["+open, "+", behindEnded)
	case query.Order == tracker.ByStarted && c != nil:
		for _, key := range c.keys(m.prefix + byStart) {
			add(key, openPart, "-", "("+endedPart, true)
			add(key, endedPart, "["+endedPart, "+", true)
		}
	case query.Order == tracker.ByUpdated && c != nil && c.updated:
		for _, key := range c.keys(m.prefix + byUpdate) {
			add(key, "", "-", "+", true)
		}
	default:
		add(m.prefix+string(query.Order), "", "-", "+", true)
	}
	return list
}

// next returns the n places that follow in the query's order, or fewer at the end. A saga that is in
// several runs comes once. All runs are read at one moment: one that moves from run to run, but
// not in the order, is in one of them.
func (m *Model) next(ctx context.Context, query *facts.Query, c *condition, after *facts.Key, n int) ([]facts.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	runs := m.runs(query, c, after)
	if len(runs) == 0 {
		return nil, nil
	}
	results := make([]*redis.StringSliceCmd, len(runs))
	_, err := m.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for i, r := range runs {
			start, stop := r.from, r.to
			if query.Descending {
				start, stop = stop, start
			}
			results[i] = p.ZRangeArgs(ctx, redis.ZRangeArgs{
				Key: r.key, Start: start, Stop: stop, ByLex: true, Rev: query.Descending, Count: int64(n),
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	heads := make([][]facts.Key, len(runs))
	for i, r := range runs {
		for _, member := range results[i].Val() {
			k, err := placed(member[len(r.part):])
			if err != nil {
				return nil, err
			}
			heads[i] = append(heads[i], k)
		}
	}
	return merge(query, heads, n), nil
}

// merge merges lists that are in the query's order.
func merge(query *facts.Query, lists [][]facts.Key, n int) []facts.Key {
	keys := make([]facts.Key, 0, n)
	for len(keys) < n {
		first := -1
		for i, list := range lists {
			if len(list) > 0 && (first < 0 || query.Compare(list[0], lists[first][0]) < 0) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		k := lists[first][0]
		keys = append(keys, k)
		for i, list := range lists {
			if len(list) > 0 && list[0] == k {
				lists[i] = list[1:]
			}
		}
	}
	return keys
}
