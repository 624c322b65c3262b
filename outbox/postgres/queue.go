package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// claim is a set of entries that one relay works on. Its transaction holds the locks of
// their buckets.
type claim struct {
	base      *base
	handing   *table.Handing
	conn      *pgxpool.Conn // nil once the transaction has ended
	tx        pgx.Tx
	entries   []outbox.Entry
	contended bool
	paged     bool // a cursor is open, and all that it has shown was returned
	deleted   bool
	texts     raw
}

var _ outbox.Pages = (*claim)(nil)

// Claim locks the buckets of the oldest entries, of those that no other claim has
// locked, and returns up to limit entries of these. The claim holds a connection
// unless it is empty.
func (s *Store) Claim(ctx context.Context, limit int, except []string) (outbox.Claim, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim: get a connection: %w", err)
	}
	c := &claim{base: &s.base, handing: s.handing, conn: conn}
	if err = c.take(ctx, limit, keyList(except), s.busy.Load()); err != nil {
		return nil, fmt.Errorf("claim: %w", errors.Join(err, c.Release(ctx)))
	}
	s.busy.Store(len(c.entries) >= limit)
	if len(c.entries) == 0 {
		if err := c.Release(ctx); err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
	}
	return c, nil
}

// take locks, then reads: what the last claim of a bucket deleted was committed before
// its lock came free, so the second statement does not see it. busy says that there will be more
// than one page: then it reads by a cursor.
func (c *claim) take(ctx context.Context, limit int, except string, busy bool) error {
	var batch pgx.Batch
	batch.BeginTx(unitTx)
	batch.Queue(claimSettings)
	batch.Queue(c.base.lockBuckets, except, limit, c.base.class)
	results := c.conn.SendBatch(ctx, &batch)
	c.tx = results.Tx()
	buckets, err := func() (int64, error) {
		for range batch.Len() - 1 {
			if _, err := results.Exec(); err != nil {
				return 0, err
			}
		}
		rows, err := results.Query()
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		buckets, contended, err := lockedBuckets(rows)
		c.contended = contended
		return buckets, err
	}()
	if closed := results.Close(); err == nil {
		err = closed
	}
	if err != nil || buckets == 0 {
		return err
	}
	var rows pgx.Rows
	if busy {
		if _, err := c.tx.Exec(ctx, c.base.openPages, except, buckets, c.handing.Own()); err != nil {
			return err
		}
		rows, err = c.tx.Query(ctx, nextPage(limit))
	} else {
		rows, err = c.tx.Query(ctx, c.base.readBuckets, except, limit, buckets, c.handing.Own())
	}
	if err != nil {
		return err
	}
	defer rows.Close()
	var more bool
	c.entries, more, err = c.read(rows, limit)
	c.contended = c.contended || more
	c.paged = busy && !more
	return err
}

func (c *claim) read(rows pgx.Rows, limit int) (list []outbox.Entry, more bool, err error) {
	return table.ReadEntries(c.texts.of(rows), limit, c.handing.Mine)
}

// nextPage reads from the cursor of openPages.
func nextPage(limit int) string { return "FETCH " + strconv.Itoa(limit) + " FROM choreo_claim" }

// Next is that of [outbox.Pages]. Behind a page of which something was left out comes none: it
// is the next claim that can tell what else to leave out.
func (c *claim) Next(ctx context.Context, published []int64, limit int) ([]outbox.Entry, error) {
	if c.conn == nil {
		return nil, errors.New("next page: the claim has ended")
	}
	var batch pgx.Batch
	c.base.queueDelete(&batch, published)
	deletions := batch.Len()
	if c.paged {
		batch.Queue(nextPage(limit))
	}
	c.deleted = c.deleted || deletions > 0
	list, err := c.next(ctx, &batch, deletions, limit)
	if err != nil {
		return nil, fmt.Errorf("delete %d entries and read the next page: %w", len(published), err)
	}
	return list, nil
}

