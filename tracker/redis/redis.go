package redis

import (
	"cmp"
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

//go:embed put.lua
var putScript string

//go:embed forget.lua
var forgetScript string

// Config configures a model. The zero value of a field is its default.
type Config struct {
	// Prefix begins the name of every key, as "{prefix}:". Default: choreo-tracker.
	Prefix string
}

// Model is the read model over a client. It is safe for concurrent use.
type Model struct {
	client      redis.UniversalClient
	prefix      string
	put, forget *redis.Script
}

var _ tracker.Model = (*Model)(nil)

// New returns a model over a client. Closing the client stays with the caller. config may be nil.
func New(client redis.UniversalClient, config *Config) *Model {
	prefix := "choreo-tracker"
	if config != nil {
		prefix = cmp.Or(config.Prefix, prefix)
	}
	return &Model{client: client, prefix: "{" + prefix + "}:", put: redis.NewScript(putScript), forget: redis.NewScript(forgetScript)}
}

func fail(what string, err error) error { return fmt.Errorf("tracker: redis: %s: %w", what, err) }

// Put stores snapshots and positions in one script. Data of an older build are upgraded first, once,
// which takes a minute for a million sagas.
func (m *Model) Put(ctx context.Context, snapshots []*tracker.Snapshot, positions []tracker.Position) error {
	done, err := m.store(ctx, snapshots, positions, false)
	if err == nil && !done {
		if err = m.upgrade(ctx); err == nil {
			_, err = m.store(ctx, snapshots, positions, false)
		}
	}
	if err != nil {
		return fail("put", err)
	}
	return nil
}

// store runs the script. It reports false, and has stored nothing, where the data are of an older
// build. anew says that sagas that are there are entered again, and no others.
func (m *Model) store(ctx context.Context, snapshots []*tracker.Snapshot, positions []tracker.Position, anew bool) (bool, error) {
	all, snapshots, err := facts.Newest(snapshots)
	if err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	args := []any{anew, len(all)}
	for i := range all {
		text, err := json.Marshal(snapshots[i])
		if err != nil {
			return false, err
		}
		list := entries(&all[i])
		args = append(args, name(all[i].Saga, all[i].ID), digits(all[i].Offset), text, len(list)/2)
		for _, e := range list {
			args = append(args, e)
		}
	}
	args = append(args, len(positions))
	for _, p := range positions {
		args = append(args, positionKey(p.Topic), strconv.Itoa(int(p.Partition)), digits(p.Next))
	}
	reply, err := m.put.Run(ctx, m.client, []string{m.prefix}, args...).Text()
	return reply == "put", err
}

func positionKey(topic string) string { return "positions:" + topic }

// Positions returns where the topic's partitions stand.
func (m *Model) Positions(ctx context.Context, topic string) ([]tracker.Position, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("positions", err)
	}
	fields, err := m.client.HGetAll(ctx, m.prefix+positionKey(topic)).Result()
	if err != nil {
		return nil, fail("positions", err)
	}
	list := make([]tracker.Position, 0, len(fields))
	for field, text := range fields {
		partition, err := strconv.ParseInt(field, 10, 32)
		if err != nil {
			return nil, fail("positions", err)
		}
		next, err := undigits(text)
		if err != nil {
			return nil, fail("positions", err)
		}
		list = append(list, tracker.Position{Topic: topic, Partition: int32(partition), Next: next})
	}
	slices.SortFunc(list, func(a, b tracker.Position) int { return cmp.Compare(a.Partition, b.Partition) })
	return list, nil
}

// Get returns a saga.
func (m *Model) Get(ctx context.Context, saga, id string) (*tracker.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("get", err)
	}
	list, err := m.fetch(ctx, []facts.Key{{Saga: facts.Text(saga), ID: facts.Text(id)}})
	if err != nil {
		return nil, fail("get", err)
	}
	if list[0] == nil {
		return nil, fmt.Errorf("tracker: saga %s %q: %w", saga, id, tracker.ErrNotFound)
	}
	return list[0], nil
}

// fetch returns the sagas with these names in one round trip, nil for those that are gone.
func (m *Model) fetch(ctx context.Context, keys []facts.Key) ([]*tracker.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	results := make([]*redis.StringCmd, len(keys))
	_, err := m.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range keys {
			results[i] = p.HGet(ctx, m.prefix+"saga:"+name(k.Saga, k.ID), "snapshot")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	list := make([]*tracker.Snapshot, len(keys))
	for i, r := range results {
		data, err := r.Bytes()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list[i] = new(tracker.Snapshot)
		if err := json.Unmarshal(data, list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Forget removes sagas that ended before, some at a time.
func (m *Model) Forget(ctx context.Context, endedBefore time.Time) (int64, error) {
	const chunk = 500
	var all int64
	for {
		if err := ctx.Err(); err != nil {
			return all, fail("forget", err)
		}
		members, err := m.client.ZRangeByLex(ctx, m.prefix+"ended", &redis.ZRangeBy{
			Min: "-", Max: "(" + sortable(min(facts.Nanos(endedBefore), facts.Open)), Count: chunk,
		}).Result()
		if err != nil {
			return all, fail("forget", err)
		}
		if len(members) == 0 {
			return all, nil
		}
		args := make([]any, 0, 2*len(members))
		for _, member := range members {
			k, err := placed(member)
			if err != nil {
				return all, fail("forget", err)
			}
			args = append(args, name(k.Saga, k.ID), member)
		}
		n, err := m.forget.Run(ctx, m.client, []string{m.prefix}, args...).Int64()
		all += n
		if err != nil {
			return all, fail("forget", err)
		}
	}
}

// Close does nothing: the client is the caller's.
func (m *Model) Close() error { return nil }
