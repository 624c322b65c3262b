package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/outbox"
)

// Tx is a transaction over tables of strings. What it writes is visible to itself at
// once and to others from its commit on. It is not safe for concurrent use.
type Tx struct {
	store   *Store
	err     error // why it can do no more; nil while it is open
	locks   []outbox.SagaID
	waiting *waiter
	named   []outbox.SagaID // of the unit whose own it is, where these are several
	joined  bool            // one of them was joined since

	reads   map[cell]uint64 // version of what was read; 0: there was nothing
	checked uint64          // Database.commits when reads were last known to hold
	writes  map[cell]*string
	steps   map[outbox.SagaID]map[string]outbox.StepRow
	sagas   map[outbox.SagaID]outbox.SagaRow
	parked  map[outbox.SagaID][]outbox.Parked // all of a saga's, where this changes them
	entries []*outbox.Entry

	hand  outbox.Handover    // gets the entries after the commit; nil: nobody does
	older map[string][]int64 // what it is to know of the moment of the commit
}

// Get returns the value of a key and whether there is one. It fails with [ErrConflict]
// as soon as something that the transaction read before has changed, so that all
// it ever reads was true at one moment.
func (tx *Tx) Get(table, key string) (value string, found bool, err error) {
	err = tx.do(OpGet, func() error {
		at := cell{table, key}
		if written, ok := tx.writes[at]; ok {
			if written != nil {
				value, found = *written, true
			}
			return nil
		}
		if err := tx.check(); err != nil {
			return err
		}
		var v stored
		v, found = tx.store.db.cells[at]
		value = v.value
		tx.reads[at] = v.version
		return nil
	})
	return value, found, err
}

// Put sets the value of a key.
func (tx *Tx) Put(table, key, value string) error {
	return tx.do(OpPut, func() error { tx.writes[cell{table, key}] = &value; return nil })
}

// Delete takes a key away; it does nothing where there is none.
func (tx *Tx) Delete(table, key string) error {
	return tx.do(OpDelete, func() error { tx.writes[cell{table, key}] = nil; return nil })
}

// Commit makes everything that the transaction wrote visible, or nothing of it. A handler must
// not call it: the transaction that it gets ends with its unit.
func (tx *Tx) Commit(ctx context.Context) error {
	if err := tx.prepare(ctx); err != nil {
		tx.rollback(ErrTxDone)
		return err
	}
	if err := tx.apply(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := tx.store.after(tx.effect(OpCommit)); err != nil {
		return fmt.Errorf("commit: %w: %w", outbox.ErrUnknownOutcome, err)
	}
	tx.announce()
	return nil
}

// announce hands on what was committed, or tells a relay of this process that it is there.
func (tx *Tx) announce() {
	if len(tx.entries) == 0 {
		return
	}
	if tx.hand != nil {
		entries := make([]outbox.Entry, len(tx.entries))
		for i, e := range tx.entries {
			entries[i] = cloneEntry(e)
		}
		if tx.hand.Offer(entries, tx.older) {
			return
		}
	}
	tx.store.wake()
}

func (tx *Tx) prepare(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := tx.store.before(tx.effect(OpCommit)); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Rollback undoes the transaction. It does nothing after Commit.
func (tx *Tx) Rollback(context.Context) error {
	err := tx.store.before(tx.effect(OpRollback))
	tx.rollback(ErrTxDone)
	if err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	return nil
}

func (tx *Tx) effect(op Op) Effect { return Effect{Op: op, Sagas: tx.locks} }

func (tx *Tx) rollback(why error) {
	tx.store.db.mu.Lock()
	defer tx.store.db.mu.Unlock()
	tx.end(why)
}

// do runs one statement between the two calls of the hook.
func (tx *Tx) do(op Op, statement func() error) error {
	if err := tx.store.before(tx.effect(op)); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	tx.store.db.mu.Lock()
	err := tx.err
	if err == nil {
		err = statement()
	}
	tx.store.db.mu.Unlock()
	if err == nil {
		err = tx.store.after(tx.effect(op))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// check reports whether what was read still holds. The database is locked.
func (tx *Tx) check() error {
	db := tx.store.db
	if tx.checked == db.commits {
		return nil
	}
	for at, version := range tx.reads {
		if db.cells[at].version != version {
			return fmt.Errorf("%s %q was changed: %w", at.table, at.key, ErrConflict)
		}
	}
	tx.checked = db.commits
	return nil
}

// apply is the commit.
func (tx *Tx) apply() error {
	db := tx.store.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if tx.err != nil {
		return tx.err
	}
	if err := tx.check(); err != nil {
		tx.end(ErrTxDone)
		return err
	}
	db.commits++
	for at, value := range tx.writes {
		if value == nil {
			delete(db.cells, at)
		} else {
			db.cells[at] = stored{value: *value, version: db.commits}
		}
	}
	now := db.now()
	for saga, rows := range tx.steps {
		db.written[saga] = now
		if db.steps[saga] == nil {
			db.steps[saga] = make(map[string]outbox.StepRow, len(rows))
		}
		for step, row := range rows {
			db.steps[saga][step] = row
			db.setDue(dueRow{saga, step}, row.DueIn)
		}
	}
	for saga, row := range tx.sagas {
		db.running[saga.Saga] += open(row) - open(db.sagas[saga])
		db.sagas[saga] = row
		db.written[saga] = now
		db.setDue(dueRow{saga: saga}, row.DueIn)
	}
	for saga, list := range tx.parked {
		if len(list) == 0 {
			delete(db.parked, saga)
		} else {
			db.parked[saga] = list
		}
	}
	if tx.hand != nil {
		tx.older = make(map[string][]int64)
		for _, e := range tx.entries {
			tx.older[e.Key()] = slices.Clone(db.keyed[e.Key()])
			db.handed[e.Seq] = mark{store: tx.store, until: now.Add(outbox.HandedFor)}
		}
	}
	db.insert(tx.entries)
	tx.end(ErrTxDone)
	return nil
}

// end closes the transaction, whatever became of it, and gives its locks on. The
// database is locked.
func (tx *Tx) end(why error) {
	if tx.err != nil {
		return
	}
	tx.err = why
	db := tx.store.db
	delete(db.open, tx)
	if tx.waiting != nil {
		close(tx.waiting.done)
		tx.waiting = nil
	}
	for _, saga := range slices.Backward(tx.locks) {
		db.unlock(saga)
	}
}
