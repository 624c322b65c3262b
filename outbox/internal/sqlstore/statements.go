package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// Statements runs statements, prepared ones where they have been prepared. It is safe
// for concurrent use.
type Statements struct {
	// Rewrite, if set, makes the text that is prepared for a query.
	Rewrite func(query string) string

	db       *sql.DB
	mu       sync.Mutex
	prepared atomic.Pointer[map[string]*sql.Stmt]
}

// NewStatements returns the statements of a database.
func NewStatements(db *sql.DB) *Statements { return &Statements{db: db} }

// Prepare prepares these queries, once. It takes a connection of its own, so it must
// not be called by someone who holds one: with all connections so held it would wait
// for ever. The statements live as long as the database.
func (s *Statements) Prepare(ctx context.Context, queries func() []string) error {
	if s.prepared.Load() != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared.Load() != nil {
		return nil
	}
	prepared := make(map[string]*sql.Stmt)
	for _, query := range queries() {
		text := query
		if s.Rewrite != nil {
			text = s.Rewrite(query)
		}
		stmt, err := s.db.PrepareContext(ctx, text)
		if err != nil {
			for _, p := range prepared {
				_ = p.Close() // err says what is wrong
			}
			return err
		}
		prepared[query] = stmt
	}
	s.prepared.Store(&prepared)
	return nil
}

// stmt returns the prepared statement of a query, or nil.
func (s *Statements) stmt(ctx context.Context, tx *sql.Tx, query string) *sql.Stmt {
	prepared := s.prepared.Load()
	if prepared == nil || (*prepared)[query] == nil {
		return nil
	}
	if tx == nil {
		return (*prepared)[query]
	}
	return tx.StmtContext(ctx, (*prepared)[query])
}

// Exec runs a statement in a transaction.
func (s *Statements) Exec(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	var err error
	if stmt := s.stmt(ctx, tx, query); stmt != nil {
		_, err = stmt.ExecContext(ctx, args...)
	} else {
		_, err = tx.ExecContext(ctx, query, args...)
	}
	return err
}

// Query runs a query in a transaction, or outside of any if tx is nil.
func (s *Statements) Query(ctx context.Context, tx *sql.Tx, query string, args ...any) (*sql.Rows, error) {
	if stmt := s.stmt(ctx, tx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	if tx == nil {
		return s.db.QueryContext(ctx, query, args...)
	}
	return tx.QueryContext(ctx, query, args...)
}

// Due runs a statement of [table.Tables.Due].
func (s *Statements) Due(ctx context.Context, text string, query outbox.DueQuery) ([]outbox.Due, error) {
	rows, err := s.Query(ctx, nil, text, table.DueValues(query)...)
	if err != nil {
		return nil, fmt.Errorf("due: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	list, err := table.ReadDue(rows)
	if err != nil {
		return nil, fmt.Errorf("due: %w", err)
	}
	return list, nil
}

// Waiting runs a statement of [table.Tables.Waiting].
func (s *Statements) Waiting(ctx context.Context, text string, limit int) (outbox.Waiting, error) {
	rows, err := s.Query(ctx, nil, text, table.WaitingValues(limit)...)
	if err != nil {
		return outbox.Waiting{}, fmt.Errorf("waiting: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	w, err := table.ReadWaiting(rows, limit)
	if err != nil {
		return outbox.Waiting{}, fmt.Errorf("waiting: %w", err)
	}
	return w, nil
}
