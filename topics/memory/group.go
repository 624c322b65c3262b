package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// group is a consumer group. It rebalances as Kafka's eager protocol does: all members
// give up what they hold, and when the last one has done so the partitions are shared
// out anew. A member that takes longer than its session timeout is expelled.
type group struct {
	committed   map[lanes.Partition]int64
	topics      map[string]bool // that it reads or has read
	members     []*member       // in the order in which they joined
	generation  int             // of the assignment; commits of others are refused
	rebalancing bool
	since       time.Time // when the rebalance began
}

// member is one call of Consume.
type member struct {
	group   *group
	ctx     context.Context // of the call
	topics  []string
	timeout time.Duration

	ready      bool // holds nothing and waits for its share
	assigned   []lanes.Partition
	generation int
	session    context.Context // ends when the share is taken away
	revoke     context.CancelFunc
}

func lanesPartition(topic string, p int32) lanes.Partition {
	return lanes.Partition{Topic: topic, Partition: p}
}

// group returns a group, which comes into being by being asked for. l.mu is held.
func (l *Log) group(name string) *group {
	g := l.groups[name]
	if g == nil {
		g = &group{committed: make(map[lanes.Partition]int64), topics: make(map[string]bool)}
		l.groups[name] = g
	}
	return g
}

// revoke ends the sessions of all members. l.mu is held.
func (g *group) revoke() {
	for _, m := range g.members {
		if m.revoke != nil {
			m.revoke()
		}
	}
}

// rebalance begins a rebalance, or joins the one that is under way. l.mu is held.
func (l *Log) rebalance(g *group) {
	if !g.rebalancing {
		g.rebalancing, g.since = true, time.Now()
	}
	g.revoke()
	l.assign(g)
}

// assign ends a rebalance if all members are ready: it shares out the partitions, one
// at a time, among the members that read the topic. l.mu is held.
func (l *Log) assign(g *group) {
	notReady := slices.ContainsFunc(g.members, func(m *member) bool { return !m.ready })
	if !g.rebalancing || notReady || l.away != nil || l.closed {
		return
	}
	g.rebalancing = false
	g.generation++
	for _, m := range g.members {
		m.ready, m.generation, m.assigned = false, g.generation, nil
		m.session, m.revoke = context.WithCancel(m.ctx)
	}
	turn := 0
	for _, name := range slices.Sorted(maps.Keys(g.topics)) {
		readers := slices.DeleteFunc(slices.Clone(g.members), func(m *member) bool { return !slices.Contains(m.topics, name) })
		t := l.topics[name]
		if t == nil || len(readers) == 0 {
			continue
		}
		for p := range t.partitions {
			m := readers[turn%len(readers)]
			m.assigned = append(m.assigned, lanesPartition(name, int32(p)))
			turn++
		}
	}
	l.broadcast()
}

// share waits until the member has got its share of the group's partitions. It joins
// the group where the member is not, or is no longer, in it.
func (l *Log) share(m *member, tell func(topics.ConsumeState)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.ready = true
	if !slices.Contains(m.group.members, m) {
		m.group.members = append(m.group.members, m)
		l.rebalance(m.group)
	}
	l.assign(m.group) // this member may have been the last to get ready
	for m.ready {
		if away := l.away; away != nil {
			l.mu.Unlock()
			tell(topics.ConsumeState{Err: away})
			l.mu.Lock()
			if err := l.reach(m.ctx); err != nil {
				return err
			}
			continue
		}
		if err := l.sleepUntilExpiry(m); err != nil {
			return err
		}
	}
	return nil
}

// sleepUntilExpiry sleeps until something changes or the next straggler is to be
// expelled. l.mu is held.
func (l *Log) sleepUntilExpiry(m *member) error {
	if l.closed {
		return topics.ErrClosed
	}
	g := m.group
	next := time.Duration(-1)
	for _, other := range slices.Clone(g.members) {
		if other.ready {
			continue
		}
		left := other.timeout - time.Since(g.since)
		if left <= 0 {
			g.members = slices.DeleteFunc(g.members, func(m *member) bool { return m == other })
			continue
		}
		if next < 0 || left < next {
			next = left
		}
	}
	if l.assign(g); !m.ready {
		return nil
	}
	ctx := m.ctx
	if next >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, next)
		defer cancel()
	}
	if err := l.sleep(ctx); err != nil && m.ctx.Err() != nil {
		return context.Cause(m.ctx)
	}
	return nil
}

// leave takes the member out of its group for good.
func (l *Log) leave(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.revoke != nil {
		m.revoke()
	}
	before := len(m.group.members)
	m.group.members = slices.DeleteFunc(m.group.members, func(other *member) bool { return other == m })
	if len(m.group.members) < before {
		l.rebalance(m.group)
	}
	l.broadcast()
}

// commit notes the offsets, unless the member's share is no longer its own.
func (l *Log) commit(m *member, offsets map[lanes.Partition]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := m.group
	if l.away != nil || m.generation != g.generation || !slices.Contains(g.members, m) {
		return
	}
	maps.Copy(g.committed, offsets)
	l.broadcast()
}
