package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// hasten has the settings of a transaction that prunes, for the same reasons: it is to walk
// the index on due_at, and what a crash takes back of it is due later anyway.
func (b *base) hasten(ctx context.Context, tx pruneSession, kind outbox.DueKind) (int, error) {
	if err := tx.exec(ctx, pruneSettings); err != nil {
		return 0, err
	}
	return tx.affected(ctx, b.tables.Hasten(dialect, kind), table.HastenValues(kind)...)
}

// Hasten makes the rows of a kind due now.
func (s *Store) Hasten(ctx context.Context, kind outbox.DueKind) (n int, err error) {
	err = pgx.BeginTxFunc(ctx, s.pool, unitTx, func(tx pgx.Tx) error {
		n, err = s.base.hasten(ctx, pgxSession{tx}, kind)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("hasten: %w", err)
	}
	return n, nil
}

// Hasten is [Store.Hasten].
func (s *SQLStore) Hasten(ctx context.Context, kind outbox.DueKind) (int, error) {
	n, err := s.hasten(ctx, kind)
	if err != nil {
		return 0, fmt.Errorf("hasten: %w", markEOF(err))
	}
	return n, nil
}

func (s *SQLStore) hasten(ctx context.Context, kind outbox.DueKind) (int, error) {
	tx, err := s.db.BeginTx(ctx, &unitOptions)
	if err != nil {
		return 0, err
	}
	n, err := s.base.hasten(ctx, sqlSession{tx}, kind)
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	return n, tx.Commit()
}
