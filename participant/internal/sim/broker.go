package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// broker is the log as one process sees it.
type broker struct {
	*memorylog.Log
	p *process
}

// DescribeTopics implements topics.Admin.
func (b *broker) DescribeTopics(ctx context.Context, names ...string) (map[string]topics.TopicState, error) {
	if err := b.p.effect("describe topics", ""); err != nil {
		return nil, err
	}
	if b.p.w.now() < b.p.w.brokerUp {
		return nil, fmt.Errorf("broker: %w", errAway)
	}
	return b.Log.DescribeTopics(ctx, names...)
}

// Publish implements topics.Log.
func (b *broker) Publish(ctx context.Context, records []choreo.Record) []error {
	errs := make([]error, len(records))
	failed := make(map[string]error)
	for i := range records {
		rec := &records[i]
		key := string(rec.Key)
		if earlier := failed[key]; earlier != nil && len(rec.Key) > 0 && !b.p.w.bug.goesOn {
			errs[i] = fmt.Errorf("%w: %w", topics.ErrEarlierFailed, earlier)
			continue
		}
		if err := b.publish(ctx, rec); err != nil {
			errs[i], failed[key] = err, err
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return errs
}

func (b *broker) publish(ctx context.Context, rec *choreo.Record) error {
	w := b.p.w
	if err := b.p.effect("publish", string(rec.Key)); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case w.now() < w.brokerUp:
		return fmt.Errorf("broker: %w", errAway)
	case w.strikes(PublishFailed, 150):
		return errFault
	}
	times := 1
	if w.strikes(PublishTwice, 150) {
		times = 2
	}
	for range times {
		if errs := w.log.Publish(ctx, []choreo.Record{*rec}); errs != nil {
			return errs[0]
		}
	}
	w.appended(rec.Topic)
	if err := b.p.effect("published", string(rec.Key)); err != nil {
		return err
	}
	if w.strikes(PublishLost, 150) {
		return errFault
	}
	return nil
}

// appended has all who read a topic look for what is new.
func (w *world) appended(topic string) {
	w.auditor.read(topic)
	for _, s := range w.services {
		for _, p := range s.instances {
			if p != nil {
				p.fetchSoon()
			}
		}
	}
}

// publishStale writes a record again that is in the log already: a producer's attempt that
// was long on its way.
func (w *world) publishStale() {
	topic := pick(w.dice, w.topicSet...)
	records := w.log.Records(topic)
	if len(records) == 0 {
		return
	}
	rec := records[w.dice.IntN(len(records))]
	w.note("world", "stale", string(rec.Key))
	if errs := w.log.Publish(context.Background(), []choreo.Record{rec}); errs != nil {
		w.fail("publish", "", errs[0].Error())
	}
	w.appended(topic)
}

// publishGarbage writes what is no event.
func (w *world) publishGarbage() {
	topic := pick(w.dice, w.topicSet...)
	rec := choreo.Record{
		Topic: topic, Partition: choreo.AnyPartition, Key: []byte(fmt.Sprint("garbage", w.dice.IntN(100))), Value: []byte("{"),
		Headers: []choreo.Header{{Key: "ce_type", Value: []byte("choreo.step.completed")}},
	}
	if errs := w.log.Publish(context.Background(), []choreo.Record{rec}); errs != nil {
		w.fail("publish", "", errs[0].Error())
	}
	w.auditor.garbage++
	w.appended(topic)
}

// raisePartitions gives a topic more partitions.
func (w *world) raisePartitions() {
	topic := pick(w.dice, w.topicSet...)
	states, err := w.log.DescribeTopics(context.Background(), topic)
	if err == nil {
		err = w.log.AddPartitions(context.Background(), topic, states[topic].Partitions+1+w.dice.IntN(3))
	}
	if err != nil {
		w.fail("topics", "", err.Error())
		return
	}
	w.known = nil
	for _, s := range w.services {
		w.after(w.within(30*time.Second), func() { s.rebalance(nil) })
		for _, p := range s.running() { // it learns of them at some time, or never
			if w.dice.IntN(2) == 0 {
				w.after(w.within(time.Minute), func() { w.lookUpHomes(p) })
			}
		}
	}
}

func (w *world) lookUpHomes(p *process) {
	if p.dead || p.steps == nil {
		return
	}
	w.spawn(p, func() { _ = p.steps.Homes(p.ctx) }) // it is looked up again in time
}

// places returns all partitions that hold events.
func (w *world) places() []place {
	if w.known != nil {
		return w.known
	}
	states, err := w.log.DescribeTopics(context.Background(), w.topicSet...)
	if err != nil {
		w.fail("topics", "", err.Error())
	}
	for _, topic := range w.topicSet {
		for i := range states[topic].Partitions {
			w.known = append(w.known, place{topic, int32(i)})
		}
	}
	return w.known
}

// codec is JSON, but a build that is older than the payload's maker does not read all.
type codec struct{ build int }

var errTooNew = errors.New("made by a newer build")

func (codec) ContentType() string { return "application/json" }

func (codec) Encode(v any) ([]byte, error) { return json.Marshal(v) }

func (c codec) Decode(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return err
	}
	if p, ok := into.(*payload); ok && p.Newer && c.build < newestBuild {
		return errTooNew
	}
	return nil
}
