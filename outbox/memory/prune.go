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

// Prune deletes rows of ended sagas, those that came to rest first first.
func (s *Store) Prune(ctx context.Context, olderThan time.Duration, limit int) (int, error) {
	if err := errors.Join(ctx.Err(), s.before(Effect{Op: OpPrune})); err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	n, err := s.pruneNow(olderThan, limit)
	if err == nil {
		err = s.after(Effect{Op: OpPrune})
	}
	if err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	return n, nil
}

func (s *Store) pruneNow(olderThan time.Duration, limit int) (int, error) {
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := s.usable(); err != nil {
		return 0, err
	}
	cutoff := db.now().Add(-olderThan)
	type ended struct {
		saga outbox.SagaID
		last time.Time
		rows int
	}
	var list []ended
	for saga, last := range db.written {
		// A unit that holds the saga's lock, or waits for it, has begun: what it read
		// must be there when it commits.
		if last.Before(cutoff) && db.locks[saga] == nil && db.atRest(saga) {
			list = append(list, ended{saga, last, db.rowsOf(saga)})
		}
	}
	slices.SortFunc(list, func(a, b ended) int { return cmp.Or(a.last.Compare(b.last), compare(a.saga, b.saga)) })
	total := 0
	for _, e := range list {
		if total > 0 && total+e.rows > limit {
			break
		}
		total += e.rows
		for step := range db.steps[e.saga] {
			delete(db.due, dueRow{e.saga, step})
		}
		delete(db.due, dueRow{saga: e.saga})
		delete(db.steps, e.saga)
		delete(db.sagas, e.saga)
		delete(db.parked, e.saga)
		delete(db.written, e.saga)
	}
	return total, nil
}

// atRest reports whether all rows of a saga are. The database is locked.
func (db *Database) atRest(saga outbox.SagaID) bool {
	for _, row := range db.steps[saga] {
		if !outbox.AtRest(row.State) {
			return false
		}
	}
	row, ok := db.sagas[saga]
	return !ok || outbox.AtRest(row.State)
}

func (db *Database) rowsOf(saga outbox.SagaID) int {
	n := len(db.steps[saga])
	if _, ok := db.sagas[saga]; ok {
		n++
	}
	return n
}
