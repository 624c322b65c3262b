package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNotYours is returned to a handler that commits or rolls back the transaction of its
// unit of work. Begin on it makes a savepoint, which the handler may end as it likes.
var ErrNotYours = errors.New("the transaction belongs to the unit of work: it commits when the handler returns nil and rolls back when it returns an error")

// handlerTx is a unit's transaction, or a savepoint in it, in the hands of a handler. It
// does not end the transaction, does nothing more after the unit's end, when the connection
// may be at work for another, and marks the errors of a lost connection: pgx hands
// out those of a read as they come from the net, and a handler may have met the
// same ones elsewhere.
type handlerTx struct {
	tx        pgx.Tx
	savepoint bool
	ended     *atomic.Bool // of the unit
	part      *part        // of the unit
}

var _ pgx.Tx = (*handlerTx)(nil)

// lostError is an error that came with the end of the unit's connection.
type lostError struct{ err error }

func (e *lostError) Error() string { return fmt.Sprintf("the connection broke: %v", e.err) }

func (e *lostError) Unwrap() error { return e.err }

func (t *handlerTx) mark(err error) error { return mark(t.tx, err) }

// connOf returns the connection of a transaction, to look at.
func connOf(tx pgx.Tx) *pgx.Conn {
	if t, ok := tx.(*handlerTx); ok {
		return t.tx.Conn()
	}
	return tx.Conn()
}

// mark marks an error if the connection is gone. pgx also gives a connection up when the
// statement's context ends; that is the caller's doing.
func mark(tx pgx.Tx, err error) error {
	if err == nil {
		return nil
	}
	var sent *pgconn.PgError
	switch {
	case !tx.Conn().IsClosed(), errors.As(err, &sent),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &lostError{err}
}

func (t *handlerTx) check() error {
	if t.ended.Load() {
		return pgx.ErrTxClosed
	}
	return nil
}

// Begin makes a savepoint.
func (t *handlerTx) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := t.ahead(ctx); err != nil {
		return nil, err
	}
	tx, err := t.tx.Begin(ctx)
	if err != nil {
		return nil, t.mark(err)
	}
	return &handlerTx{tx: tx, savepoint: true, ended: t.ended, part: t.part}, nil
}

// Commit releases a savepoint.
func (t *handlerTx) Commit(ctx context.Context) error { return t.end(ctx, pgx.Tx.Commit) }

// Rollback rolls back to a savepoint.
func (t *handlerTx) Rollback(ctx context.Context) error { return t.end(ctx, pgx.Tx.Rollback) }

func (t *handlerTx) end(ctx context.Context, end func(pgx.Tx, context.Context) error) error {
	if err := t.check(); err != nil {
		return err
	}
	if !t.savepoint {
		return ErrNotYours
	}
	t.part.close()
	if err := t.sendQueued(ctx); err != nil {
		return err
	}
	return t.mark(end(t.tx, ctx))
}

func (t *handlerTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error) {
	if err := t.check(); err != nil {
		return 0, err
	}
	if err := t.ahead(ctx); err != nil {
		return 0, err
	}
	n, err := t.tx.CopyFrom(ctx, table, columns, source)
	return n, t.mark(err)
}

func (t *handlerTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := t.check(); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	for _, queued := range b.QueuedQueries {
		if err := t.part.refuses(queued.SQL); err != nil {
			return pgx.FailedBatchResults(b, err)
		}
	}
	if err := t.ahead(ctx); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	return &batchResults{t.tx.SendBatch(ctx, b), t}
}

// LargeObjects returns what sends statements past this type.
func (t *handlerTx) LargeObjects() pgx.LargeObjects {
	t.bypass()
	return t.tx.LargeObjects()
}

func (t *handlerTx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := t.ahead(ctx); err != nil {
		return nil, err
	}
	description, err := t.tx.Prepare(ctx, name, sql)
	return description, t.mark(err)
}

func (t *handlerTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := t.check(); err != nil {
		return pgconn.CommandTag{}, err
	}
	results, err := t.batched(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	if results == nil {
		tag, err := t.tx.Exec(ctx, sql, args...)
		return tag, t.mark(err)
	}
	tag, err := results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return tag, t.mark(err)
}

func (t *handlerTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := t.check(); err != nil {
		return pgx.FailedBatchResults(&pgx.Batch{}, err).Query()
	}
	results, err := t.batched(ctx, sql, args)
	if err != nil {
		return pgx.FailedBatchResults(&pgx.Batch{}, err).Query()
	}
	if results == nil {
		result, err := t.tx.Query(ctx, sql, args...)
		return &rows{result, t}, t.mark(err)
	}
	t.part.reading = results
	result, err := results.Query()
	if err != nil {
		t.part.close()
	}
	return &rows{&batchedRows{result, t.part, results}, t}, t.mark(err)
}

func (t *handlerTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := t.check(); err != nil {
		return pgx.FailedBatchResults(&pgx.Batch{}, err).QueryRow()
	}
	results, err := t.batched(ctx, sql, args)
	switch {
	case err != nil:
		return pgx.FailedBatchResults(&pgx.Batch{}, err).QueryRow()
	case results == nil:
		return &row{t.tx.QueryRow(ctx, sql, args...), t}
	}
	t.part.reading = results
	return &row{&batchedRow{results.QueryRow(), t.part, results}, t}
}

// Conn returns the connection, by which statements go past this type.
func (t *handlerTx) Conn() *pgx.Conn {
	t.bypass()
	return t.tx.Conn()
}

// bypass gets ready for statements that go past this type. What is queued is to come before them; where
// that fails, PostgreSQL refuses them.
func (t *handlerTx) bypass() {
	_ = t.sendQueued(context.Background())
	t.part.begins()
}

// rows, row and batchResults mark errors that come late.
type rows struct {
	pgx.Rows
	tx *handlerTx
}

func (r *rows) Err() error             { return r.tx.mark(r.Rows.Err()) }
func (r *rows) Scan(into ...any) error { return r.tx.mark(r.Rows.Scan(into...)) }

type row struct {
	pgx.Row
	tx *handlerTx
}

func (r *row) Scan(into ...any) error { return r.tx.mark(r.Row.Scan(into...)) }

type batchResults struct {
	pgx.BatchResults
	tx *handlerTx
}

func (b *batchResults) Exec() (pgconn.CommandTag, error) {
	tag, err := b.BatchResults.Exec()
	return tag, b.tx.mark(err)
}

func (b *batchResults) Query() (pgx.Rows, error) {
	result, err := b.BatchResults.Query()
	return &rows{result, b.tx}, b.tx.mark(err)
}

func (b *batchResults) QueryRow() pgx.Row { return &row{b.BatchResults.QueryRow(), b.tx} }
func (b *batchResults) Close() error      { return b.tx.mark(b.BatchResults.Close()) }
