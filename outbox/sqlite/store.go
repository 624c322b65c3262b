package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/sqlstore"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// Config configures a [Store]. What else can be chosen is chosen in [Open].
type Config struct {
	// Clock is an SQL expression for the present time, in microseconds since 1970 in UTC, by
	// which rows fall due: tests on virtual time have a function of their own registered with
	// the driver. Default: the clock of the process.
	Clock string
}

// Store is the outbox store over one SQLite database. It is safe for concurrent use.
type Store struct {
	db      *sql.DB
	core    *sqlstore.Core
	tables  table.Tables
	now     string // the clock
	due     string
	waiting string
	prunes  table.PruneTexts
	writers gate // units of this store, so that they do not crowd out others

	mu      sync.Mutex
	claimed map[string]struct{} // aggregateid of open claims
}

var _ outbox.Store[*sql.Tx] = (*Store)(nil)

// New returns a store over a database that [Open] opened, or that was opened through
// modernc.org/sqlite with the same settings. Closing the database stays with the caller.
func New(db *sql.DB, config *Config) *Store {
	tables, dialect := table.In(""), dialect
	if config != nil && config.Clock != "" {
		dialect = dialectOf(config.Clock)
	}
	s := &Store{db: db, core: sqlstore.New(tables, dialect), tables: tables, writers: newGate(), claimed: make(map[string]struct{})}
	s.now = dialect.Now
	s.due = tables.Due(dialect)
	s.waiting = tables.Waiting(dialect, "(state = 'undo-failed' OR state = 'pending' AND due_at IS NULL)",
		"CAST((julianday('now') - julianday(updated_at)) * 86400000000 AS INTEGER)")
	s.prunes = tables.Prune(pruneDialect)
	s.core.Statements = sqlstore.NewStatements(db)
	s.core.Statements.Rewrite = nameless
	s.core.Lock = s.lock
	s.core.Unknown = unknown
	return s
}

// lock takes the database's write lock, which a transaction of [Open] has from its
// beginning. One that was begun otherwise takes it here or fails, so that the rows
// that are read next cannot change before they are written.
func (s *Store) lock(ctx context.Context, tx *sql.Tx, _ []outbox.SagaID) error {
	return s.core.Statements.Exec(ctx, tx, s.takeLock())
}

func (s *Store) takeLock() string {
	return "UPDATE " + s.tables.Migration + " SET version = version WHERE FALSE"
}

func (s *Store) prepare(ctx context.Context) error {
	return s.core.Statements.Prepare(ctx, func() []string {
		return append(s.core.Queries(), s.takeLock(), s.deleteEntries(), s.selectEntries(false), s.due, s.prunes.Candidates)
	})
}

// Begin waits for its turn to write and loads the rows of the sagas.
func (s *Store) Begin(ctx context.Context, sagas ...outbox.SagaID) (outbox.Unit[*sql.Tx], error) {
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	if err := s.writers.enter(ctx); err != nil {
		return nil, fmt.Errorf("begin: wait for the turn to write: %w", err)
	}
	u, err := s.core.Begin(ctx, s.beginTx, s.writers.leave, sagas)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return u, nil
}

// BeginGroup is Begin: there is one writer at a time, who waits for nobody.
func (s *Store) BeginGroup(ctx context.Context, _ outbox.Group, sagas ...outbox.SagaID) (outbox.Unit[*sql.Tx], error) {
	return s.Begin(ctx, sagas...)
}

// retryBusy is how long to wait before the next attempt where SQLite did not wait itself.
const retryBusy = 10 * time.Millisecond

// beginTx begins a transaction, however long others hold the write lock.
func (s *Store) beginTx(ctx context.Context) (*sql.Tx, error) {
	for {
		tx, err := s.db.BeginTx(ctx, nil)
		if err == nil || !errors.Is(err, errBusy) && code(err) != sqlite3.SQLITE_BUSY {
			return tx, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retryBusy):
		}
	}
}

// Join opens a unit in the caller's transaction.
func (s *Store) Join(ctx context.Context, tx *sql.Tx, sagas ...outbox.SagaID) (outbox.Unit[*sql.Tx], error) {
	u, err := s.core.Join(ctx, tx, sagas)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return u, nil
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Transient reports whether err is the database's own fault and may pass: a lock that was
// not free, a disk that is full or fails, a connection that is gone.
func (s *Store) Transient(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM:
		return true
	}
	return errors.Is(err, errBusy) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, sql.ErrConnDone) || errors.Is(err, outbox.ErrUnknownOutcome)
}

// code returns SQLite's primary result code of an error, 0 for those that are not its.
func code(err error) int {
	var e *modernc.Error
	if !errors.As(err, &e) {
		return sqlite3.SQLITE_OK
	}
	return e.Code() & 0xff
}

// unknown reports whether a commit that failed may have happened. SQLite says of all its
// errors that it did not, but for those of the disk: what was written may yet be
// found at the next opening.
func unknown(err error) bool {
	c := code(err)
	return c == sqlite3.SQLITE_IOERR || c == sqlite3.SQLITE_OK && !errors.Is(err, sql.ErrTxDone)
}

// HandTo has units offer what they commit to a relay.
func (s *Store) HandTo(h outbox.Handover) { s.core.Handing.HandTo(h) }

// Committed returns the channel on which commits with entries are announced that were not
// handed over.
func (s *Store) Committed() <-chan struct{} { return s.core.Committed }
