package redis

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// currentFormat is what the key of the format holds. Data of format 1 had no classes, and no orders by update but
// the whole one; while they are given some, the format is "1 to 2", as Put's script says, and older builds refuse to write.
const currentFormat = "2"

// current reports whether the data have this build's format, or none yet.
func current(format *redis.SliceCmd) bool {
	have := format.Val()
	return len(have) == 1 && (have[0] == nil || have[0] == currentFormat)
}

// upgrade enters all sagas of an older build into the indexes of this one. Several may do it at
// once, and one that is interrupted is begun again. Answers are right all the while.
func (m *Model) upgrade(ctx context.Context) error {
	query := facts.Query{Filter: &facts.Filter{}, Order: tracker.ByStarted}
	var after *facts.Key
	for {
		keys, err := m.next(ctx, &query, nil, after, chunk)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return m.client.Set(ctx, m.prefix+"format", currentFormat, 0).Err()
		}
		after = &keys[len(keys)-1]
		snapshots, err := m.fetch(ctx, keys)
		if err != nil {
			return err
		}
		snapshots = slices.DeleteFunc(snapshots, func(s *tracker.Snapshot) bool { return s == nil }) // forgotten in between
		if _, err := m.store(ctx, snapshots, nil, true); err != nil {
			return fmt.Errorf("upgrade the data of an older build: %w", err)
		}
	}
}
