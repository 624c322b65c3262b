package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

func TestRelayPublishesFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.run()
		r.pass(time.Millisecond)
		var want []string
		for n := range 100 {
			r.emit(r.store, fmt.Sprintf("a#%d", n), fmt.Sprintf("b#%d", n))
			want = append(want, fmt.Sprintf("%s a#%d b#%d", time.Duration(n+1)*time.Millisecond, n, n))
			r.pass(time.Millisecond)
		}
		require.Equal(t, want, r.attempted(), "each at once")
		require.Equal(t, ms(0), r.claimed(), "the outbox was read at the start alone")
		s := r.relay.Stats()
		require.EqualValues(t, 200, s.Handed)
		require.EqualValues(t, 200, s.Published)
		r.pass(20 * time.Millisecond)
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

// While batches are in flight, what queues up makes the next one; none of a key that is in flight.
func TestRelayBatchesWhatQueuesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		gate := make(chan struct{})
		r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
			<-gate
			return r.log.Publish(ctx, records)
		})
		r.run()
		for _, v := range []string{"a#1", "b#1", "a#2", "c#1", "d#1", "c#2", "a#3"} {
			r.emit(r.store, v)
		}
		require.Equal(t, []string{"0s a#1", "0s b#1"}, r.attempted())
		gate <- struct{}{} // either ends
		synctest.Wait()
		next := r.attempted()
		require.Len(t, next, 1)
		require.Contains(t, next[0], "c#1 c#2 d#1")
		close(gate)
		synctest.Wait()
		require.Equal(t, []string{"a#1", "a#2", "a#3"}, ofKey(r.log.Values(), "a"))
		require.Equal(t, ms(0), r.claimed())
	})
}

func ofKey(values []string, key string) (list []string) {
	for _, v := range values {
		if strings.HasPrefix(v, key+"#") {
			list = append(list, v)
		}
	}
	return list
}

// What an older entry in the outbox comes before is read from there, too.
func TestRelayReadsWhatComesAfterAnEntryThatItWasNotHanded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.run()
		r.pass(500 * time.Millisecond)
		r.emit(r.peer, "a#1") // unnoticed
		r.emit(r.store, "b#1")
		require.Equal(t, []string{"500ms b#1"}, r.attempted())
		require.Equal(t, ms(0), r.claimed())
		r.emit(r.store, "a#2")
		require.Equal(t, []string{"500ms a#1 a#2"}, r.attempted())
		r.emit(r.store, "a#3")
		require.Equal(t, []string{"500ms a#3"}, r.attempted())
		require.EqualValues(t, 2, r.relay.Stats().Handed, "from memory again, once nothing older is left")
	})
}

// What is queued behind an entry that cannot be published is read from the outbox, in its turn.
func TestRelayDropsWhatIsQueuedBehindAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		gate := make(chan struct{})
		r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
			if string(records[0].Value) != "a#1" {
				return r.log.Publish(ctx, records)
			}
			<-gate
			require.Nil(t, r.log.Publish(ctx, records[1:]))
			return append([]error{errAway}, make([]error, len(records)-1)...)
		})
		r.run()
		r.emit(r.store, "a#1", "x#1")
		r.emit(r.store, "a#2")
		r.emit(r.store, "b#1")
		require.Equal(t, []string{"0s a#1 x#1", "0s b#1"}, r.attempted())
		r.onPublish(r.log.Publish)
		gate <- struct{}{}
		r.emit(r.store, "a#3")
		r.emit(r.store, "c#1")
		r.pass(time.Second)
		require.Equal(t, []string{"0s c#1", "50ms a#1 a#2 a#3"}, r.attempted())
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

