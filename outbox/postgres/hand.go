package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// queueWrite queues the changes of a unit, for its own transaction with the commit at their end.
// It returns the entries that are to be handed over, or nil, and what to read the result of
// the n-th statement into, if it has rows to read.
func (u *unit) queueWrite(batch *pgx.Batch, changes *outbox.Changes) (handed *table.Handed, read func(n int) func(table.Result) error) {
	read = func(int) func(table.Result) error { return nil }
	if u.handler != nil {
		queueAll(batch, u.handler.part.queued)
		u.handler.part.queued = nil
	}
	texts := u.store.base.texts
	var parts []table.Part
	sole := u.conn != nil && len(u.rows) > 1 // see joined
	if u.conn != nil {
		handed = u.store.handing.Begin(changes.Entries)
	}
	if handed == nil {
		parts = texts.Write(u.rows, changes, sole)
	} else {
		batch.Queue(byIndex)
		first := batch.Len()
		var olders, seqs int
		parts, olders, seqs = texts.WriteHanded(u.rows, changes, handed, sole)
		read = func(n int) func(table.Result) error {
			switch n -= first; {
			case n >= 0 && n < olders:
				return handed.ReadOlder
			case n >= seqs && n < len(parts):
				return handed.ReadSeqs
			}
			return nil
		}
	}
	for _, part := range parts {
		batch.Queue(part.Text, part.Values...)
	}
	if u.conn != nil {
		batch.Queue("commit")
	}
	return handed, read
}

// readRows reads the next result of a batch.
func readRows(results pgx.BatchResults, into func(table.Result) error) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := into(rows); err != nil {
		return err
	}
	rows.Close() // what the statement was all about is in its end
	return rows.Err()
}
