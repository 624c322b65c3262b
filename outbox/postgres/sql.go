package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/sqlstore"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// SQLStore is the outbox store over database/sql. It is safe for concurrent use.
type SQLStore struct {
	db   *sql.DB
	base base
	core *sqlstore.Core
}

var _ outbox.Store[*sql.Tx] = (*SQLStore)(nil)

// NewSQL returns a store over a database of at least two connections, opened with the
// driver of pgx (package stdlib) or another one for PostgreSQL. Closing it stays with the
// caller. config may be nil.
func NewSQL(db *sql.DB, config *Config) *SQLStore {
	s := &SQLStore{db: db, base: newBase(config)}
	s.core = sqlstore.New(s.base.tables, dialect)
	s.core.Statements = sqlstore.NewStatements(db)
	s.core.BeforeOlder, s.core.AfterLoad = byIndex, setBack
	s.core.Lock = s.lock
	s.core.Unknown = func(err error) bool {
		code := state(err)
		// Ended by a shutdown: see mayHaveCommitted.
		return code == "" && !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, pgx.ErrTxCommitRollback) ||
			code == "57P01" || code == "57P02"
	}
	s.core.Explain = func(err error) error { return explain(markEOF(err)) }
	return s
}

// markEOF marks the end of a connection that comes as the end of a file. It is for the
// errors of the store's own statements.
func markEOF(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &lostError{err}
	}
	return err
}

func (s *SQLStore) lock(ctx context.Context, tx *sql.Tx, sagas []outbox.SagaID) error {
	if len(sagas) == 0 {
		return nil
	}
	query, keys := s.base.lockSagas(sagas)
	_, err := tx.ExecContext(ctx, query, keys)
	return err
}

// unitOptions are unitTx for database/sql.
var unitOptions = sql.TxOptions{Isolation: sql.LevelReadCommitted}

// Begin begins a transaction, locks the sagas and loads their rows.
func (s *SQLStore) Begin(ctx context.Context, sagas ...outbox.SagaID) (outbox.Unit[*sql.Tx], error) {
	begin := func(ctx context.Context) (*sql.Tx, error) { return s.db.BeginTx(ctx, &unitOptions) }
	u, err := s.core.Begin(ctx, begin, func() {}, sagas)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", markEOF(err))
	}
	return u, nil
}

// BeginGroup is [Store.BeginGroup].
func (s *SQLStore) BeginGroup(ctx context.Context, group outbox.Group, sagas ...outbox.SagaID) (outbox.Unit[*sql.Tx], error) {
	begin := func(ctx context.Context) (*sql.Tx, error) {
		tx, err := s.db.BeginTx(ctx, &unitOptions)
		if err != nil {
			return nil, err
		}
		text, args := s.base.joinGroup(group)
		if _, err := tx.ExecContext(ctx, text, args...); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for the turn: %w", err), tx.Rollback())
		}
		return tx, nil
	}
	u, err := s.core.Begin(ctx, begin, func() {}, sagas)
	if err != nil {
		return nil, fmt.Errorf("begin a group: %w", markEOF(err))
	}
	return u, nil
}

// Join opens a unit in the caller's transaction.
func (s *SQLStore) Join(ctx context.Context, tx *sql.Tx, sagas ...outbox.SagaID) (outbox.Unit[*sql.Tx], error) {
	u, err := s.core.Join(ctx, tx, sagas)
	if err != nil {
		return nil, fmt.Errorf("join: %w", explain(markEOF(err)))
	}
	return u, nil
}

// Due returns the rows whose time has come.
func (s *SQLStore) Due(ctx context.Context, query outbox.DueQuery) ([]outbox.Due, error) {
	return s.core.Statements.Due(ctx, s.base.due, query)
}

// Waiting tells what waits.
func (s *SQLStore) Waiting(ctx context.Context, limit int) (outbox.Waiting, error) {
	return s.core.Statements.Waiting(ctx, s.base.waiting, limit)
}

// Ping reports whether the database answers.
func (s *SQLStore) Ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Transient is [Store.Transient], but it does not know the unit's connection from others: of
// a lost one it knows driver.ErrBadConn and the errors of the network. An end of file in the middle
// of an answer, which also a handler's own reader may have met, does not count.
func (s *SQLStore) Transient(err error) bool { return transient(err) }

// HandTo is [Store.HandTo].
func (s *SQLStore) HandTo(h outbox.Handover) { s.core.Handing.HandTo(h) }

// Committed returns the channel on which commits with entries are announced that were not
// handed over.
func (s *SQLStore) Committed() <-chan struct{} { return s.core.Committed }