// What finds no room in memory stays in the outbox and is read from there.
func TestRelayReadsWhatFoundNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat(".", 6<<20)
		r := newRig(t, outbox.RelayConfig{})
		gate := make(chan struct{})
		r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
			<-gate
			return r.log.Publish(ctx, records)
		})
		r.run()
		r.emit(r.store, "a#1"+large)
		r.emit(r.store, "b#1"+large)
		require.Empty(t, r.claimed()[1:])
		r.emit(r.store, "c#1"+large)
		require.Len(t, r.claimed(), 1)
		require.Len(t, r.attempted(), 3, "two batches from memory, and one that was read")
		r.emit(r.store, "c#2")
		r.emit(r.store, "d#1")
		close(gate)
		r.pass(time.Second)
		require.Len(t, r.log.Values(), 5)
		require.EqualValues(t, 3, r.relay.Stats().Handed, "all that there was room for, and no later one of what was read")
		r.emit(r.store, "c#3")
		require.EqualValues(t, 4, r.relay.Stats().Handed)
		r.pass(time.Second)
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

func TestRelayTakesNothingFromMemoryWhileTheLogIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.onPublish(away)
		r.run()
		for n := range 100 {
			r.emit(r.store, fmt.Sprintf("k%d#1", n))
		}
		r.onPublish(r.log.Publish)
		r.pass(10 * time.Second)
		require.Len(t, r.log.Values(), 100)
		require.Zero(t, r.relay.Stats().Handed)
		r.attempted()
		r.emit(r.store, "later#1")
		require.EqualValues(t, 1, r.relay.Stats().Handed)
		require.Equal(t, []string{"10s later#1"}, r.attempted())
	})
}

func TestRelayKeepsRowsThatItCouldNotDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		fails := 3
		r.store.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpSweep && !e.After && fails > 0 {
				fails--
				return memory.ErrConnectionLost
			}
			return nil
		})
		r.run()
		r.emit(r.store, "a#1")
		r.emit(r.store, "a#2")
		r.pass(time.Second)
		require.Equal(t, []string{"0s a#1", "0s a#2"}, r.attempted(), "nothing is published twice")
		require.Empty(t, r.db.Snapshot().Entries)
		require.Equal(t, []string{"the outbox cannot be reached: backing off", "the outbox can be reached again"}, r.messages())
	})
}

func TestRelayFinishesWhatItWasHanded(t *testing.T) {
	for name, test := range map[string]struct {
		timeout time.Duration
		want    int
	}{
		"within StopTimeout":                 {10 * time.Second, 3},
		"or leaves it where that is over":    {50 * time.Millisecond, 1},
		"or at once, with a negative number": {-1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, outbox.RelayConfig{StopTimeout: test.timeout})
				r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
					select {
					case <-time.After(100 * time.Millisecond):
						return r.log.Publish(ctx, records)
					case <-ctx.Done():
						return away(ctx, records)
					}
				})
				r.run()
				r.emit(r.store, "a#1")
				r.pass(110 * time.Millisecond)
				r.emit(r.store, "a#2")
				r.emit(r.store, "a#3")
				r.stop()
				require.Len(t, r.log.Values(), test.want)
				require.Len(t, r.db.Snapshot().Entries, 3-test.want, "what was published is deleted, and no more")
			})
		})
	}
}

// dead is the relay of a process that was killed after its units had handed it something.
type dead struct{}

func (dead) Open() bool                                    { return true }
func (dead) Offer([]outbox.Entry, map[string][]int64) bool { return true }
func (dead) Has(int64) bool                                { return false }

func TestG7WhatAKilledProcessHasInHandIsPublishedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.peer.HandTo(dead{})
		r.run()
		r.pass(700 * time.Millisecond)
		r.emit(r.peer, "a#1", "b#1")
		r.peer.Kill()
		r.emit(r.store, "a#2")
		r.pass(2900 * time.Millisecond)
		require.Empty(t, r.log.Values(), "they are left to their relay at first, with all that comes after")
		r.pass(1400 * time.Millisecond)
		require.Equal(t, []string{"a#1", "b#1", "a#2"}, r.log.Values(), "within 5 s")
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

// A store whose relay does not run, such as one beside a connector that takes the relay's place,
// hands nothing over.
func TestNothingIsHandedOverWithoutARelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.emit(r.store, "a#1")
		requireUnclaimed(r)
		r.run()
		r.stop()
		r.emit(r.store, "a#2")
		requireUnclaimed(r)
	})
}
