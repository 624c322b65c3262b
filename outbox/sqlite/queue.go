package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// claim is a set of entries that one relay of this store works on.
type claim struct {
	store     *Store
	entries   []outbox.Entry
	keys      []string // aggregateid of entries: claimed until Release
	contended bool
	done      bool
	released  bool
}

// Claim returns up to limit of the oldest entries. It holds no connection.
func (s *Store) Claim(ctx context.Context, limit int, except []string) (outbox.Claim, error) {
	c, err := s.claim(ctx, limit, except)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return c, nil
}

func (s *Store) claim(ctx context.Context, limit int, except []string) (*claim, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	// Held while reading: two claims that read at once would get the same entries.
	s.mu.Lock()
	defer s.mu.Unlock()
	left := make(map[string]struct{}, len(except))
	for _, key := range table.KeyTexts(except) {
		left[key] = struct{}{}
	}
	c := &claim{store: s}
	for key := range s.claimed {
		if _, ok := left[key]; !ok {
			c.contended = true // a claimed key has entries
			left[key] = struct{}{}
		}
	}
	if err := c.read(ctx, limit, left); err != nil {
		return nil, err
	}
	for i := range c.entries {
		key, _ := table.KeyText(c.entries[i].Record.Key)
		if _, ok := s.claimed[key]; !ok {
			s.claimed[key] = struct{}{}
			c.keys = append(c.keys, key)
		}
	}
	return c, nil
}

func (s *Store) selectEntries(without bool) string {
	query := s.tables.SelectEntries("id", s.now, strconv.FormatInt(outbox.HandedFor.Microseconds(), 10), "$2")
	if without {
		query += " WHERE aggregateid NOT IN (SELECT value FROM json_each($3))"
	}
	return query + " ORDER BY seq LIMIT $1"
}

func (s *Store) deleteEntries() string {
	return "DELETE FROM " + s.tables.Outbox + " WHERE seq IN (SELECT value FROM json_each($1))"
}

func (c *claim) read(ctx context.Context, limit int, left map[string]struct{}) error {
	args := []any{limit, c.store.core.Handing.Own()}
	if len(left) > 0 {
		keys := make([]string, 0, len(left))
		for key := range left {
			keys = append(keys, key)
		}
		list, err := json.Marshal(keys)
		if err != nil {
			return err
		}
		args = append(args, string(list))
	}
	rows, err := c.store.core.Statements.Query(ctx, nil, c.store.selectEntries(len(left) > 0), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	var more bool
	c.entries, more, err = table.ReadEntries(rows, limit, c.store.core.Handing.Mine)
	c.contended = c.contended || more
	return err
}

// Entries returns what was claimed.
func (c *claim) Entries() []outbox.Entry { return c.entries }

// Contended reports whether entries were left out because another claim has them, or
// something before them was handed over, or because what was claimed is large.
func (c *claim) Contended() bool { return c.contended }

// Done deletes published entries.
func (c *claim) Done(ctx context.Context, seqs []int64) error {
	if c.done || c.released {
		return errors.New("done: the claim was done or released before")
	}
	c.done = true
	if len(seqs) == 0 {
		return nil
	}
	if err := c.store.delete(ctx, seqs); err != nil {
		return fmt.Errorf("done: delete %d entries: %w", len(seqs), err)
	}
	return nil
}

// Delete deletes entries that were handed over and published.
func (s *Store) Delete(ctx context.Context, seqs []int64) error {
	err := s.prepare(ctx)
	if err == nil {
		err = s.delete(ctx, seqs)
	}
	if err != nil {
		return fmt.Errorf("delete %d entries: %w", len(seqs), err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, seqs []int64) error {
	list, err := json.Marshal(seqs)
	if err != nil {
		return err
	}
	if err := s.writers.enter(ctx); err != nil {
		return err
	}
	defer s.writers.leave()
	tx, err := s.beginTx(ctx)
	if err != nil {
		return err
	}
	if err := s.core.Statements.Exec(ctx, tx, s.deleteEntries(), string(list)); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Release gives up what is left of the claim.
func (c *claim) Release(context.Context) error {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	if !c.released {
		c.released = true
		for _, key := range c.keys {
			delete(c.store.claimed, key)
		}
	}
	return nil
}

// now is the clock of a database: SQLite has that of the process, in microseconds of
// Unix time, to the millisecond.
const now = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"

var dialect = dialectOf(now)

func dialectOf(now string) table.Dialect {
	return table.Dialect{
		Now: now, In: now + " + %s", Left: "due_at - " + now,
		Each: "json_each(%s) AS e", Item: "e.value ->> %d", False: "0",
	}
}

// Due returns the rows whose time has come.
func (s *Store) Due(ctx context.Context, query outbox.DueQuery) ([]outbox.Due, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("due: %w", err)
	}
	return s.core.Statements.Due(ctx, s.due, query)
}

// Waiting tells what waits.
func (s *Store) Waiting(ctx context.Context, limit int) (outbox.Waiting, error) {
	return s.core.Statements.Waiting(ctx, s.waiting, limit)
}

// Hasten makes the rows of a kind due now.
func (s *Store) Hasten(ctx context.Context, kind outbox.DueKind) (int, error) {
	n, err := s.hasten(ctx, kind)
	if err != nil {
		return 0, fmt.Errorf("hasten: %w", err)
	}
	return n, nil
}

func (s *Store) hasten(ctx context.Context, kind outbox.DueKind) (int, error) {
	if err := s.writers.enter(ctx); err != nil {
		return 0, err
	}
	defer s.writers.leave()
	tx, err := s.beginTx(ctx)
	if err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, s.tables.Hasten(dialect, kind), table.HastenValues(kind)...)
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	n, err := result.RowsAffected()
	return int(n), errors.Join(err, tx.Commit())
}

// Backlog returns how many entries wait and how old the oldest is.
func (s *Store) Backlog(ctx context.Context) (outbox.Backlog, error) {
	var (
		b      outbox.Backlog
		oldest sql.NullString
		now    string
	)
	err := s.db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM (SELECT 1 FROM "+s.tables.Outbox+" LIMIT $1)),"+
		" (SELECT created_at FROM "+s.tables.Outbox+" ORDER BY seq LIMIT 1), strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
		table.BacklogMax).Scan(&b.Entries, &oldest, &now)
	if err != nil {
		return outbox.Backlog{}, fmt.Errorf("backlog: %w", err)
	}
	if oldest.Valid {
		var from, to table.Time
		if err := errors.Join(from.Scan(oldest.String), to.Scan(now)); err != nil {
			return outbox.Backlog{}, fmt.Errorf("backlog: %w", err)
		}
		b.Oldest = max(to.Sub(from.Time), time.Nanosecond) // a clock that was set back
	}
	return b, nil
}
