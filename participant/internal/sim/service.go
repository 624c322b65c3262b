package sim

import (
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"

	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// service is one service: its database, its instances, and its consumer group.
type service struct {
	w         *world
	name      string
	db        *database
	connect   func(p *process) *backend                // a process's connection to the database
	rows      func(outbox.SagaID) (outbox.Rows, error) // as they are committed
	instances []*process                               // nil where none runs
	builds    []int                                    // of the instances
	open      map[outbox.SagaID]bool
	maxOpen   int // sagas that may be open at once; 0: any number
	closers   []func()
	unlocked  unlocked      // of a planted bug
	away      time.Duration // how long it was, in all, at most
	gone      time.Duration // until when none is started
	born      int           // how many processes there were

	generation int
	owner      map[place]*process
	committed  map[place]int64
}

// place is one partition of a topic.
type place struct {
	topic     string
	partition int32
}

// ship starts a process of the instance's build.
func (s *service) launch(i int) {
	if s.instances[i] != nil {
		return
	}
	if s.w.now() < s.gone {
		s.w.after(s.gone-s.w.now(), func() { s.launch(i) })
		return
	}
	p := newProcess(s, i)
	s.instances[i] = p
	s.w.spawn(p, p.boot)
}

// running returns the processes that take part.
func (s *service) running() []*process {
	var list []*process
	for _, p := range s.instances {
		if p != nil && p.steps != nil && !p.dying {
			list = append(list, p)
		}
	}
	return list
}

// awake returns those of them that are not paused.
func (s *service) awake() []*process {
	var list []*process
	for _, p := range s.running() {
		if p.paused <= s.w.now() {
			list = append(list, p)
		}
	}
	return list
}

// one returns a process that can be asked, or nil.
func (s *service) one() *process {
	list := s.awake()
	if len(list) == 0 {
		return nil
	}
	return list[s.w.dice.IntN(len(list))]
}

// rebalance shares the partitions out anew, among those that are awake and not left out.
// Some of those that lose theirs get to know it only later.
func (s *service) rebalance(without *process) {
	s.generation++
	s.owner = make(map[place]*process)
	var members []*process
	for _, p := range s.awake() {
		if p != without {
			members = append(members, p)
		}
	}
	for _, p := range s.running() {
		switch {
		case p.paused > s.w.now() || p == without:
		case s.w.faults[TwoOwners] && !s.w.calm && s.w.dice.IntN(4) == 0:
			s.w.count(TwoOwners)
			s.w.after(s.w.within(10*time.Second), func() { p.join(s.generation) })
		default:
			p.endSession()
		}
	}
	if len(members) == 0 {
		return
	}
	turn := s.w.dice.IntN(len(members))
	for _, at := range s.w.places() {
		s.owner[at] = members[turn%len(members)]
		turn++
	}
	for _, p := range members {
		p.join(s.generation)
	}
}

// secondOwner has a process keep its partitions while they are given to others.
func (s *service) secondOwner() {
	p := s.one()
	if p == nil || p.hand == nil {
		return
	}
	s.rebalance(p)
	s.w.after(s.w.within(20*time.Second), func() {
		if !p.dead {
			s.rebalance(nil)
		}
	})
}

// commit notes offsets, unless they are of another generation.
func (s *service) commit(generation int, offsets []memorylog.Position) bool {
	if generation != s.generation || s.w.now() < s.w.brokerUp {
		return false
	}
	for _, o := range offsets {
		s.committed[place{o.Topic, o.Partition}] = o.Offset
	}
	return true
}

// rewind sets offsets back, so that what was handled is read again.
func (s *service) rewind() {
	for _, at := range s.w.places() {
		if s.w.dice.IntN(2) == 0 {
			s.committed[at] = int64(float64(s.committed[at]) * s.w.dice.Float64())
		}
	}
	s.generation++ // what the present sessions would yet commit is dropped
	s.rebalance(nil)
}

// pauseOne stops a process for a while, as SIGSTOP does; others get its partitions.
func (s *service) pauseOne(d time.Duration) {
	p := s.one()
	if p == nil {
		return
	}
	p.paused = s.w.now() + d
	s.w.after(d, p.unpause)
	if d > sessionTimeout {
		s.w.after(sessionTimeout, func() { s.rebalance(nil) })
	}
}

// sessionTimeout is how long the broker waits for a silent process.
const sessionTimeout = 10 * time.Second

// jump sets the clocks of the service's database and processes.
func (s *service) jump() {
	draw := func() time.Duration { return s.w.within(20*time.Minute) - 10*time.Minute }
	s.db.skew = draw()
	for _, p := range s.running() {
		p.skew = draw()
	}
}

func (s *service) loseDatabase(d time.Duration) {
	s.db.away = s.w.now() + d
	s.db.epoch++
	for _, p := range s.running() {
		p.backend.disconnect()
	}
}

// leave stops the whole service for long.
func (s *service) leave(d time.Duration) {
	s.away += min(d, max(s.w.now()+d-s.gone, 0)) // it may be away already
	s.gone = max(s.gone, s.w.now()+d)
	for i, p := range s.instances {
		if p != nil {
			s.w.kill(p)
		} else {
			s.launch(i)
		}
	}
}

func (s *service) crashOne() {
	if p := s.one(); p != nil {
		s.w.kill(p)
	}
}

func (s *service) lateRelay(d time.Duration) {
	if p := s.one(); p != nil {
		p.relayLate = s.w.now() + d
	}
}

// upgrade replaces a process by one of the newest build.
func (s *service) upgrade(i int) {
	s.builds[i] = newestBuild
	if p := s.instances[i]; p != nil {
		s.w.kill(p)
	}
}

// calmDown ends what disturbs the service, but for its being away.
func (s *service) calmDown() {
	s.db.away, s.db.skew = 0, 0
	for i, p := range s.instances {
		switch {
		case p == nil:
			s.launch(i)
		case p.paused > s.w.now():
			p.paused = 0
			p.unpause()
		}
		if p != nil {
			p.skew, p.relayLate = 0, 0
		}
	}
	s.rebalance(nil)
}

// opened notes the state of a saga that the service has started, and checks the bound on open ones.
func (s *service) opened(r *outbox.SagaRow) {
	if r.State != choreo.RowOpen {
		delete(s.open, r.SagaID)
		return
	}
	s.open[r.SagaID] = true
	n := 0
	for id := range s.open {
		if id.Saga == r.SagaID.Saga {
			n++
		}
	}
	if s.maxOpen > 0 && n > s.maxOpen {
		s.w.fail("bounds", r.SagaID.ID, fmt.Sprintf("%d sagas of %s are open, the bound is %d", n, r.SagaID.Saga, s.maxOpen))
	}
}

// limits bound the handlers of some steps.
func (s *service) limits(build int) map[string]int {
	limits := make(map[string]int)
	for _, sh := range s.w.shapes {
		for i := range sh.steps {
			st := &sh.steps[i]
			if knows(build, sh) && st.owner == s.name && s.w.roll(3, "limited", st.name) == 0 {
				limits[st.name] = 1 + s.w.roll(2, "limit", st.name)
			}
		}
	}
	return limits
}

// knows reports whether a build of the service knows a version of a saga.
func knows(build int, s *shape) bool { return s.version <= build }

// newestBuild knows every version and decodes every payload.
const newestBuild = 2

func sagasOf(build int, shapes []*shape) []choreo.AnySaga {
	var list []choreo.AnySaga
	for _, s := range shapes {
		if knows(build, s) {
			list = append(list, s.saga)
		}
	}
	return list
}
