package outboxtest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// relayConfig makes the waits of a relay short enough for a test.
func relayConfig() *outbox.RelayConfig {
	return &outbox.RelayConfig{BatchMax: 50, Poll: 20 * time.Millisecond, MaxBackoff: 50 * time.Millisecond}
}

// relay runs a relay until the returned function is called, or the test ends.
func (x *exercise[Tx]) relay(store outbox.Store[Tx], log outbox.Publisher, config *outbox.RelayConfig) (stop func()) {
	r := outbox.NewRelay(store, log, config)
	ctx, cancel := context.WithCancel(x.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			x.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	x.Cleanup(stop)
	return stop
}

// waitFor waits until every entry that is wanted was published, and the outbox is empty.
func (x *exercise[Tx]) waitFor(log *Log, want map[string]int) {
	x.Helper()
	var total int
	for _, n := range want {
		total += n
	}
	require.NoError(x, log.Wait(x.ctx, func() bool {
		seen := make(map[string]struct{})
		for _, v := range log.Values() {
			seen[v] = struct{}{}
		}
		return len(seen) >= total
	}), "entries are missing")
	requireNumbered(x.T, log.Values(), want)
}

func (x *exercise[Tx]) requireEmpty() {
	x.Helper()
	b, err := x.Store.Backlog(x.ctx)
	require.NoError(x, err)
	require.Zero(x, b.Entries, "what was acknowledged is deleted")
}

// write has several workers do counting units on both stores.
func (x *exercise[Tx]) write(stores []outbox.Store[Tx], workers, each, sagas int) {
	x.Helper()
	x.parallel(workers, func(worker int) error {
		for i := range each {
			if err := next(x.ctx, stores[worker%len(stores)], saga((worker*5+i*3)%sagas)); err != nil {
				return err
			}
		}
		return nil
	})
}

// twoRelays is G7 and G9 over a log that loses answers: whatever was committed is
// published, and for the first time in commit order.
func (x *exercise[Tx]) twoRelays() {
	stores := []outbox.Store[Tx]{x.Store, x.Another(x.T)}
	log := NewLog()
	var asked atomic.Int64
	log.SetAnswers(func(*choreo.Record) Answer {
		switch asked.Add(1) % 11 {
		case 3:
			return LoseAnswer
		case 5:
			return WriteTwice
		case 7:
			return Refuse
		default:
			return Acknowledge
		}
	})
	config := relayConfig()
	config.BatchMax = 7
	for _, store := range stores {
		x.relay(store, log, config)
	}
	x.write(stores, 6, 20, 9)
	x.waitFor(log, x.counted(9))
	log.SetAnswers(nil)
	x.untilEmpty()
}

// untilEmpty waits for the deletions that follow the last publications.
func (x *exercise[Tx]) untilEmpty() {
	x.Helper()
	for {
		b, err := x.Store.Backlog(x.ctx)
		require.NoError(x, err)
		if b.Entries == 0 {
			return
		}
	}
}

// relayDiesBeforeDelete: what was acknowledged and not deleted comes again, nothing is
// lost, and nothing overtakes.
func (x *exercise[Tx]) relayDiesBeforeDelete() {
	other := x.Another(x.T)
	for n := range 5 {
		x.commit(x.Store, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(n), 3)}, Entries: entries(saga(n), 3)}, saga(n))
	}
	log := NewLog()
	config := relayConfig()
	config.BatchMax, config.StopTimeout = 6, -1
	if x.Disconnect == nil {
		c := x.claim(x.Store, 6)
		var records []choreo.Record
		for _, e := range c.Entries() {
			records = append(records, e.Record)
		}
		require.Nil(x, log.Publish(x.ctx, records))
		require.NoError(x, c.Release(x.ctx))
	} else {
		died := make(chan struct{})
		ctx, cancel := context.WithCancel(x.ctx)
		defer cancel()
		log.SetHook(sync.OnceFunc(func() {
			x.Disconnect()
			cancel() // the process is dead: its relay does nothing more
			close(died)
		}))
		require.NoError(x, outbox.NewRelay(x.Store, log, config).Run(ctx))
		<-died
	}
	require.Len(x, log.Values(), 6)
	stop := x.relay(other, log, relayConfig())
	// Until the database notices that the connection is gone, it holds the claim: all
	// values may be there before the batch comes again.
	const all = 5*3 + 6
	require.NoError(x, log.Wait(x.ctx, func() bool { return len(log.Values()) >= all }), "entries are missing")
	stop()
	requireNumbered(x.T, log.Values(), x.counted(5))
	x.requireEmpty()
	require.Len(x, log.Values(), all, "the batch that was not deleted came twice")
}

