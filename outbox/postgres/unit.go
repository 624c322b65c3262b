package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// unit is a unit of work. What it does besides the handler's statements takes two round
// trips: begin, lock and load; write and commit.
type unit struct {
	store   *Store
	conn    *pgxpool.Conn // nil in the caller's transaction
	tx      pgx.Tx
	handler *handlerTx // nil in the caller's transaction
	rows    table.Loaded
	ended   bool
	joined  bool // a saga of a unit of several was joined since
}

// unitTx are the options of a unit's transaction. Read committed is what lets the rows be
// read after the wait for the locks and in the same round trip: every statement sees
// what was committed before it began.
var unitTx = pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}

// Begin begins a transaction, locks the sagas and loads their rows.
func (s *Store) Begin(ctx context.Context, sagas ...outbox.SagaID) (outbox.Unit[pgx.Tx], error) {
	u, err := s.begin(ctx, nil, sagas)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return u, nil
}

// BeginGroup is Begin for sagas whose handlers lock rows of their own in any order. Groups take
// a lock of the schema, which those that are to be alone share with no other.
func (s *Store) BeginGroup(ctx context.Context, group outbox.Group, sagas ...outbox.SagaID) (outbox.Unit[pgx.Tx], error) {
	u, err := s.begin(ctx, &group, sagas)
	if err != nil {
		return nil, fmt.Errorf("begin a group: %w", err)
	}
	return u, nil
}

func (s *Store) begin(ctx context.Context, group *outbox.Group, sagas []outbox.SagaID) (*unit, error) {
	sagas, err := table.Sagas(sagas)
	if err != nil {
		return nil, err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("get a connection: %w", err)
	}
	var batch pgx.Batch
	batch.BeginTx(unitTx)
	u := &unit{store: s, conn: conn}
	if group != nil {
		text, args := s.base.joinGroup(*group)
		batch.Queue(text, args...)
	}
	reads, behind := s.base.queueLoad(&batch, sagas)
	makeRoom(conn.Conn(), &batch)
	results := conn.SendBatch(ctx, &batch)
	u.tx = results.Tx()
	u.handler = &handlerTx{tx: u.tx, ended: new(atomic.Bool), part: new(part)}
	if u.rows, err = load(results, &batch, reads, behind, sagas); err != nil {
		return nil, errors.Join(u.handler.mark(err), u.Rollback(ctx))
	}
	if len(sagas) > 1 {
		u.handler.part.several = true
		s.several.Store(u.tx.Conn(), u)
	}
	return u, nil
}

// Join opens a unit in the caller's transaction.
func (s *Store) Join(ctx context.Context, tx pgx.Tx, sagas ...outbox.SagaID) (outbox.Unit[pgx.Tx], error) {
	sagas, err := table.Sagas(sagas)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	var batch pgx.Batch
	reads, behind := s.base.queueLoad(&batch, sagas)
	if open, ok := s.several.Load(connOf(tx)); ok {
		for _, id := range sagas {
			outer := open.(*unit) // nothing else is stored
			outer.joined = outer.joined || outer.rows.Named(id) == nil
		}
	}
	u := &unit{store: s, tx: tx}
	if u.rows, err = load(tx.SendBatch(ctx, &batch), &batch, reads, behind, sagas); err != nil {
		return nil, fmt.Errorf("join: %w", explain(mark(tx, err)))
	}
	return u, nil
}

// queueLoad queues what locks and reads the sagas. It returns how many of the queries read, and how
// many come behind them.
func (b *base) queueLoad(batch *pgx.Batch, sagas []outbox.SagaID) (reads, behind int) {
	if len(sagas) > 0 {
		batch.Queue(b.lockSagas(sagas))
	}
	parts := b.texts.Loads(sagas)
	for _, part := range parts {
		batch.Queue(part.Text, part.Values...)
	}
	if b.texts.LoadsList(len(sagas)) {
		batch.Queue(setBack)
		return len(parts), 1
	}
	return len(parts), 0
}

// load reads the results of a batch that ends with what queueLoad queues.
func load(results pgx.BatchResults, batch *pgx.Batch, reads, behind int, sagas []outbox.SagaID) (table.Loaded, error) {
	loaded := table.Load(sagas)
	err := func() error {
		for range batch.Len() - reads - behind {
			if _, err := results.Exec(); err != nil {
				return fmt.Errorf("lock the sagas: %w", err)
			}
		}
		for range reads {
			rows, err := results.Query()
			if err != nil {
				return fmt.Errorf("load the rows of the sagas: %w", err)
			}
			err = loaded.Read(rows)
			rows.Close()
			if err == nil {
				err = rows.Err() // what came behind the rows
			}
			if err != nil {
				return fmt.Errorf("load the rows of the sagas: %w", err)
			}
		}
		return nil
	}()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return loaded, err
}

// Tx returns the transaction.
func (u *unit) Tx() pgx.Tx {
	if u.handler != nil {
		return u.handler
	}
	return u.tx
}

// Rows returns the rows of a saga as they were at Begin.
func (u *unit) Rows(saga outbox.SagaID) outbox.Rows { return u.rows[saga] }

