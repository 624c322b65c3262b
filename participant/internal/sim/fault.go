package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Fault is a kind of thing that goes wrong, or that makes life hard.
type Fault string

// The faults. A seed draws about half of them.
const (
	Crash            Fault = "crash at an effect"
	CommitLost       Fault = "commit succeeded and reported failure"
	CommitFailed     Fault = "commit failed"
	StatementFailed  Fault = "statement failed"
	Contended        Fault = "locks not free in time"
	PublishLost      Fault = "publish succeeded and reported failure"
	PublishFailed    Fault = "publish failed"
	PublishTwice     Fault = "duplicate publish"
	PublishStale     Fault = "stale publish"
	LateRelay        Fault = "late relay"
	TwoOwners        Fault = "two owners of a partition"
	Rebalance        Fault = "rebalance"
	Rewind           Fault = "offsets went back"
	PausedProcess    Fault = "paused process"
	SlowProcess      Fault = "time passed amid work"
	ClockJump        Fault = "clock jump"
	DatabaseAway     Fault = "database away"
	BrokerAway       Fault = "broker away"
	PartitionsRaised Fault = "partition count raised"
	ServiceGone      Fault = "service gone for long"
	Redeployed       Fault = "redeployed with a new version"
	LongPause        Fault = "rows pruned, then stale publishes"
	Cancelled        Fault = "cancel"
	Commanded        Fault = "operator command"
	Garbage          Fault = "record that is no event"
)

// allFaults is every kind, in the order in which a seed draws.
var allFaults = []Fault{
	Crash, CommitLost, CommitFailed, StatementFailed, PublishLost, PublishFailed, PublishTwice, PublishStale,
	LateRelay, TwoOwners, Rebalance, Rewind, PausedProcess, SlowProcess, ClockJump, DatabaseAway, BrokerAway,
	PartitionsRaised, ServiceGone, Redeployed, LongPause, Cancelled, Commanded, Garbage, Contended,
}

// Errors that the world injects.
var (
	errFault = errors.New("simulated: the statement failed")
	errAway  = errors.New("simulated: away")
)

func (w *world) drawFaults() map[Fault]bool {
	drawn := make(map[Fault]bool)
	for _, f := range allFaults {
		drawn[f] = w.rng.IntN(2) == 0
	}
	for _, f := range w.options.With {
		drawn[f] = true
	}
	for _, f := range w.options.Without {
		drawn[f] = false
	}
	return drawn
}

func (w *world) count(f Fault) { w.counts[f]++ }

// strikes draws whether a fault befalls this effect: one in so many, where the seed has it.
func (w *world) strikes(f Fault, oneIn int) bool {
	// The draw is made in any case, so that a fault that is left out changes no other.
	hit := w.dice.IntN(oneIn) == 0
	if !hit || w.calm || !w.faults[f] {
		return false
	}
	w.count(f)
	return true
}

// plan draws the faults that come by themselves, until the end of the troubled time.
func (w *world) plan(until time.Duration) {
	times := func(f Fault, most int, do func()) {
		n := w.rng.IntN(most + 1)
		for range n {
			at := time.Duration(w.rng.Int64N(int64(until)))
			w.after(at, func() {
				if !w.calm && w.faults[f] {
					w.count(f)
					w.note("world", string(f), "")
					do()
				}
			})
		}
	}
	times(Rebalance, 12, func() { w.anyService().rebalance(nil) })
	times(TwoOwners, 12, func() { w.anyService().secondOwner() })
	times(Rewind, 6, func() { w.anyService().rewind() })
	times(PausedProcess, 8, func() { w.anyService().pauseOne(w.within(2 * time.Minute)) })
	times(ClockJump, 6, func() { w.anyService().jump() })
	times(DatabaseAway, 5, func() { w.anyService().loseDatabase(w.within(time.Minute)) })
	times(BrokerAway, 3, func() { w.loseBroker(w.within(time.Minute)) })
	times(PartitionsRaised, 2, w.raisePartitions)
	times(ServiceGone, 1, func() { w.anyService().leave(5*time.Minute + w.within(20*time.Minute)) })
	times(Redeployed, 2, w.redeploy)
	times(LateRelay, 8, func() { w.anyService().lateRelay(w.within(2 * time.Minute)) })
	times(PublishStale, 30, w.publishStale)
	times(Garbage, 3, w.publishGarbage)
	times(Crash, 12, func() { w.anyService().crashOne() })
}

func (w *world) anyService() *service { return w.services[w.dice.IntN(len(w.services))] }

func (w *world) loseBroker(d time.Duration) { w.brokerUp = w.now() + d }

// redeploy replaces the processes of all services, one by one, by those of the newest build.
func (w *world) redeploy() {
	for _, s := range w.services {
		for i := range s.instances {
			w.after(w.within(3*time.Minute), func() { s.upgrade(i) })
		}
	}
}

// heal mends everything: every service is back and of the newest build, handlers that failed
// work, people answer.
func (w *world) heal() {
	w.note("world", "heals", "")
	w.healing = true
	for _, s := range w.services {
		s.gone = 0
		for i := range s.instances {
			if s.builds[i] < newestBuild {
				w.after(w.within(time.Minute), func() { s.upgrade(i) })
			}
			s.launch(i)
		}
	}
}

// drawn makes a list of what a seed has drawn.
func (w *world) drawn() string {
	var list []string
	for _, f := range allFaults {
		if w.faults[f] {
			list = append(list, string(f))
		}
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}
