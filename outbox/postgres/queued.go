package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/outbox"
)

// Queue has a statement sent in the same round trip as what comes next in the transaction: another
// statement that is sent, or the commit. A handler has nothing to wait for then, and one that only
// writes costs its database, and the others of its group, about half.
//
//	func (h *reserve) Execute(ctx context.Context, tx pgx.Tx, call *participant.Call[Order]) (Reserved, error) {
//		return Reserved{}, postgres.Queue(ctx, tx, "INSERT INTO reservation (order_id, sku) VALUES ($1, $2)", call.SagaID, call.Input.SKU)
//	}
//
// The transaction does the same as with tx.Exec, in the same order: a query that follows sees what
// was queued before it. What differs is when an error shows. One of the statement fails the next one that is
// sent, or the commit, and with that the attempt: the step is tried again by its policy. So Queue
// is for statements that are expected to succeed, and of which neither an error nor the number of rows
// is looked at. Use tx.Exec for others, such as one that a constraint may refuse.
//
// The arguments must not be changed afterwards. In a transaction that is not of a unit of work, and for a
// statement without arguments or with options of pgx, Queue is tx.Exec.
func Queue(ctx context.Context, tx pgx.Tx, sql string, args ...any) error {
	t, ok := tx.(*handlerTx)
	if !ok || !plain(args) {
		_, err := tx.Exec(ctx, sql, args...)
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	if err := t.part.refuses(sql); err != nil {
		return err
	}
	t.part.queued = append(t.part.queued, statement{sql, args})
	return nil
}

// statement is one that waits for what is sent next.
type statement struct {
	sql  string
	args []any
}

// sendQueued sends what is queued. It returns an error that wraps outbox.ErrQueued where that of another
// part has failed.
func (t *handlerTx) sendQueued(ctx context.Context) error {
	p := t.part
	if p.fault != nil {
		return p.fault
	}
	if len(p.queued) == 0 {
		return nil
	}
	p.close()
	var b pgx.Batch
	others := p.queued[:p.others]
	queueAll(&b, others)
	savepoint := false
	if len(p.queued) > p.others {
		if savepoint = p.begins(); savepoint {
			p.queue(&b)
		}
		queueAll(&b, p.queued[p.others:])
	}
	own := len(p.queued) - p.others
	p.queued, p.others = nil, 0
	results := t.tx.SendBatch(ctx, &b)
	if err := execAll(results, len(others)); err != nil {
		_ = results.Close() // err is the first
		p.fault = fmt.Errorf("%w: %w", outbox.ErrQueued, t.mark(err))
		return p.fault
	}
	var err error
	if savepoint {
		err = p.read(results)
	}
	if err == nil {
		err = execAll(results, own)
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("a statement that was queued: %w", t.mark(err))
	}
	return nil
}

func queueAll(b *pgx.Batch, statements []statement) {
	for _, s := range statements {
		b.Queue(s.sql, s.args...)
	}
}

func execAll(results pgx.BatchResults, n int) error {
	for range n {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	return nil
}