// Migrate is [Store.Migrate].
func (s *SQLStore) Migrate(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func (s *SQLStore) migrate(ctx context.Context) error {
	if n := s.db.Stats().MaxOpenConnections; n == 1 {
		return tooFew(n, "SetMaxOpenConns")
	}
	tx, err := s.db.BeginTx(ctx, &unitOptions)
	if err != nil {
		return err
	}
	if err := s.base.migrate(ctx, sqlSession{tx}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

type sqlSession struct{ tx *sql.Tx }

func (s sqlSession) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.tx.ExecContext(ctx, query, args...)
	return err
}

func (s sqlSession) number(ctx context.Context, query string, args ...any) (n int, err error) {
	err = s.tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// Claim is [Store.Claim].
func (s *SQLStore) Claim(ctx context.Context, limit int, except []string) (outbox.Claim, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	tx, err := s.db.BeginTx(life, &unitOptions)
	if err != nil {
		stop()
		cancel()
		return nil, fmt.Errorf("claim: %w", err)
	}
	c := &sqlClaim{base: &s.base, handing: s.core.Handing, tx: tx, cancel: cancel}
	err = c.take(ctx, limit, keyList(except))
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil || len(c.entries) == 0 {
		err = errors.Join(err, c.Release(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return c, nil
}

// sqlClaim is claim over database/sql.
type sqlClaim struct {
	base      *base
	handing   *table.Handing
	tx        *sql.Tx // nil once it has ended
	cancel    context.CancelFunc
	entries   []outbox.Entry
	contended bool
}

func (c *sqlClaim) take(ctx context.Context, limit int, except string) error {
	if _, err := c.tx.ExecContext(ctx, claimSettings); err != nil {
		return err
	}
	rows, err := c.tx.QueryContext(ctx, c.base.lockBuckets, except, limit, c.base.class)
	if err != nil {
		return err
	}
	buckets, contended, err := lockedBuckets(rows)
	c.contended = contended
	if err = errors.Join(err, rows.Close()); err != nil || buckets == 0 {
		return err
	}
	rows, err = c.tx.QueryContext(ctx, c.base.readBuckets, except, limit, buckets, c.handing.Own())
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	var more bool
	c.entries, more, err = table.ReadEntries(rows, limit, c.handing.Mine)
	c.contended = c.contended || more
	return err
}

func (c *sqlClaim) Entries() []outbox.Entry { return c.entries }

func (c *sqlClaim) Contended() bool { return c.contended }

func (c *sqlClaim) Done(ctx context.Context, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	if c.tx == nil {
		return errors.New("done: the claim has ended")
	}
	_, err := c.tx.ExecContext(ctx, c.base.delete, numbers(seqs))
	if err != nil {
		return fmt.Errorf("done: delete %d entries: %w", len(seqs), errors.Join(err, c.Release(ctx)))
	}
	stop := context.AfterFunc(ctx, c.cancel)
	err = c.tx.Commit()
	stop()
	c.end()
	if err != nil {
		return fmt.Errorf("done: commit the deletion of %d entries: %w", len(seqs), err)
	}
	return nil
}

func (c *sqlClaim) Release(context.Context) error {
	if c.tx == nil {
		return nil
	}
	err := c.tx.Rollback()
	c.end()
	if err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func (c *sqlClaim) end() {
	c.tx = nil
	c.cancel()
}

// Delete deletes entries that were handed over and published.
func (s *SQLStore) Delete(ctx context.Context, seqs []int64) error {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	tx, err := s.db.BeginTx(life, &unitOptions)
	if err == nil {
		if _, err = tx.ExecContext(ctx, claimSettings); err == nil {
			_, err = tx.ExecContext(ctx, s.base.delete, numbers(seqs))
		}
		if err == nil {
			err = tx.Commit()
		} else {
			err = errors.Join(err, tx.Rollback())
		}
	}
	if err != nil {
		return fmt.Errorf("delete %d entries: %w", len(seqs), err)
	}
	return nil
}

// Backlog returns how many entries wait and how old the oldest is.
func (s *SQLStore) Backlog(ctx context.Context) (outbox.Backlog, error) {
	var seconds float64
	var b outbox.Backlog
	if err := s.db.QueryRowContext(ctx, s.base.backlog, table.BacklogMax).Scan(&b.Entries, &seconds); err != nil {
		return outbox.Backlog{}, fmt.Errorf("backlog: %w", err)
	}
	b.Oldest = age(b.Entries, seconds)
	return b, nil
}
