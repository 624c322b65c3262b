package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
)

// part is the part of a unit's transaction that can be undone. Its savepoint travels with the
// first statement of the part, in the same round trip, and a part without a statement has none.
type part struct {
	state partState
	// before says that the savepoint of an earlier part is there, under the same name.
	before bool
	// reading are the results of a batch in which the savepoint went ahead of a handler's
	// statement. Nothing else can be sent before they are closed, which a handler that gives
	// up halfway leaves to the unit.
	reading pgx.BatchResults
	// several says that the unit is of several sagas: to end its transaction by SQL would commit what
	// others have done, and not that they have.
	several bool
	// queued are the statements that go ahead of the next, those of other parts first. fault
	// is why one of these has failed.
	queued []statement
	others int
	fault  error
}

type partState int

const (
	noPart  partState = iota
	untold            // nothing was sent since it began: there is nothing to undo
	pending           // as untold, and the next statement is to bring the savepoint
	made              // the savepoint is there
	beyond            // something was sent without a savepoint, or it is not known whether there is one
)

const (
	makeSavepoint = "SAVEPOINT choreo_part"
	dropSavepoint = "RELEASE SAVEPOINT choreo_part"
	backToPart    = "ROLLBACK TO SAVEPOINT choreo_part"
)

var errNotUndoable = errors.New("the part of the transaction cannot be undone by itself")

// Part begins a part of the transaction. It sends nothing.
func (u *unit) Part(_ context.Context, undoable bool) error {
	if u.handler == nil {
		return fmt.Errorf("begin a part: the transaction is its caller's: %w", errNotUndoable)
	}
	p := u.handler.part
	p.close()
	p.others = len(p.queued)
	p.before = p.before || p.state == made
	p.state = untold
	if undoable {
		p.state = pending
	}
	return nil
}

// UndoPart undoes what was done since Part.
func (u *unit) UndoPart(ctx context.Context) error {
	if u.handler == nil {
		return fmt.Errorf("undo a part: the transaction is its caller's: %w", errNotUndoable)
	}
	p := u.handler.part
	p.close()
	if p.fault != nil {
		return fmt.Errorf("undo a part: %w", p.fault)
	}
	p.queued = p.queued[:p.others]
	switch p.state {
	case untold, pending:
		return nil
	case made:
		if u.tx.Conn().IsClosed() {
			break
		}
		if _, err := u.tx.Exec(ctx, backToPart); err != nil {
			p.state = beyond
			return fmt.Errorf("undo a part: %w", mark(u.tx, err))
		}
		return nil
	case noPart, beyond:
	}
	return fmt.Errorf("undo a part: %w", errNotUndoable)
}

// close closes what a handler has left open.
func (p *part) close() {
	if p.reading != nil {
		_ = p.reading.Close() // the handler has had its errors
		p.reading = nil
	}
}

// begins notes that a statement is about to be sent, and reports whether the savepoint is to go
// ahead of it.
func (p *part) begins() bool {
	p.close()
	switch p.state {
	case pending:
		p.state = beyond // until PostgreSQL says that it is made
		return true
	case untold:
		p.state = beyond
	case noPart, made, beyond:
	}
	return false
}

// queue queues what makes the savepoint. That of an earlier part is released, so that savepoints
// do not nest ever deeper.
func (p *part) queue(b *pgx.Batch) {
	if p.before {
		b.Queue(dropSavepoint)
	}
	b.Queue(makeSavepoint)
}

// read reads the results of queue.
func (p *part) read(results pgx.BatchResults) error {
	if p.before {
		if _, err := results.Exec(); err != nil {
			return err
		}
		p.before = false
	}
	if _, err := results.Exec(); err != nil {
		return err
	}
	p.state = made
	return nil
}

// ahead makes the savepoint, if it is to be made, in a round trip of its own: for what cannot
// stand in a batch.
func (t *handlerTx) ahead(ctx context.Context) error {
	if err := t.sendQueued(ctx); err != nil {
		return err
	}
	if !t.part.begins() {
		return nil
	}
	var b pgx.Batch
	t.part.queue(&b)
	results := t.tx.SendBatch(ctx, &b)
	err := t.part.read(results)
	if closed := results.Close(); err == nil {
		err = closed
	}
	return t.mark(err)
}

// batched sends a statement behind the savepoint. The caller reads its result and then closes
// the batch. It returns nil where the statement is to be sent by itself.
func (t *handlerTx) batched(ctx context.Context, sql string, args []any) (pgx.BatchResults, error) {
	if err := t.part.refuses(sql); err != nil {
		return nil, err
	}
	if !plain(args) {
		return nil, t.ahead(ctx)
	}
	if err := t.sendQueued(ctx); err != nil {
		return nil, err
	}
	if !t.part.begins() {
		return nil, nil
	}
	var b pgx.Batch
	t.part.queue(&b)
	b.Queue(sql, args...)
	results := t.tx.SendBatch(ctx, &b)
	if err := t.part.read(results); err != nil {
		_ = results.Close() // err is the first
		return nil, t.mark(err)
	}
	return results, nil
}

// refuses returns an error for a statement by which a handler would end the transaction of others. It
// looks at the first word only: the rest is found out at the commit.
func (p *part) refuses(sql string) error {
	const longest = 64 // such statements are short, and others need no look
	if !p.several || len(sql) > longest {
		return nil
	}
	words := strings.FieldsFunc(sql, func(r rune) bool { return unicode.IsSpace(r) || r == ';' })
	if len(words) == 0 {
		return nil
	}
	switch strings.ToUpper(words[0]) {
	case "COMMIT", "END", "ABORT":
		return ErrNotYours
	case "ROLLBACK":
		if !slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, "TO") }) {
			return ErrNotYours
		}
	}
	return nil
}

// plain reports whether a statement with these arguments can stand in a batch: one without
// any may be several, and options are for a statement alone.
func plain(args []any) bool {
	for _, arg := range args {
		switch arg.(type) {
		case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
			return false
		}
	}
	return len(args) > 0
}

// batchedRows are the rows of a statement that went behind a savepoint.
type batchedRows struct {
	pgx.Rows
	part    *part
	results pgx.BatchResults
}

func (r *batchedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.end()
	return false
}

func (r *batchedRows) Close() {
	r.Rows.Close()
	r.end()
}

func (r *batchedRows) end() {
	if r.part.reading == r.results {
		r.part.close()
	}
}

// batchedRow is such a row.
type batchedRow struct {
	pgx.Row
	part    *part
	results pgx.BatchResults
}

func (r *batchedRow) Scan(into ...any) error {
	err := r.Row.Scan(into...)
	if r.part.reading == r.results {
		r.part.close()
	}
	return err
}
