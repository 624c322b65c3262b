package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/choreo-go/choreo/outbox"
)

// dueRow names a row: of a step, or with an empty step of a saga.
type dueRow struct {
	saga outbox.SagaID
	step string
}

// setDue notes when a row is due. The database is locked.
func (db *Database) setDue(row dueRow, in time.Duration) {
	if in <= 0 {
		delete(db.due, row)
		return
	}
	db.due[row] = db.now().Add(in)
}

// Due returns the rows whose time has come.
func (s *Store) Due(ctx context.Context, query outbox.DueQuery) ([]outbox.Due, error) {
	if err := errors.Join(ctx.Err(), s.before(Effect{Op: OpDue})); err != nil {
		return nil, fmt.Errorf("due: %w", err)
	}
	list, err := s.dueNow(query)
	if err == nil {
		err = s.after(Effect{Op: OpDue})
	}
	if err != nil {
		return nil, fmt.Errorf("due: %w", err)
	}
	return list, nil
}

func (s *Store) dueNow(query outbox.DueQuery) ([]outbox.Due, error) {
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	now := db.now()
	var rows []dueRow
	for row, at := range db.due {
		if !at.After(now) && !slices.Contains(query.Except, db.kind(row)) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b dueRow) int {
		return cmp.Or(db.due[a].Compare(db.due[b]), compare(a.saga, b.saga), cmp.Compare(a.step, b.step))
	})
	var list []outbox.Due
	for _, row := range rows[:min(len(rows), query.Limit)] {
		d := outbox.Due{SagaID: row.saga, Step: row.step, State: db.kind(row).State}
		if d.Step == "" {
			d.Version, d.Attempt = db.sagas[row.saga].Version, db.sagas[row.saga].Attempt
		} else {
			step := db.steps[row.saga][row.step]
			d.Version, d.Attempt = step.Version, step.Attempt
		}
		list = append(list, d)
	}
	return list, nil
}

// Hasten makes the rows of a kind due now.
func (s *Store) Hasten(ctx context.Context, kind outbox.DueKind) (int, error) {
	if err := errors.Join(ctx.Err(), s.before(Effect{Op: OpHasten})); err != nil {
		return 0, fmt.Errorf("hasten: %w", err)
	}
	n, err := s.hastenNow(kind)
	if err == nil {
		err = s.after(Effect{Op: OpHasten})
	}
	if err != nil {
		return 0, fmt.Errorf("hasten: %w", err)
	}
	return n, nil
}

func (s *Store) hastenNow(kind outbox.DueKind) (n int, err error) {
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := s.usable(); err != nil {
		return 0, err
	}
	now := db.now()
	for row, at := range db.due {
		if at.After(now) && db.kind(row) == kind {
			db.due[row] = now
			n++
		}
	}
	return n, nil
}

// kind tells what Except knows of a row. The database is locked.
func (db *Database) kind(row dueRow) outbox.DueKind {
	k := outbox.DueKind{Saga: row.saga.Saga, Step: row.step}
	if row.step == "" {
		k.State = db.sagas[row.saga].State
	} else {
		k.State = db.steps[row.saga][row.step].State
	}
	return k
}
