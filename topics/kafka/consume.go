package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/choreo-go/choreo/topics"
)

const (
	// heartbeatMost bounds how late a member learns of a rebalance.
	heartbeatMost = 500 * time.Millisecond
	// joinBackoff is the pause after a failed attempt to join.
	joinBackoff = 250 * time.Millisecond
	// partitionWatch is how often a member looks for added partitions.
	partitionWatch = 500 * time.Millisecond
	// leaveWithin is how long leaving the group may take before its connections are cut.
	leaveWithin = time.Second
)

// consumer is one call of Consume.
type consumer struct {
	log    *Log
	config topics.ConsumeConfig
	handle topics.Handler
	health *health
	// partitions is how many partitions the topics had, before the current generation
	// was made.
	partitions map[string]int
}

// Consume implements topics.Log. While a topic does not exist it waits for it.
func (l *Log) Consume(ctx context.Context, config topics.ConsumeConfig, handle topics.Handler) error {
	config, err := config.WithDefaults()
	if err != nil {
		return err
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.readers.Done()
	ctx, cancel := l.bind(ctx)
	defer cancel()
	c := &consumer{log: l, config: config, handle: handle, health: newHealth(l.config.Logger.With(zap.String("group", config.Group)), config.OnState)}
	err = c.run(ctx)
	if errors.Is(context.Cause(ctx), topics.ErrClosed) {
		return topics.ErrClosed
	}
	return err
}

// run joins the group and reads one generation after the other.
func (c *consumer) run(ctx context.Context) error {
	if err := c.awaitTopics(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	connections := newConnections(c.log.config)
	defer connections.close()
	group, err := segmentio.NewConsumerGroup(segmentio.ConsumerGroupConfig{
		ID: c.config.Group, Topics: c.config.Topics, Brokers: c.log.config.Brokers,
		Dialer: &segmentio.Dialer{ClientID: c.log.config.ClientID, DialFunc: connections.dial,
			Timeout: c.log.config.RequestTimeout, SASLMechanism: c.log.mechanism},
		GroupBalancers:    []segmentio.GroupBalancer{segmentio.RoundRobinGroupBalancer{}, segmentio.RangeGroupBalancer{}},
		HeartbeatInterval: min(heartbeatMost, c.config.SessionTimeout/5),
		SessionTimeout:    c.config.SessionTimeout, RebalanceTimeout: c.config.SessionTimeout,
		Timeout:          min(c.log.config.RequestTimeout, c.config.SessionTimeout/2),
		JoinGroupBackoff: joinBackoff, StartOffset: segmentio.FirstOffset,
		ErrorLogger: segmentio.LoggerFunc(func(format string, args ...any) {
			c.log.config.Logger.Debug("consumer group: " + fmt.Sprintf(format, args...))
		}),
	})
	if err != nil {
		return fmt.Errorf("kafka: consumer group %s: %w", c.config.Group, err)
	}
	defer leave(group, connections)
	for {
		next, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case forGood(err):
			return fmt.Errorf("kafka: consumer group %s: %w", c.config.Group, err)
		case err != nil:
			if !errors.Is(err, segmentio.RebalanceInProgress) {
				c.health.group(err)
			}
			continue
		}
		ended := make(chan error, 1)
		next.Start(func(over context.Context) { ended <- c.runGeneration(ctx, over.Done(), next) })
		if err := <-ended; err != nil || ctx.Err() != nil {
			return err
		}
		if err := c.awaitTopics(ctx); err != nil {
			return err
		}
	}
}

// leave leaves the group, and cuts its connections if that does not come to an end.
func leave(group *segmentio.ConsumerGroup, connections *connections) {
	left := make(chan struct{})
	go func() {
		_ = group.Close()
		close(left)
	}()
	late := time.NewTimer(leaveWithin)
	defer late.Stop()
	select {
	case <-left:
	case <-late.C:
		connections.close()
		<-left
	}
}

// awaitTopics waits until the topics exist, or ctx ends, and notes their partitions.
func (c *consumer) awaitTopics(ctx context.Context) error {
	for failures := 1; ctx.Err() == nil; failures++ {
		bounded, cancel := context.WithTimeout(ctx, c.log.config.RequestTimeout)
		v, err := c.log.cluster.renew(bounded, time.Now(), c.config.Topics...)
		cancel()
		if err == nil {
			for _, topic := range c.config.Topics {
				if _, fault := v.leader(topic, 0); unknownTopic(fault) {
					err = fmt.Errorf("%s: %w", topic, topics.ErrUnknownTopic)
				} else if forGood(fault) {
					err = fmt.Errorf("%s: %w", topic, fault)
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case forGood(err):
			return fmt.Errorf("kafka: consumer group %s: %w", c.config.Group, err)
		case err == nil:
			if c.partitions == nil {
				c.partitions = v.counts(c.config.Topics)
			}
			return nil
		}
		c.health.group(err)
		pause := time.NewTimer(backoff(failures))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return nil
}
