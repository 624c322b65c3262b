package kafka

import (
	"context"
	"maps"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"go.uber.org/zap"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// generation is one membership in the group, from its assignment to the rebalance that
// ends it.
type generation struct {
	*fetcher
	config *topics.ConsumeConfig
	group  *segmentio.Generation
	lanes  *lanes.Lanes
	grown  chan map[string]int // gets the partition counts when they have changed

	partitions  map[string]int // of the topics
	uncommitted map[string]map[int]int64
}

// runGeneration reads the generation's partitions until it ends, ctx ends, or there is
// an error for which the consumer stops.
func (c *consumer) runGeneration(ctx context.Context, over <-chan struct{}, group *segmentio.Generation) error {
	g := &generation{
		config: &c.config, group: group, grown: make(chan map[string]int, 1),
		lanes: lanes.New(ctx, lanes.Config{Lanes: c.config.Lanes, BatchMax: c.config.BatchMax,
			InFlight: c.config.InFlight, Keep: c.config.Keep, Handle: c.handle, Copy: true}),
		partitions: c.partitions, uncommitted: make(map[string]map[int]int64),
	}
	g.fetcher = newFetcher(c.log, c.config.Topics, c.health, g.lanes.Submit)
	g.hold = c.config.Hold
	var positions []*position
	for topic, partitions := range group.Assignments {
		for _, p := range partitions {
			positions = append(positions, &position{
				Partition: lanes.Partition{Topic: topic, Partition: int32(p.ID)}, offset: p.Offset})
		}
	}
	c.log.config.Logger.Debug("partitions assigned", zap.String("group", group.GroupID),
		zap.Int32("generation", group.ID), zap.Int("partitions", len(positions)))
	g.health.assigned(len(positions))
	reading, stop := context.WithCancel(ctx)
	g.running.Go(func() { g.assign(reading, positions) })
	g.running.Go(func() { g.watch(reading, c.partitions) })
	err := g.commitUntil(ctx, over)
	stop()
	// Heartbeats have stopped if the generation is over: only so much time is left
	// before the group counts this member as dead.
	draining, cancel := context.WithTimeout(context.Background(), c.config.SessionTimeout/3)
	if g.lanes.Drain(draining) != nil {
		c.log.config.Logger.Warn("handlers did not end in time: their context is ended, and their records will be read again",
			zap.String("group", group.GroupID), zap.Duration("waited", c.config.SessionTimeout/3))
	}
	cancel()
	g.commit()
	g.lanes.Close()
	g.commit()
	g.running.Wait()
	c.partitions = g.partitions
	g.health.lost()
	if err == nil {
		c.awaitCoordinator(ctx, group)
	}
	return err
}

// awaitCoordinator waits until the group's coordinator is ready, or ctx ends. kafka-go joins
// as soon as a generation is over, and forgets its member id when it finds no coordinator
// that is ready; it would then come back as a new member, and the group would wait a session
// timeout for the old one.
func (c *consumer) awaitCoordinator(ctx context.Context, group *segmentio.Generation) {
	for failures := 1; ctx.Err() == nil; failures++ {
		err := c.askCoordinator(ctx, group)
		if answered(err) || ctx.Err() != nil {
			return
		}
		c.health.group(err)
		pause := time.NewTimer(backoff(failures))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// askCoordinator asks the group's coordinator for the offsets of no partition, and returns
// the error that it answers. A heartbeat would not do: while Kafka loads a group after a
// restart, it answers these as if all was well, and lets nobody join yet.
func (c *consumer) askCoordinator(ctx context.Context, group *segmentio.Generation) error {
	coordinator, err := c.log.coordinator(ctx, group.GroupID)
	if err != nil {
		return err
	}
	ask := &routed{broker: coordinator, clientID: c.log.config.ClientID, request: &offsetfetch.Request{
		GroupID: group.GroupID, Topics: []offsetfetch.RequestTopic{}}}
	if _, err := c.log.roundTrip(ctx, ask); err != nil {
		return err
	}
	if answer, ok := ask.response.(*offsetfetch.Response); ok {
		return codeError(answer.ErrorCode)
	}
	return segmentio.GroupCoordinatorNotAvailable
}

// commitUntil commits now and then, until the generation is over or the consumer stops.
func (g *generation) commitUntil(ctx context.Context, over <-chan struct{}) error {
	every := time.NewTicker(g.config.CommitEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			g.commit()
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		case g.partitions = <-g.grown:
			return nil
		case err := <-g.lanes.Err():
			return err
		case err := <-g.failed:
			return err
		}
	}
}

// watch looks whether the topics have got other partitions than before the generation
// was made, which then has to end so that the group spreads them anew. kafka-go's own
// watch compares with what there is when it starts, and misses what was added between
// the assignment and that. A change counts when it is seen twice, for brokers learn of
// it at different times, and it is not this member that asks when the group is spread.
func (g *generation) watch(ctx context.Context, before map[string]int) {
	every := time.NewTicker(partitionWatch)
	defer every.Stop()
	seen := before
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		bounded, cancel := context.WithTimeout(ctx, g.log.config.RequestTimeout)
		v, err := g.log.cluster.renew(bounded, time.Now(), g.config.Topics...)
		cancel()
		if err != nil {
			continue
		}
		counts := v.counts(g.config.Topics)
		if len(counts) == len(before) && !maps.Equal(counts, before) && maps.Equal(counts, seen) {
			g.grown <- counts
			return
		}
		seen = counts
	}
}

// commit commits the offsets of what was handled. What fails is tried again with the
// next commit; the group refuses it once the generation has ended, and then the records
// are read again.
func (g *generation) commit() {
	for p, offset := range g.lanes.Offsets() {
		if g.uncommitted[p.Topic] == nil {
			g.uncommitted[p.Topic] = make(map[int]int64)
		}
		g.uncommitted[p.Topic][int(p.Partition)] = offset
	}
	if len(g.uncommitted) == 0 {
		return
	}
	if err := g.group.CommitOffsets(g.uncommitted); err != nil {
		g.log.config.Logger.Debug("committing offsets failed", zap.String("group", g.group.GroupID), zap.Error(err))
		return
	}
	clear(g.uncommitted)
}
