package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

func TestRelayPollsForWhatItWasNotWokenFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.run()
		r.pass(2500 * time.Millisecond)
		require.Equal(t, ms(0, 1000, 2000), r.claimed())
		r.emit(r.peer, "a#1", "a#2", "b#1")
		r.pass(600 * time.Millisecond)
		require.Equal(t, []string{"3s a#1 a#2 b#1"}, r.attempted())
		require.Equal(t, ms(3000), r.claimed())
		require.Empty(t, r.db.Snapshot().Entries)
		require.Empty(t, r.messages())
	})
}

func TestRelayLooksAgainAfterAWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.run()
		r.pass(100 * time.Millisecond)
		r.join(r.store, "a#1")
		require.Equal(t, []string{"100ms a#1"}, r.attempted(), "at once")
		// A transaction that a unit joined commits, unnoticed, after it woke the relay.
		r.pass(9 * time.Millisecond)
		r.emit(r.peer, "b#1")
		r.pass(5 * time.Second)
		require.Equal(t, ms(0, 100, 102, 106, 114, 130, 162, 226, 354, 610, 1122, 2122, 3122, 4122, 5122)[:14], r.claimed()[:14])
		require.Equal(t, []string{"114ms b#1"}, r.attempted())
	})
}

func TestRelayGoesOnWhileBatchesAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{BatchMax: 2})
		r.emit(r.peer, "a#1", "b#1", "a#2", "c#1", "a#3")
		r.run()
		require.Equal(t, []string{"0s a#1 b#1", "0s a#2 c#1", "0s a#3"}, r.attempted())
		require.Equal(t, ms(0, 0, 0), r.claimed())
		s := r.relay.Stats()
		require.EqualValues(t, 5, s.Published)
		require.EqualValues(t, 3, s.Batches)
		require.Zero(t, s.Failed)
		require.NoError(t, s.LastError)
	})
}

func TestRelayHoldsOnlyTheKeyThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{Poll: time.Hour})
		poison := func(_ context.Context, records []choreo.Record) []error {
			errs := make([]error, len(records))
			for i := range records {
				if string(records[i].Key) == "bad" {
					errs[i] = fmt.Errorf("record %s is too large", records[i].Value)
				}
			}
			return errs
		}
		r.onPublish(poison)
		r.emit(r.peer, "a#1", "bad#1", "b#1", "bad#2", "a#2")
		r.run()
		require.Equal(t, []string{"0s a#1 bad#1 b#1 bad#2 a#2"}, r.attempted())
		require.Equal(t, []string{"records cannot be published: later ones of their keys are held, others go on"}, r.messages())
		s := r.relay.Stats()
		require.Equal(t, 1, s.Held)
		require.EqualValues(t, 2, s.Failed)
		require.ErrorContains(t, s.LastError, "bad#1 is too large")

		r.pass(7 * time.Second)
		require.Equal(t, []string{
			"50ms bad#1 bad#2", "150ms bad#1 bad#2", "350ms bad#1 bad#2", "750ms bad#1 bad#2",
			"1.55s bad#1 bad#2", "3.15s bad#1 bad#2", "6.35s bad#1 bad#2",
		}, r.attempted())
		r.emit(r.store, "c#1")
		require.Equal(t, []string{"7s c#1"}, r.attempted(), "others do not wait, however often it failed")
		r.emit(r.store, "bad#3")
		require.Empty(t, r.attempted(), "its later entries do")
		r.pass(4 * time.Second)
		require.Empty(t, r.attempted())
		require.Empty(t, r.messages(), "one line for a change of state")

		r.onPublish(r.log.Publish)
		r.pass(time.Second)
		require.Equal(t, []string{"11.35s bad#1 bad#2 bad#3"}, r.attempted(), "at most MaxBackoff later")
		require.Equal(t, []string{"records of held keys were published"}, r.messages())
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

func TestRelayBacksOffWhileTheLogIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.onPublish(away)
		r.run()
		// A service goes on committing, a saga every 10 ms.
		for n := range 3000 {
			r.emit(r.store, fmt.Sprintf("k%04d#1", n))
			r.pass(10 * time.Millisecond)
			if n%100 == 50 { // the first entry was handed over, and is left to this relay for a while
				requireUnclaimed(r)
			}
		}
		var times []string
		for _, line := range r.attempted() {
			times = append(times, line[:strings.IndexByte(line, ' ')])
		}
		require.LessOrEqual(t, len(times), 20, "held keys that are due come in full batches before new ones")
		require.Equal(t, []string{
			"0s", "10ms", "60ms", "160ms", "360ms", "760ms", "1.56s", "3.16s", "6.36s", "11.36s", "16.36s", "21.36s", "26.36s",
		}, slices.Compact(times))
		require.Equal(t, []string{
			"records cannot be published: later ones of their keys are held, others go on",
			"the log takes no records: backing off",
		}, r.messages())

		r.onPublish(r.log.Publish)
		r.pass(2 * time.Second)
		require.Len(t, r.log.Values(), 3000, "once the log is back, nothing is held")
		back := r.attempted()
		require.Equal(t, "31.36s", back[0][:strings.IndexByte(back[0], ' ')])
		require.Equal(t, "31.36s", back[len(back)-1][:strings.IndexByte(back[len(back)-1], ' ')])
		require.Contains(t, r.messages(), "the log takes records again")
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

// requireUnclaimed requires that no claim is open: another relay gets what this one failed to publish.
func requireUnclaimed(r *rig) {
	r.t.Helper()
	c, err := r.peer.Claim(r.t.Context(), 10_000, nil)
	require.NoError(r.t, err)
	require.NotEmpty(r.t, c.Entries())
	require.False(r.t, c.Contended(), "a claim is open while the relay waits")
	require.NoError(r.t, c.Release(r.t.Context()))
}

// A topic that is missing looks like an outage at first: batch after batch fails. What
// lies behind it must get through all the same.
func TestRelayReachesWhatLiesBehindFailingBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
			errs := make([]error, len(records))
			for i := range records {
				if strings.HasPrefix(string(records[i].Key), "lost") {
					errs[i] = errors.New("unknown topic")
				} else {
					errs[i] = errors.Join(r.log.Publish(ctx, records[i:i+1])...)
				}
			}
			return errs
		})
		r.emit(r.peer, keys("lost", 3000)...)
		r.emit(r.peer, keys("good", 10)...)
		r.run()
		r.pass(200 * time.Millisecond)
		require.Len(t, r.log.Values(), 10)
		r.pass(time.Minute)
		r.emit(r.store, "good#2")
		require.Len(t, r.log.Values(), 11, "at once")
		require.LessOrEqual(t, len(r.messages()), 4)
		require.Equal(t, 3000, r.relay.Stats().Held)
	})
}

func TestRelayBacksOffWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.emit(r.peer, "a#1")
		r.db.Stop()
		r.run()
		r.pass(20 * time.Second)
		require.Equal(t, ms(0, 50, 150, 350, 750, 1550, 3150, 6350, 11350, 16350), r.claimed())
		require.ErrorIs(t, r.relay.Stats().LastError, memory.ErrDown)
		r.db.Start()
		r.pass(2 * time.Second)
		require.Equal(t, []string{"21.35s a#1"}, r.attempted())
		require.Equal(t, []string{"the outbox cannot be reached: backing off", "the outbox can be reached again"}, r.messages())
	})
}

func TestRelayPublishesAgainWhatItCouldNotDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.emit(r.peer, "a#1", "a#2")
		fails := 3
		r.store.SetHook(func(e memory.Effect) error {
			if e.Op == memory.OpDone && !e.After && fails > 0 {
				fails--
				return memory.ErrConnectionLost
			}
			return nil
		})
		r.run()
		r.pass(time.Second)
		require.Equal(t, []string{"0s a#1 a#2", "50ms a#1 a#2", "150ms a#1 a#2", "350ms a#1 a#2"}, r.attempted(),
			"the waits grow although every claim succeeds")
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

