package participant

import (
	"sync"
	"time"
)

// pace is how large groups may be, and whether they take turns with those of other processes.
//
// Handlers lock rows of their own in any order, so that two groups may come to hold each other's.
// The database ends such a wait after lockTimeout, and the group begins anew. When that happens,
// groups take turns for a while: then only units that are no groups can still be in the way. Where
// even that does not help, groups shrink, down to one saga, and then grow again.
type pace struct {
	mu    sync.Mutex
	most  int
	now   int // sagas in a group
	calm  int // groups since the last that grew, or failed
	alone time.Time
	turns time.Duration // how long groups took turns last, or take turns now
}

const (
	// lockTimeout is above what a group takes, so that who only waits is not taken for one who
	// waits for ever, and far below the second after which PostgreSQL looks for deadlocks.
	lockTimeout = 100 * time.Millisecond
	// leastTurns and mostTurns bound for how long groups take turns: twice as long each time, if
	// it was needed again soon.
	leastTurns = 5 * time.Second
	mostTurns  = time.Minute
	// calmGroups is after how many groups without trouble they grow.
	calmGroups = 16
)

func newPace(most int) pace { return pace{most: most, now: most} }

// size returns how many sagas may share a transaction.
func (p *pace) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// takesTurns reports whether a group is to be alone.
func (p *pace) takesTurns(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Before(p.alone)
}

// well notes a group that has committed, of so many sagas, and how many there was time for.
func (p *pace) well(reached, sagas int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reached < sagas { // those that it has not come to were locked in vain
		p.calm, p.now = 0, max(1, min(p.now, reached))
		return
	}
	if p.calm++; p.calm >= calmGroups && p.now < p.most {
		p.calm, p.now = 0, min(2*p.now, p.most)
	}
}

// ill notes that a group of so many sagas failed by a fault that may pass.
func (p *pace) ill(sagas int, alone bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calm = 0
	if alone {
		p.now = max(1, min(p.now, sagas)/2)
	}
	again := now.Sub(p.alone) < p.turns
	switch {
	case p.turns == 0 || !again:
		p.turns = leastTurns
	case !alone:
		p.turns = min(2*p.turns, mostTurns)
	}
	p.alone = now.Add(p.turns)
}
