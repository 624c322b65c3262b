package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/outbox"
)

// sagaLock is held by one transaction until its end; others queue in order of arrival.
type sagaLock struct {
	owner *Tx
	queue []*waiter
}

// SetWait sets what a transaction of this store does, with no lock held, while another
// one holds its saga: wait is to return once ready reports true, which is when the lock came
// to this transaction, or it or its context ended. A single-threaded scheduler runs others
// in it. With nil, or when wait returns too early, the transaction blocks.
func (s *Store) SetWait(wait func(ready func() bool)) {
	if wait == nil {
		s.wait.Store(nil)
		return
	}
	s.wait.Store(&wait)
}

// waiter is a transaction in the queue of a lock. done is closed when it got the lock
// or lost its connection.
type waiter struct {
	tx   *Tx
	lock *sagaLock
	done chan struct{}
}

// lock takes the lock of one saga for tx. It waits until ctx ends.
func (db *Database) lock(ctx context.Context, tx *Tx, saga outbox.SagaID) error {
	db.mu.Lock()
	if tx.err != nil {
		db.mu.Unlock()
		return tx.err
	}
	l := db.locks[saga]
	switch {
	case l == nil:
		db.locks[saga] = &sagaLock{owner: tx}
		tx.locks = append(tx.locks, saga)
		db.mu.Unlock()
		return nil
	case l.owner == tx:
		db.mu.Unlock()
		return nil
	case wouldDeadlock(tx, l):
		db.mu.Unlock()
		return fmt.Errorf("lock saga %s/%s: each of two transactions waits for the other: %w", saga.Saga, saga.ID, ErrConflict)
	}
	w := &waiter{tx: tx, lock: l, done: make(chan struct{})}
	l.queue = append(l.queue, w)
	tx.waiting = w
	db.mu.Unlock()

	if wait := tx.store.wait.Load(); wait != nil {
		(*wait)(func() bool { return w.ready(ctx) })
	}
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	tx.waiting = nil
	l.queue = slices.DeleteFunc(l.queue, func(o *waiter) bool { return o == w })
	switch {
	case tx.err != nil:
		return tx.err
	case l.owner == tx: // also when it came at the moment at which ctx ended
		return nil
	default:
		return fmt.Errorf("lock saga %s/%s: %w", saga.Saga, saga.ID, context.Cause(ctx))
	}
}

// ready reports whether there is nothing to wait for any more.
func (w *waiter) ready(ctx context.Context) bool {
	select {
	case <-w.done:
		return true
	default:
		return ctx.Err() != nil
	}
}

// wouldDeadlock follows who waits for whom from l's owner on. A transaction waits for
// one lock at a time, so that the path does not branch.
func wouldDeadlock(tx *Tx, l *sagaLock) bool {
	for l.owner != tx {
		if l.owner.waiting == nil {
			return false
		}
		l = l.owner.waiting.lock
	}
	return true
}

// unlock gives a lock of an ending transaction to the next in its queue.
func (db *Database) unlock(saga outbox.SagaID) {
	l := db.locks[saga]
	for len(l.queue) > 0 {
		next := l.queue[0]
		l.queue = l.queue[1:]
		if next.tx.err == nil {
			l.owner = next.tx
			next.tx.locks = append(next.tx.locks, saga)
			next.tx.waiting = nil
			close(next.done)
			return
		}
	}
	delete(db.locks, saga)
}