func (x *exercise[Tx]) brokerAnswersTwice() {
	log := NewLog()
	log.SetAnswers(func(*choreo.Record) Answer { return WriteTwice })
	stop := x.relay(x.Store, log, relayConfig())
	x.write([]outbox.Store[Tx]{x.Store}, 3, 5, 3)
	x.waitFor(log, x.counted(3))
	stop()
	x.requireEmpty()
}

// brokerAnswersLate: records arrive after the relay gave them up.
func (x *exercise[Tx]) brokerAnswersLate() {
	log := NewLog()
	var asked atomic.Int64
	log.SetAnswers(func(r *choreo.Record) Answer {
		if string(r.Key) == saga(1).ID && asked.Add(1) <= 3 {
			return Late
		}
		return Acknowledge
	})
	config := relayConfig()
	config.PublishTimeout = 20 * time.Millisecond
	stop := x.relay(x.Store, log, config)
	x.write([]outbox.Store[Tx]{x.Store}, 3, 5, 3)
	x.waitFor(log, x.counted(3))
	require.NoError(x, log.Wait(x.ctx, func() bool { return asked.Load() > 3 }))
	stop()
	x.requireEmpty()
	requireNumbered(x.T, log.Values(), x.counted(3))
}

func (x *exercise[Tx]) brokerAwayAndBack() {
	log := NewLog()
	var away atomic.Bool
	away.Store(true)
	log.SetAnswers(func(*choreo.Record) Answer {
		if away.Load() {
			return Refuse
		}
		return Acknowledge
	})
	stop := x.relay(x.Store, log, relayConfig())
	x.write([]outbox.Store[Tx]{x.Store, x.Another(x.T)}, 4, 5, 7)
	require.NoError(x, log.Wait(x.ctx, func() bool { return log.Refused() >= 14 }))
	require.Empty(x, log.Values())
	away.Store(false)
	x.waitFor(log, x.counted(7))
	stop()
	x.requireEmpty()
}

// joinedCommitsLater: the caller's transaction commits after its unit woke the relay.
func (x *exercise[Tx]) joinedCommitsLater() {
	log := NewLog()
	config := relayConfig()
	config.Poll = 0 // 1 s: a wake is what brings the entry
	stop := x.relay(x.Store, log, config)
	require.NoError(x, x.Transact(x.ctx, func(tx Tx) error {
		u, err := x.Store.Join(x.ctx, tx, saga(1))
		if err != nil {
			return err
		}
		return u.Commit(x.ctx, outbox.Changes{Entries: entries(saga(1), 2)})
	}))
	x.waitFor(log, map[string]int{saga(1).ID: 2})
	stop()
	x.requireEmpty()
}

// poisonedRecord is G8 in the relay: a record that cannot be published holds its own key.
func (x *exercise[Tx]) poisonedRecord() {
	log := NewLog()
	var healed atomic.Bool
	bad := value(saga(3).ID, 2)
	log.SetAnswers(func(r *choreo.Record) Answer {
		if string(r.Value) == bad && !healed.Load() {
			return Refuse
		}
		return Acknowledge
	})
	stop := x.relay(x.Store, log, relayConfig())
	x.write([]outbox.Store[Tx]{x.Store}, 4, 15, 6)
	want := x.counted(6)
	require.Greater(x, want[saga(3).ID], 2, "entries wait behind the poisoned one")
	others := make(map[string]int)
	for key, n := range want {
		others[key] = n
	}
	others[saga(3).ID] = 1
	x.waitFor(log, others)
	refused := log.Refused()
	require.NoError(x, log.Wait(x.ctx, func() bool { return log.Refused() >= max(3, refused+1) }), "it is tried again")
	require.False(x, slices.Contains(log.Values(), value(saga(3).ID, 3)))
	healed.Store(true)
	x.waitFor(log, want)
	stop()
	x.requireEmpty()
}
