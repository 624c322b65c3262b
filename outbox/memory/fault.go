package memory

import "github.com/choreo-go/choreo/outbox"

// Op names a thing that a store does to its database.
type Op string

// The operations, in the order in which a unit of work and then a relay come by them.
const (
	OpMigrate      Op = "migrate"
	OpPing         Op = "ping"
	OpBegin        Op = "begin"
	OpLock         Op = "lock" // once a saga
	OpLoad         Op = "load"
	OpParked       Op = "parked"
	OpCountOpen    Op = "count open"
	OpGet          Op = "get"
	OpPut          Op = "put"
	OpDelete       Op = "delete"
	OpPart         Op = "part"
	OpUndoPart     Op = "undo part"
	OpWriteSteps   Op = "write steps"
	OpWriteSagas   Op = "write sagas"
	OpWriteParked  Op = "write parked" // of Park and Unpark
	OpWriteEntries Op = "write entries"
	OpCommit       Op = "commit"
	OpRollback     Op = "rollback"
	OpClaim        Op = "claim"
	OpDone         Op = "done"
	OpRelease      Op = "release"
	OpSweep        Op = "sweep" // deletes entries that were handed over
	OpBacklog      Op = "backlog"
	OpDue          Op = "due"
	OpHasten       Op = "hasten"
	OpWaiting      Op = "waiting"
	OpPrune        Op = "prune"
)

// Effect is one operation as a [Hook] sees it.
type Effect struct {
	Op    Op
	After bool            // false: about to happen; true: has happened
	Sagas []outbox.SagaID // of a unit or transaction
	Keys  []string        // of a claim
}

// Hook is called before and after each effect of a store, by the goroutine that asked
// for it and with no lock held: it may block, call the store, break its connection.
//
// An error that it returns before an effect prevents it. An error after it leaves it
// done and is what the caller gets, as when the answer is lost on its way; after a commit it
// is wrapped in outbox.ErrUnknownOutcome.
type Hook func(Effect) error

// SetHook sets the hook of this store; nil takes it away.
func (s *Store) SetHook(hook Hook) {
	if hook == nil {
		s.hook.Store(nil)
		return
	}
	s.hook.Store(&hook)
}

func (s *Store) before(e Effect) error {
	if hook := s.hook.Load(); hook != nil {
		return (*hook)(e)
	}
	return nil
}

func (s *Store) after(e Effect) error {
	e.After = true
	return s.before(e)
}

// Disconnect breaks the store's open units, transactions and claims, as a lost
// connection does: they are rolled back, and their next call fails with
// [ErrConnectionLost]. Later calls of the store use a new connection.
func (s *Store) Disconnect() {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.db.breakOff(func(o *Store) bool { return o == s })
}

// Kill is Disconnect for good: the store stands for a process that was killed, and
// whatever still runs of it reaches the database no more.
func (s *Store) Kill() {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.killed = true
	s.db.breakOff(func(o *Store) bool { return o == s })
}
