package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
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
	type since struct { // the map is looked into once a row, not at each comparison
		dueRow
		at time.Time
	}
	var rows []since
	for row, at := range db.due {
		if !at.After(now) {
			rows = append(rows, since{row, at})
		}
	}
	slices.SortFunc(rows, func(a, b since) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return cmp.Or(compare(a.saga, b.saga), cmp.Compare(a.step, b.step))
	})
	var list []outbox.Due
	for _, row := range rows {
		if len(list) == query.Limit {
			break
		}
		d := db.dueOf(row.dueRow)
		if !slices.Contains(query.Except, kindOf(d)) {
			list = append(list, d)
		}
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
		if at.After(now) && kindOf(db.dueOf(row)) == kind {
			db.due[row] = now
			n++
		}
	}
	return n, nil
}

func kindOf(d outbox.Due) outbox.DueKind {
	return outbox.DueKind{Saga: d.SagaID.Saga, Step: d.Step, State: d.State}
}

// dueOf tells what Due tells of a row. The database is locked.
func (db *Database) dueOf(row dueRow) outbox.Due {
	d := outbox.Due{SagaID: row.saga, Step: row.step}
	if row.step == choreo.SagaRow {
		saga := db.sagas[row.saga]
		d.Version, d.State, d.Attempt = saga.Version, saga.State, saga.Attempt
	} else {
		step := db.steps[row.saga][row.step]
		d.Version, d.State, d.Attempt = step.Version, step.State, step.Attempt
	}
	return d
}
