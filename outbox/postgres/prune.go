package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// pruneCutoff goes by the time at which the transaction began: one for all its statements, so
// that a saga's rows go together, and one that an index can be searched for.
const pruneCutoff = "(now() - $1::bigint * interval '1 microsecond')"

var pruneDialect = table.PruneDialect{
	Dialect: dialect,
	Steps:   table.Old{Where: "created_at < " + pruneCutoff, Order: "created_at"},
	Sagas:   table.Old{Where: "started_at < " + pruneCutoff, Order: "started_at"},
	Cutoff:  pruneCutoff,
}

// pruneSettings are those of a transaction that prunes. The planner is to walk the indexes
// whatever the statistics say, and not to compile for it because of what it then takes for
// large costs. A deletion that a crash takes back is done again.
const pruneSettings = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)," +
	" set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)," +
	" set_config('jit', 'off', true), set_config('synchronous_commit', 'off', true)"

// tryLockSagas locks what is free of the keys in a list, as units do, and returns which.
const tryLockSagas = "SELECT key FROM unnest($1::text::bigint[]) AS key WHERE pg_try_advisory_xact_lock(key)"

// pruneSession is a transaction that prunes: of pgx or of database/sql.
type pruneSession interface {
	exec(ctx context.Context, query string, args ...any) error
	affected(ctx context.Context, query string, args ...any) (int, error)
	read(ctx context.Context, scan func(table.Result) error, query string, args ...any) error
}

// prune deletes in three steps: look, lock, delete what may go still.
//
// What it looks at may change until it has the lock: a unit reads "completed", the look
// finds the row old enough, the unit writes "undoing" and commits, and only then is the lock
// free. Hence the condition is asked again in the deletion, a statement of its own,
// which sees what was committed before the lock came free. From then on a unit waits
// for this transaction, and reads no row where one was. It never writes over the
// deletion what it read before it, since it reads under the lock.
//
// Only free locks are taken, so that no unit and no other prune is waited for: none can
// be part of a deadlock with it.
func (b *base) prune(ctx context.Context, tx pruneSession, olderThan time.Duration, limit int) (int, error) {
	if err := tx.exec(ctx, pruneSettings); err != nil {
		return 0, err
	}
	age := olderThan.Microseconds()
	var candidates []outbox.SagaID
	err := tx.read(ctx, func(rows table.Result) (err error) {
		candidates, err = table.ReadCandidates(rows, limit)
		return err
	}, b.pruneTexts.Candidates, age, limit)
	if err != nil || len(candidates) == 0 {
		return 0, err
	}
	locked, err := b.tryLock(ctx, tx, candidates)
	if err != nil || len(locked) == 0 {
		return 0, err
	}
	list := table.SagaList(locked)
	// The saga's row goes last: the condition on it holds back those of the steps, and on
	// all rows what is parked.
	if err := tx.exec(ctx, b.pruneTexts.Parked, age, list); err != nil {
		return 0, err
	}
	steps, err := tx.affected(ctx, b.pruneTexts.Steps, age, list)
	if err != nil {
		return 0, err
	}
	sagas, err := tx.affected(ctx, b.pruneTexts.Sagas, age, list)
	return steps + sagas, err
}

// tryLock returns those sagas that it could lock.
func (b *base) tryLock(ctx context.Context, tx pruneSession, sagas []outbox.SagaID) ([]outbox.SagaID, error) {
	keys := make([]int64, len(sagas))
	for i, id := range sagas {
		keys[i] = b.hash(id.Saga, id.ID)
	}
	got := make(map[int64]bool, len(keys))
	err := tx.read(ctx, func(rows table.Result) error {
		for rows.Next() {
			var key int64
			if err := rows.Scan(&key); err != nil {
				return err
			}
			got[key] = true
		}
		return rows.Err()
	}, tryLockSagas, numbers(keys))
	var locked []outbox.SagaID
	for i, id := range sagas {
		if got[keys[i]] {
			locked = append(locked, id)
		}
	}
	return locked, err
}

// Prune deletes rows of sagas that have ended. Sagas that units hold are left out.
func (s *Store) Prune(ctx context.Context, olderThan time.Duration, limit int) (n int, err error) {
	err = pgx.BeginTxFunc(ctx, s.pool, unitTx, func(tx pgx.Tx) error {
		n, err = s.base.prune(ctx, pgxSession{tx}, olderThan, limit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	return n, nil
}

func (s pgxSession) affected(ctx context.Context, query string, args ...any) (int, error) {
	tag, err := s.tx.Exec(ctx, query, args...)
	return int(tag.RowsAffected()), err
}

func (s pgxSession) read(ctx context.Context, scan func(table.Result) error, query string, args ...any) error {
	rows, err := s.tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return scan(rows)
}

// Prune is [Store.Prune].
func (s *SQLStore) Prune(ctx context.Context, olderThan time.Duration, limit int) (int, error) {
	n, err := s.prune(ctx, olderThan, limit)
	if err != nil {
		return 0, fmt.Errorf("prune: %w", markEOF(err))
	}
	return n, nil
}

func (s *SQLStore) prune(ctx context.Context, olderThan time.Duration, limit int) (int, error) {
	tx, err := s.db.BeginTx(ctx, &unitOptions)
	if err != nil {
		return 0, err
	}
	n, err := s.base.prune(ctx, sqlSession{tx}, olderThan, limit)
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	return n, tx.Commit()
}

func (s sqlSession) affected(ctx context.Context, query string, args ...any) (int, error) {
	result, err := s.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

func (s sqlSession) read(ctx context.Context, scan func(table.Result) error, query string, args ...any) error {
	rows, err := s.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	return errors.Join(scan(rows), rows.Close())
}