func TestRelayAsksSoonForWhatAnotherWorksOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.emit(r.peer, "a#1", "b#1")
		c, err := r.peer.Claim(t.Context(), 1, nil)
		require.NoError(t, err)
		r.run()
		r.pass(100 * time.Millisecond)
		require.Equal(t, []string{"0s b#1"}, r.attempted())
		require.Equal(t, ms(0, 0, 5, 15, 35, 75), r.claimed())
		require.NoError(t, c.Release(t.Context()))
		r.pass(100 * time.Millisecond)
		require.Equal(t, []string{"155ms a#1"}, r.attempted())
		r.pass(time.Second)
		require.Equal(t, ms(155, 1155), r.claimed())
	})
}

func TestRelayBoundsAPublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{PublishTimeout: 3 * time.Second})
		r.onPublish(func(ctx context.Context, _ []choreo.Record) []error {
			<-ctx.Done()
			return []error{ctx.Err()}
		})
		r.emit(r.peer, "a#1")
		r.run()
		r.pass(3 * time.Second)
		require.ErrorIs(t, r.relay.Stats().LastError, context.DeadlineExceeded)
		r.onPublish(r.log.Publish)
		r.pass(time.Second)
		require.Equal(t, []string{"0s a#1", "3.05s a#1"}, r.attempted())
	})
}

func TestRelayDistrustsAPublisherThatMiscounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.onPublish(func(context.Context, []choreo.Record) []error { return []error{nil} })
		r.emit(r.peer, "a#1", "b#1")
		r.run()
		require.ErrorContains(t, r.relay.Stats().LastError, "1 results for 2 records")
		require.Len(t, r.db.Snapshot().Entries, 2)
		// Nor does it delete what overtook a failed record of its key.
		r.onPublish(func(_ context.Context, records []choreo.Record) []error {
			errs := make([]error, len(records))
			errs[0] = errAway
			return errs
		})
		r.emit(r.peer, "a#2")
		r.pass(60 * time.Millisecond)
		left := r.db.Snapshot().Entries
		require.Len(t, left, 2)
		require.Equal(t, "a#1", string(left[0].Record.Value))
		require.Equal(t, "a#2", string(left[1].Record.Value))
	})
}

func TestRelayStops(t *testing.T) {
	block := func(r *rig) (entered chan struct{}, goOn func()) {
		entered, gate := make(chan struct{}), make(chan struct{})
		r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
			r.onPublish(r.log.Publish)
			close(entered)
			select {
			case <-gate:
				return r.log.Publish(ctx, records)
			case <-ctx.Done():
				return away(ctx, records)
			}
		})
		return entered, func() { close(gate) }
	}
	run := func(r *rig) (stop context.CancelFunc, done chan time.Duration) {
		ctx, cancel := context.WithCancel(r.t.Context())
		done = make(chan time.Duration, 1)
		r.began = time.Now()
		go func() {
			if err := r.relay.Run(ctx); err != nil {
				r.t.Error(err)
			}
			done <- time.Since(r.began)
		}()
		return cancel, done
	}
	t.Run("finishing the batch and what else is committed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, outbox.RelayConfig{BatchMax: 2})
			entered, goOn := block(r)
			r.emit(r.peer, "a#1", "b#1", "c#1")
			stop, done := run(r)
			<-entered
			r.emit(r.peer, "d#1", "e#1", "f#1")
			stop()
			r.pass(4 * time.Second)
			goOn()
			require.Equal(t, 4*time.Second, <-done)
			require.Equal(t, []string{"a#1", "b#1", "c#1", "d#1", "e#1", "f#1"}, r.log.Values())
			require.Empty(t, r.db.Snapshot().Entries)
		})
	})
	t.Run("when its time is over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, outbox.RelayConfig{StopTimeout: 3 * time.Second, PublishTimeout: time.Minute})
			entered, _ := block(r)
			r.emit(r.peer, "a#1")
			stop, done := run(r)
			<-entered
			stop()
			require.Equal(t, 3*time.Second, <-done)
			requireUnclaimed(r)
		})
	})
	t.Run("at once without StopTimeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, outbox.RelayConfig{StopTimeout: -1})
			entered, _ := block(r)
			r.emit(r.peer, "a#1")
			stop, done := run(r)
			<-entered
			stop()
			require.Zero(t, <-done)
			requireUnclaimed(r)
		})
	})
	t.Run("without waiting for a log that is away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, outbox.RelayConfig{})
			r.onPublish(away)
			r.emit(r.peer, "a#1", "b#1")
			stop, done := run(r)
			r.pass(20 * time.Millisecond)
			stop()
			require.Equal(t, 20*time.Millisecond, <-done)
			requireUnclaimed(r)
		})
	})
	t.Run("and runs again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, outbox.RelayConfig{})
			for n := range 3 {
				r.emit(r.peer, fmt.Sprintf("a#%d", n))
				r.run()
				require.ErrorContains(t, r.relay.Run(t.Context()), "running already")
				r.stop()
			}
			require.Len(t, r.log.Values(), 3)
		})
	})
}

func TestRelayStatsShowTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.onPublish(away)
		r.emit(r.peer, "a#1", "b#1")
		r.run()
		r.pass(30 * time.Second)
		b := r.relay.Stats().Backlog
		require.Equal(t, 2, b.Entries)
		require.Greater(t, b.Oldest, 20*time.Second)
		r.onPublish(r.log.Publish)
		r.pass(10 * time.Second)
		require.Zero(t, r.relay.Stats().Backlog)
		require.Zero(t, r.relay.Stats().Held)
	})
}

func TestRelayForgetsKeysThatSomebodyElsePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.onPublish(away)
		r.emit(r.peer, "a#1")
		r.run()
		require.Equal(t, 1, r.relay.Stats().Held)
		c, err := r.peer.Claim(t.Context(), 1, nil)
		require.NoError(t, err)
		require.NoError(t, c.Done(t.Context(), []int64{c.Entries()[0].Seq}))
		require.NoError(t, c.Release(t.Context()))
		r.pass(5 * time.Second)
		require.Zero(t, r.relay.Stats().Held)
	})
}

// Batches of failing keys that each take until the timeout fall due again before the next one
// has failed. New entries must get their turn.
func TestRelayIsNotStarvedBySlowFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{BatchMax: 10})
		r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
			errs := make([]error, len(records))
			for i := range records {
				if strings.HasPrefix(string(records[i].Key), "slow") {
					errs[i] = context.DeadlineExceeded
				} else {
					errs[i] = errors.Join(r.log.Publish(ctx, records[i:i+1])...)
				}
			}
			if slices.Contains(errs, context.DeadlineExceeded) {
				<-ctx.Done()
			}
			return errs
		})
		r.emit(r.peer, keys("slow", 40)...)
		r.emit(r.peer, keys("good", 100)...)
		r.run()
		r.pass(10 * time.Minute)
		require.Len(t, r.log.Values(), 100)
		require.Equal(t, 40, r.relay.Stats().Held)
		r.onPublish(r.log.Publish)
		r.pass(time.Minute)
		require.Len(t, r.log.Values(), 140)
	})
}

// Beyond HoldMax a key is tried sooner, but the relay does not spin on it.
func TestRelayHoldsAtMostHoldMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{BatchMax: 4, HoldMax: 6})
		r.onPublish(away)
		r.emit(r.peer, keys("k", 20)...)
		r.run()
		r.pass(time.Minute)
		require.Equal(t, 6, r.relay.Stats().Held)
		attempts := r.attempted()
		require.Less(t, len(attempts), 120, "%d attempts in a minute", len(attempts))
		r.onPublish(r.log.Publish)
		r.pass(10 * time.Second)
		got := r.log.Values()
		slices.Sort(got)
		require.Equal(t, keys("k", 20), got)
	})
}