func (c *claim) next(ctx context.Context, batch *pgx.Batch, deletions, limit int) (list []outbox.Entry, err error) {
	results := c.tx.SendBatch(ctx, batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	for range deletions {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	if !c.paged {
		return nil, nil
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list, more, err := c.read(rows, limit)
	c.paged = !more
	return list, err
}

// Entries returns what was claimed.
func (c *claim) Entries() []outbox.Entry { return c.entries }

// Contended reports whether entries were left out because another claim has their
// bucket, something before them was handed over, or what was claimed is large.
func (c *claim) Contended() bool { return c.contended }

// Done deletes published entries and ends the claim's transaction, in one round trip.
func (c *claim) Done(ctx context.Context, seqs []int64) error {
	if len(seqs) == 0 && !c.deleted {
		return nil
	}
	if c.conn == nil {
		return errors.New("done: the claim has ended")
	}
	defer c.end()
	var batch pgx.Batch
	c.base.queueDelete(&batch, seqs)
	batch.Queue("commit")
	if err := c.tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("done: delete %d entries: %w", len(seqs), errors.Join(err, rollback(ctx, c.conn.Conn(), c.tx)))
	}
	return nil
}

// queueDelete queues the deletion of entries: of each run of many that follow one another
// without a gap, where there can be nothing else, as a range, which is far cheaper than one by one.
func (b *base) queueDelete(batch *pgx.Batch, seqs []int64) {
	const many = 32
	var others []int64
	for begin := 0; begin < len(seqs); {
		end := begin + 1
		for end < len(seqs) && seqs[end] == seqs[end-1]+1 {
			end++
		}
		if end-begin >= many {
			batch.Queue(b.deleteRun, seqs[begin], seqs[end-1])
		} else {
			others = append(others, seqs[begin:end]...)
		}
		begin = end
	}
	if len(others) > 0 {
		batch.Queue(b.delete, numbers(others))
	}
}

// Release gives up what is left of the claim.
func (c *claim) Release(ctx context.Context) error {
	if c.conn == nil {
		return nil
	}
	defer c.end()
	if c.tx == nil {
		return nil
	}
	return rollback(ctx, c.conn.Conn(), c.tx)
}

func (c *claim) end() {
	c.conn.Release()
	c.conn = nil
}

// Delete deletes entries that were handed over and published.
func (s *Store) Delete(ctx context.Context, seqs []int64) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("delete %d entries: get a connection: %w", len(seqs), err)
	}
	defer conn.Release()
	var batch pgx.Batch
	batch.BeginTx(unitTx)
	batch.Queue(claimSettings)
	s.base.queueDelete(&batch, seqs)
	batch.Queue("commit")
	results := conn.SendBatch(ctx, &batch)
	if err := results.Close(); err != nil {
		if tx := results.Tx(); tx != nil {
			err = errors.Join(err, rollback(ctx, conn.Conn(), tx))
		}
		return fmt.Errorf("delete %d entries: %w", len(seqs), err)
	}
	return nil
}

// Backlog returns how many entries wait and how old the oldest is.
func (s *Store) Backlog(ctx context.Context) (outbox.Backlog, error) {
	var seconds float64
	var b outbox.Backlog
	if err := s.pool.QueryRow(ctx, s.base.backlog, table.BacklogMax).Scan(&b.Entries, &seconds); err != nil {
		return outbox.Backlog{}, fmt.Errorf("backlog: %w", err)
	}
	b.Oldest = age(b.Entries, seconds)
	return b, nil
}

// Due returns the rows whose time has come.
func (s *Store) Due(ctx context.Context, query outbox.DueQuery) ([]outbox.Due, error) {
	rows, err := s.pool.Query(ctx, s.base.due, table.DueValues(query)...)
	if err != nil {
		return nil, fmt.Errorf("due: %w", err)
	}
	defer rows.Close()
	list, err := table.ReadDue(rows)
	if err != nil {
		return nil, fmt.Errorf("due: %w", err)
	}
	return list, nil
}

// Waiting tells what waits.
func (s *Store) Waiting(ctx context.Context, limit int) (outbox.Waiting, error) {
	// It is asked too seldom for a plan to be kept, which would be one of tables as they once were.
	rows, err := s.pool.Query(ctx, s.base.waiting, append([]any{pgx.QueryExecModeExec}, table.WaitingValues(limit)...)...)
	if err != nil {
		return outbox.Waiting{}, fmt.Errorf("waiting: %w", err)
	}
	defer rows.Close()
	w, err := table.ReadWaiting(rows, limit)
	if err != nil {
		return outbox.Waiting{}, fmt.Errorf("waiting: %w", err)
	}
	return w, nil
}

// age is never 0 where there is an entry, even if the clock was set back.
func age(entries int, seconds float64) time.Duration {
	if entries == 0 {
		return 0
	}
	return max(time.Duration(seconds*float64(time.Second)), time.Nanosecond)
}
