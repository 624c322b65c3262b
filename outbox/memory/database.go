package memory

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/choreo-go/choreo/outbox"
)

// Errors of this package.
var (
	// ErrConflict is returned where a transaction cannot commit beside another one: what
	// it read has changed, or both wait for each other's saga. Nothing was committed;
	// the same work may be tried again in a new transaction.
	ErrConflict = errors.New("conflict with another transaction: try again")
	// ErrConnectionLost is returned by what was open when the connection broke, and by
	// every call of a killed store.
	ErrConnectionLost = errors.New("connection to the database lost")
	// ErrDown is returned while the database is stopped.
	ErrDown = errors.New("database is down")
	// ErrTxDone is returned by a transaction that was committed or rolled back.
	ErrTxDone = errors.New("transaction has ended")
)

// Database holds the data of one service. It is safe for concurrent use.
type Database struct {
	mu      sync.Mutex
	down    bool
	now     func() time.Time
	commits uint64 // how many there were; the version of what the last one wrote
	cells   map[cell]stored
	steps   map[outbox.SagaID]map[string]outbox.StepRow
	sagas   map[outbox.SagaID]outbox.SagaRow
	running map[string]int                    // how many sagas of a definition are open
	parked  map[outbox.SagaID][]outbox.Parked // by Seq; a list is never changed, but replaced
	entries []*outbox.Entry                   // by Seq
	keyed   map[string][]int64                // the entries by their key
	handed  map[int64]mark                    // entries that a unit handed to its process's relay
	seq     int64                             // the last one taken; takers may commit in another order
	due     map[dueRow]time.Time
	written map[outbox.SagaID]time.Time // when a row of the saga last was
	locks   map[outbox.SagaID]*sagaLock
	open    map[*Tx]struct{}
	claimed map[string]*claim // by Entry.Key
	claims  map[*claim]struct{}
}

// mark says to whose relay an entry was handed, and until when others leave it to that one.
type mark struct {
	store *Store
	until time.Time
}

type cell struct{ table, key string }

type stored struct {
	value   string
	version uint64
}

// NewDatabase returns an empty database.
func NewDatabase() *Database {
	return &Database{
		now:     time.Now,
		cells:   make(map[cell]stored),
		steps:   make(map[outbox.SagaID]map[string]outbox.StepRow),
		sagas:   make(map[outbox.SagaID]outbox.SagaRow),
		parked:  make(map[outbox.SagaID][]outbox.Parked),
		running: make(map[string]int),
		keyed:   make(map[string][]int64),
		handed:  make(map[int64]mark),
		due:     make(map[dueRow]time.Time),
		written: make(map[outbox.SagaID]time.Time),
		locks:   make(map[outbox.SagaID]*sagaLock),
		open:    make(map[*Tx]struct{}),
		claimed: make(map[string]*claim),
		claims:  make(map[*claim]struct{}),
	}
}

// SetClock sets the clock by which the database tells when rows are due, how old they
// are and when entries were created; nil is time.Now. It must not call the database.
func (db *Database) SetClock(now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.now = now
}

// Stop takes the database away: what is open breaks, and every call fails with
// [ErrDown] until Start. What was committed stays.
func (db *Database) Stop() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.down = true
	db.breakOff(func(*Store) bool { return true })
}

// Start brings a stopped database back.
func (db *Database) Start() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.down = false
}

// breakOff ends the transactions and claims of some stores as a broken connection does.
func (db *Database) breakOff(of func(*Store) bool) {
	for tx := range db.open {
		if of(tx.store) {
			tx.end(ErrConnectionLost)
		}
	}
	for c := range db.claims {
		if of(c.store) {
			c.end(ErrConnectionLost)
		}
	}
}

// Snapshot is a copy of everything that is committed.
type Snapshot struct {
	Steps   []outbox.StepRow // by saga, then step
	Sagas   []outbox.SagaRow // by saga
	Parked  []outbox.Parked  // by saga, then Seq
	Entries []outbox.Entry   // by Seq
	Tables  map[string]map[string]string
}

// Snapshot returns a copy of everything that is committed, also while the database is stopped.
func (db *Database) Snapshot() Snapshot {
	db.mu.Lock()
	defer db.mu.Unlock()
	s := Snapshot{Tables: make(map[string]map[string]string)}
	for _, id := range slices.SortedFunc(maps.Keys(db.steps), compare) {
		for _, step := range slices.Sorted(maps.Keys(db.steps[id])) {
			s.Steps = append(s.Steps, cloneStep(db.steps[id][step]))
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(db.sagas), compare) {
		s.Sagas = append(s.Sagas, cloneSaga(db.sagas[id]))
	}
	for _, id := range slices.SortedFunc(maps.Keys(db.parked), compare) {
		for _, p := range db.parked[id] {
			s.Parked = append(s.Parked, cloneParked(p))
		}
	}
	for _, e := range db.entries {
		s.Entries = append(s.Entries, cloneEntry(e))
	}
	for at, v := range db.cells {
		if s.Tables[at.table] == nil {
			s.Tables[at.table] = make(map[string]string)
		}
		s.Tables[at.table][at.key] = v.value
	}
	return s
}

// compare is the order in which sagas are locked.
func compare(a, b outbox.SagaID) int {
	return cmp.Or(cmp.Compare(a.Saga, b.Saga), cmp.Compare(a.ID, b.ID))
}

// insert puts entries in their place by Seq: a late commit may bring low ones.
func (db *Database) insert(entries []*outbox.Entry) {
	for _, e := range entries {
		at := len(db.entries)
		if at > 0 && db.entries[at-1].Seq > e.Seq {
			at, _ = slices.BinarySearchFunc(db.entries, e.Seq, func(o *outbox.Entry, seq int64) int {
				return bySeq(*o, seq)
			})
		}
		db.entries = slices.Insert(db.entries, at, e)
		db.keyed[e.Key()] = append(db.keyed[e.Key()], e.Seq)
	}
}

// remove takes entries away.
func (db *Database) remove(gone map[int64]struct{}) {
	db.entries = slices.DeleteFunc(db.entries, func(e *outbox.Entry) bool {
		_, ok := gone[e.Seq]
		if ok {
			left := slices.DeleteFunc(db.keyed[e.Key()], func(seq int64) bool { return seq == e.Seq })
			if db.keyed[e.Key()] = left; len(left) == 0 {
				delete(db.keyed, e.Key())
			}
			delete(db.handed, e.Seq)
		}
		return ok
	})
}
