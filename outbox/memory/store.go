package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Store is one process's connection to a [Database]. It implements
// outbox.Store[*Tx] and is safe for concurrent use.
type Store struct {
	db        *Database
	killed    bool // guarded by db.mu
	hook      atomic.Pointer[Hook]
	wait      atomic.Pointer[func(ready func() bool)]
	hand      atomic.Pointer[outbox.Handover]
	committed chan struct{}
}

var _ outbox.Store[*Tx] = (*Store)(nil)

// New connects a process to a database.
func New(db *Database) *Store {
	return &Store{db: db, committed: make(chan struct{}, 1)}
}

// Migrate does nothing but reach the database.
func (s *Store) Migrate(ctx context.Context) error { return s.reach(ctx, OpMigrate) }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.reach(ctx, OpPing) }

func (s *Store) reach(ctx context.Context, op Op) error {
	err := errors.Join(ctx.Err(), s.before(Effect{Op: op}))
	if err == nil {
		s.db.mu.Lock()
		err = s.usable()
		s.db.mu.Unlock()
	}
	if err == nil {
		err = s.after(Effect{Op: op})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// usable reports why the store cannot be used. The database is locked.
func (s *Store) usable() error {
	switch {
	case s.killed:
		return ErrConnectionLost
	case s.db.down:
		return ErrDown
	}
	return nil
}

// Transient reports whether the same unit may succeed when it is run again.
func (s *Store) Transient(err error) bool {
	for _, fault := range []error{ErrConflict, ErrConnectionLost, ErrDown, outbox.ErrUnknownOutcome} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}

// BeginTx opens a transaction of the caller's own, such as one to join.
func (s *Store) BeginTx(ctx context.Context) (*Tx, error) {
	tx := &Tx{
		store:  s,
		reads:  make(map[cell]uint64),
		writes: make(map[cell]*string),
		steps:  make(map[outbox.SagaID]map[string]outbox.StepRow),
		sagas:  make(map[outbox.SagaID]outbox.SagaRow),
		parked: make(map[outbox.SagaID][]outbox.Parked),
	}
	if err := errors.Join(ctx.Err(), s.before(Effect{Op: OpBegin})); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	s.db.mu.Lock()
	err := s.usable()
	if err == nil {
		s.db.open[tx] = struct{}{}
		tx.checked = s.db.commits
	}
	s.db.mu.Unlock()
	if err == nil {
		if err = s.after(Effect{Op: OpBegin}); err != nil {
			tx.rollback(ErrTxDone)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return tx, nil
}

// Begin opens a transaction, locks the sagas and loads their rows.
func (s *Store) Begin(ctx context.Context, sagas ...outbox.SagaID) (outbox.Unit[*Tx], error) {
	tx, err := s.BeginTx(ctx)
	if err != nil {
		return nil, err
	}
	u, err := tx.unit(ctx, sagas)
	if err != nil {
		tx.rollback(ErrTxDone)
		return nil, err
	}
	u.own = true
	if len(u.sagas) > 1 {
		tx.named = u.sagas
	}
	return u, nil
}

// BeginGroup is Begin: a transaction waits for nobody's business rows, and of two that cross
// one fails.
func (s *Store) BeginGroup(ctx context.Context, _ outbox.Group, sagas ...outbox.SagaID) (outbox.Unit[*Tx], error) {
	return s.Begin(ctx, sagas...)
}

// Join is Begin inside a transaction of the caller.
func (s *Store) Join(ctx context.Context, tx *Tx, sagas ...outbox.SagaID) (outbox.Unit[*Tx], error) {
	u, err := tx.unit(ctx, sagas)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// wake tells a relay of this process about new entries.
func (s *Store) wake() {
	select {
	case s.committed <- struct{}{}:
	default: // one value may stand for many commits
	}
}

// unit is a unit of work.
type unit struct {
	tx    *Tx
	own   bool // the transaction ends with the unit
	ended bool
	sagas []outbox.SagaID
	rows  map[outbox.SagaID]outbox.Rows
	part  *saved // nil: there is none that can be undone
}

func (tx *Tx) unit(ctx context.Context, sagas []outbox.SagaID) (*unit, error) {
	sagas = slices.Compact(slices.SortedFunc(slices.Values(sagas), compare))
	for _, saga := range sagas {
		tx.joined = tx.joined || slices.Contains(tx.named, saga)
		err := errors.Join(ctx.Err(), tx.store.before(Effect{Op: OpLock, Sagas: []outbox.SagaID{saga}}))
		if err == nil {
			err = tx.store.db.lock(ctx, tx, saga)
		}
		if err == nil {
			err = tx.store.after(Effect{Op: OpLock, Sagas: []outbox.SagaID{saga}})
		}
		if err != nil {
			return nil, fmt.Errorf("begin: %w", err)
		}
	}
	u := &unit{tx: tx, sagas: sagas, rows: make(map[outbox.SagaID]outbox.Rows, len(sagas))}
	return u, tx.do(OpLoad, func() error {
		for _, saga := range sagas {
			u.rows[saga] = tx.load(saga)
		}
		return nil
	})
}

// load reads the rows of a saga: what is committed, under what this transaction wrote.
func (tx *Tx) load(saga outbox.SagaID) outbox.Rows {
	now := tx.store.db.now()
	rows := outbox.Rows{Steps: make(map[string]choreo.Row), Due: make(map[string]time.Duration)}
	for _, steps := range []map[string]outbox.StepRow{tx.store.db.steps[saga], tx.steps[saga]} {
		for step, row := range steps {
			rows.Steps[step] = cloneRow(row.Row)
			rows.Version = max(rows.Version, row.Version)
			if at, ok := tx.store.db.due[dueRow{saga, step}]; ok {
				rows.Due[step] = max(at.Sub(now), time.Microsecond)
			}
		}
	}
	for _, sagas := range []map[outbox.SagaID]outbox.SagaRow{tx.store.db.sagas, tx.sagas} {
		if row, ok := sagas[saga]; ok {
			own := cloneSaga(row)
			if at, ok := tx.store.db.due[dueRow{saga: saga}]; ok {
				own.DueIn = max(at.Sub(now), time.Microsecond)
			}
			rows.Saga, rows.Version = &own, max(rows.Version, own.Version)
		}
	}
	return rows
}

// Tx returns the transaction.
func (u *unit) Tx() *Tx { return u.tx }

// Rows returns the rows of a saga as they were at Begin.
func (u *unit) Rows(saga outbox.SagaID) outbox.Rows {
	rows := u.rows[saga]
	out := outbox.Rows{Version: rows.Version, Steps: maps.Clone(rows.Steps), Due: maps.Clone(rows.Due)}
	for step, row := range out.Steps {
		out.Steps[step] = cloneRow(row)
	}
	if rows.Saga != nil {
		saga := cloneSaga(*rows.Saga)
		out.Saga = &saga
	}
	return out
}

// Commit writes the changes, and commits if the transaction is the unit's own.
func (u *unit) Commit(ctx context.Context, changes outbox.Changes) error {
	if u.ended {
		return fmt.Errorf("commit: %w", ErrTxDone)
	}
	u.ended = true
	if u.own && u.tx.joined {
		u.tx.rollback(ErrTxDone)
		return fmt.Errorf("commit: %w", outbox.ErrJoined)
	}
	if err := u.write(ctx, changes); err != nil {
		// A joined transaction with half of the changes must not commit either.
		u.tx.rollback(fmt.Errorf("%w: a unit of it failed", ErrTxDone))
		return err
	}
	if !u.own {
		return nil
	}
	if h := u.tx.store.hand.Load(); h != nil && (*h).Open() {
		u.tx.hand = *h
	}
	return u.tx.Commit(ctx)
}

func (u *unit) write(ctx context.Context, changes outbox.Changes) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	tx := u.tx
	if len(changes.Steps) > 0 {
		if err := tx.do(OpWriteSteps, func() error { return tx.writeSteps(changes.Steps) }); err != nil {
			return err
		}
	}
	if len(changes.Sagas) > 0 {
		if err := tx.do(OpWriteSagas, func() error { return tx.writeSagas(changes.Sagas) }); err != nil {
			return err
		}
	}
	if len(changes.Unpark)+len(changes.Park) > 0 {
		if err := tx.do(OpWriteParked, func() error { return u.writeParked(changes.Unpark, changes.Park) }); err != nil {
			return err
		}
	}
	if len(changes.Entries) > 0 {
		return tx.do(OpWriteEntries, func() error { return tx.writeEntries(changes.Entries) })
	}
	return nil
}

// locked refuses a row of a saga that the transaction does not hold, which no lock
// would guard.
func (tx *Tx) locked(saga outbox.SagaID) error {
	if !slices.Contains(tx.locks, saga) {
		return fmt.Errorf("write a row of saga %s/%s: it was not named at the unit's begin", saga.Saga, saga.ID)
	}
	return nil
}

func (tx *Tx) writeSteps(rows []outbox.StepRow) error {
	for _, row := range rows {
		if err := tx.locked(row.SagaID); err != nil {
			return err
		}
		if tx.steps[row.SagaID] == nil {
			tx.steps[row.SagaID] = make(map[string]outbox.StepRow)
		}
		tx.steps[row.SagaID][row.Step] = cloneStep(row)
	}
	return nil
}

func (tx *Tx) writeSagas(rows []outbox.SagaRow) error {
	for _, row := range rows {
		if err := tx.locked(row.SagaID); err != nil {
			return err
		}
		tx.sagas[row.SagaID] = cloneSaga(row)
	}
	return nil
}

// writeEntries takes the numbers of entries at their insertion, as a sequence of a
// database does, so that commit order is not Seq order here either.
func (tx *Tx) writeEntries(entries []outbox.Entry) error {
	now := tx.store.db.now()
	for i := range entries {
		e := cloneEntry(&entries[i])
		tx.store.db.seq++
		e.Seq, e.CreatedAt = tx.store.db.seq, now
		tx.entries = append(tx.entries, &e)
	}
	return nil
}

// Rollback undoes the unit's own transaction.
func (u *unit) Rollback(ctx context.Context) error {
	if u.ended || !u.own {
		return nil
	}
	u.ended = true
	return u.tx.Rollback(ctx)
}