// Parked returns the oldest records that are parked of a saga.
func (u *unit) Parked(ctx context.Context, saga outbox.SagaID, limit int) ([]outbox.Parked, error) {
	if err := u.rows.Named(saga); err != nil {
		return nil, fmt.Errorf("parked records of %w", err)
	}
	rows, err := u.Tx().Query(ctx, u.store.base.texts.Parked, saga.ID, saga.Saga, limit)
	if err != nil {
		return nil, fmt.Errorf("parked records: %w", explain(mark(u.tx, err)))
	}
	defer rows.Close()
	list, err := table.ReadParked(rows, saga)
	if err != nil {
		return nil, fmt.Errorf("parked records: %w", explain(mark(u.tx, err)))
	}
	return list, nil
}

// CountOpen counts the open sagas of a definition.
func (u *unit) CountOpen(ctx context.Context, saga string, limit int) (n int, err error) {
	if err := u.Tx().QueryRow(ctx, u.store.base.texts.CountOpen, saga, limit).Scan(&n); err != nil {
		return 0, fmt.Errorf("count open sagas: %w", explain(mark(u.tx, err)))
	}
	return n, nil
}

// Commit writes the changes, and commits if the transaction is the unit's own.
func (u *unit) Commit(ctx context.Context, changes outbox.Changes) error {
	if u.ended {
		return fmt.Errorf("commit: the unit of work has ended: %w", pgx.ErrTxClosed)
	}
	err := ctx.Err()
	if u.handler != nil {
		u.handler.part.close()
	}
	if err == nil {
		err = u.usable()
	}
	if err == nil && u.joined {
		err = outbox.ErrJoined
	}
	if err == nil {
		err = u.rows.Check(&changes)
	}
	var handed *table.Handed
	if err == nil {
		handed, err = u.write(ctx, &changes)
	}
	if err != nil {
		return fmt.Errorf("commit: %w", errors.Join(err, u.Rollback(ctx)))
	}
	u.end()
	if len(changes.Entries) > 0 && !handed.Offer() {
		u.store.committed.Give()
	}
	return nil
}

// usable looks at what PostgreSQL last said of the transaction. Without the look, rows
// would be written outside of any transaction where a handler has ended it by SQL.
func (u *unit) usable() error {
	conn := u.tx.Conn().PgConn()
	switch {
	case u.handler != nil && u.handler.part.fault != nil:
		return u.handler.part.fault
	case conn.IsClosed():
		return fmt.Errorf("the connection broke during the unit: %w", pgconn.ErrConnClosed)
	case conn.TxStatus() == 'E':
		return errAborted
	case conn.TxStatus() != 'T':
		return errEndedByHandler
	}
	return nil
}

// write sends everything in one round trip, for the unit's own transaction with the
// commit at its end. It returns the entries that are to be handed over.
func (u *unit) write(ctx context.Context, changes *outbox.Changes) (*table.Handed, error) {
	var batch pgx.Batch
	handed, read := u.queueWrite(&batch, changes)
	if batch.Len() == 0 {
		return nil, nil
	}
	if u.conn != nil {
		makeRoom(u.conn.Conn(), &batch)
	}
	results := u.tx.SendBatch(ctx, &batch)
	var (
		tag  pgconn.CommandTag
		err  error
		done int
	)
	for ; done < batch.Len() && err == nil; done++ {
		if into := read(done); into != nil {
			err = readRows(results, into)
		} else {
			tag, err = results.Exec()
		}
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	switch {
	case err != nil && u.conn != nil && u.mayHaveCommitted(err, done == batch.Len()):
		return nil, fmt.Errorf("%w: %w", outbox.ErrUnknownOutcome, err)
	case err != nil:
		return nil, explain(mark(u.tx, err))
	case u.conn != nil && tag.String() != "COMMIT":
		return nil, errAborted
	}
	return handed, nil
}

// mayHaveCommitted reports whether a commit that failed may have happened. atCommit says
// that all statements before it have succeeded.
func (u *unit) mayHaveCommitted(err error, atCommit bool) bool {
	conn := u.conn.Conn().PgConn()
	var sent *pgconn.PgError
	switch {
	case errors.As(err, &sent):
		// PostgreSQL skips the commit after a failed statement. A commit that it
		// ended for good, by a shutdown, may be in its log already.
		return atCommit && conn.IsClosed()
	case pgconn.SafeToRetry(err):
		return false // nothing was sent
	}
	return conn.IsClosed() || conn.TxStatus() == 'I'
}

// explain makes clear what PostgreSQL says of a transaction in which something failed.
func explain(err error) error {
	if state(err) == "25P02" || errors.Is(err, pgx.ErrTxCommitRollback) {
		return fmt.Errorf("%w: %w", errAborted, err)
	}
	return err
}

// Rollback undoes the unit's own transaction.
func (u *unit) Rollback(ctx context.Context) error {
	if u.ended {
		return nil
	}
	defer u.end()
	if u.conn == nil {
		return nil
	}
	u.handler.part.close()
	return rollback(ctx, u.conn.Conn(), u.tx)
}

// rollbackTimeout bounds a rollback whose caller has no time left. The locks have to go.
const rollbackTimeout = 5 * time.Second

func rollback(ctx context.Context, conn *pgx.Conn, tx pgx.Tx) error {
	if conn.IsClosed() || conn.PgConn().TxStatus() == 'I' {
		return nil // there is none any more
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// end gives the connection back. The pool drops one that still has a transaction.
func (u *unit) end() {
	u.ended = true
	if u.conn != nil {
		if len(u.rows) > 1 {
			u.store.several.Delete(u.conn.Conn())
		}
		u.handler.ended.Store(true)
		u.conn.Release()
	}
}
