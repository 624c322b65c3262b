package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// pruneDialect finds old rows by their rowid, which is in the order in which they came to
// be, below a bound that [Store.firstYoung] finds. An index on the time would do the
// same, but a unit of work writes whole pages: one more of them takes a third of its time.
var pruneDialect = table.PruneDialect{
	Dialect: dialect,
	Steps:   table.Old{Where: "rowid < $3", Order: "rowid"},
	Sagas:   table.Old{Where: "rowid < $4", Order: "rowid"},
	Cutoff:  "$1",
}

// Prune deletes rows of sagas that have ended.
//
// It looks without the write lock. Until it has that, a unit may write a row of what was
// found: hence the deletion asks the condition again. Units read under the same lock, so that
// none writes over the deletion what it read before it.
func (s *Store) Prune(ctx context.Context, olderThan time.Duration, limit int) (int, error) {
	// SQLite has the clock of the process. One time for all statements lets a saga's rows go
	// together.
	cutoff := time.Now().UTC().Add(-olderThan).Format("2006-01-02T15:04:05.000Z")
	sagas, err := s.pruneCandidates(ctx, cutoff, limit)
	n := 0
	if err == nil && len(sagas) > 0 {
		n, err = s.pruneSagas(ctx, cutoff, sagas)
	}
	if err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	return n, nil
}

func (s *Store) pruneCandidates(ctx context.Context, cutoff string, limit int) ([]outbox.SagaID, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	steps, err := s.firstYoung(ctx, s.tables.Step, "created_at", cutoff)
	if err != nil {
		return nil, err
	}
	sagas, err := s.firstYoung(ctx, s.tables.Saga, "started_at", cutoff)
	if err != nil {
		return nil, err
	}
	rows, err := s.core.Statements.Query(ctx, nil, s.prunes.Candidates, cutoff, limit, steps, sagas)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	return table.ReadCandidates(rows, limit)
}

// firstYoung returns a rowid below which all rows came to be before the cutoff. It halves the
// range again and again. Should the clock have gone back, or a VACUUM have shuffled the
// rowids, it may miss rows for a while, or return one that is too high, which does no
// harm: what counts is asked of each row.
func (s *Store) firstYoung(ctx context.Context, name, column, cutoff string) (int64, error) {
	var low, high int64 // rows below low are old, those from high on are not
	err := s.db.QueryRowContext(ctx, "SELECT coalesce((SELECT min(rowid) FROM "+name+"), 0), coalesce((SELECT max(rowid) FROM "+name+"), -1) + 1").
		Scan(&low, &high)
	if err != nil || low == high {
		return low, err
	}
	probe, err := s.db.PrepareContext(ctx, "SELECT rowid, "+column+" < $2 FROM "+name+" WHERE rowid >= $1 ORDER BY rowid LIMIT 1")
	if err != nil {
		return 0, err
	}
	defer func() { _ = probe.Close() }() // it was only read
	for low < high {
		var (
			row int64
			old bool
			mid = low + (high-low)/2
		)
		err := probe.QueryRowContext(ctx, mid, cutoff).Scan(&row, &old)
		switch {
		case errors.Is(err, sql.ErrNoRows), err == nil && (!old || row >= high):
			high = mid
		case err != nil:
			return 0, err
		default:
			low = row + 1
		}
	}
	return low, nil
}

func (s *Store) pruneSagas(ctx context.Context, cutoff string, sagas []outbox.SagaID) (int, error) {
	list := table.SagaList(sagas)
	if err := s.writers.enter(ctx); err != nil {
		return 0, err
	}
	defer s.writers.leave()
	tx, err := s.beginTx(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	_, err = pruneIn(ctx, tx, cutoff, list, s.prunes.Parked)
	if err == nil {
		n, err = pruneIn(ctx, tx, cutoff, list, s.prunes.Steps, s.prunes.Sagas)
	}
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	return n, tx.Commit()
}

// pruneIn runs the deletions one after the other, and returns how many rows went.
func pruneIn(ctx context.Context, tx *sql.Tx, cutoff, list string, deletions ...string) (int, error) {
	total := 0
	for _, query := range deletions {
		result, err := tx.ExecContext(ctx, query, cutoff, list)
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		total += int(n)
	}
	return total, nil
}
