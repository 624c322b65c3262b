package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
	"github.com/choreo-go/choreo/tracker/internal/sqltext"
)

// Put stores snapshots and positions in one transaction.
func (m *Model) Put(ctx context.Context, snapshots []*tracker.Snapshot, positions []tracker.Position) error {
	all, newest, err := facts.Newest(snapshots)
	if err == nil {
		err = m.put(ctx, all, newest, positions)
	}
	if err != nil {
		return fail("put", err)
	}
	return nil
}

func (m *Model) put(ctx context.Context, all []facts.Facts, snapshots []*tracker.Snapshot, positions []tracker.Position) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Encoded before the write lock is held.
	texts := make([][]byte, len(snapshots))
	for i, s := range snapshots {
		var err error
		if texts[i], err = json.Marshal(s); err != nil {
			return err
		}
	}
	tx, err := m.begin(ctx, false)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	w, err := newWriter(ctx, tx)
	if err != nil {
		return err
	}
	defer w.close()
	for i := range all {
		if err := w.put(ctx, &all[i], texts[i]); err != nil {
			return err
		}
	}
	for _, p := range positions {
		_, err := tx.ExecContext(ctx, `INSERT INTO choreo_tracker_position (topic, partition_id, next) VALUES (?1, ?2, ?3)
			ON CONFLICT (topic, partition_id) DO UPDATE SET next = max(next, excluded.next)`, []byte(p.Topic), p.Partition, p.Next)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// writer holds the statements of a transaction that changes sagas.
type writer struct {
	find, insert, update, snapshot, addTerm, dropTerm, dropSaga, dropSnapshot *sql.Stmt
}

func newWriter(ctx context.Context, tx *sql.Tx) (*writer, error) {
	w := new(writer)
	var err error
	prepare := func(to **sql.Stmt, text string) {
		if err == nil {
			*to, err = tx.PrepareContext(ctx, text) //nolint:sqlclosecheck // the writer closes it
		}
	}
	prepare(&w.find, "SELECT row, log_offset, unknown, terms FROM choreo_tracker_saga WHERE saga = ?1 AND id = ?2")
	prepare(&w.insert, `INSERT INTO choreo_tracker_saga (saga, id, version, status, log_offset, started, updated, ended, terms, parts, tags, unknown)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)`)
	prepare(&w.update, `UPDATE choreo_tracker_saga SET version = ?2, status = ?3, log_offset = ?4, started = ?5, updated = ?6, ended = ?7,
		terms = ?8, parts = ?9, tags = ?10, unknown = ?11 WHERE row = ?1`)
	prepare(&w.snapshot, "INSERT INTO choreo_tracker_snapshot (row, snapshot) VALUES (?1, ?2) ON CONFLICT (row) DO UPDATE SET snapshot = excluded.snapshot")
	prepare(&w.addTerm, "INSERT INTO choreo_tracker_term (term, row) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
	prepare(&w.dropTerm, "DELETE FROM choreo_tracker_term WHERE term = ?1 AND row = ?2")
	prepare(&w.dropSaga, "DELETE FROM choreo_tracker_saga WHERE row = ?1")
	prepare(&w.dropSnapshot, "DELETE FROM choreo_tracker_snapshot WHERE row = ?1")
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *writer) close() {
	for _, s := range []*sql.Stmt{w.find, w.insert, w.update, w.snapshot, w.addTerm, w.dropTerm, w.dropSaga, w.dropSnapshot} {
		if s != nil {
			_ = s.Close() // the transaction's end says whether all is well
		}
	}
}

// put stores one saga if it replaces what is there.
func (w *writer) put(ctx context.Context, f *facts.Facts, snapshot []byte) error {
	terms := sqltext.Terms(f)
	var row, offset int64
	var unknown bool
	var had []byte
	values := []any{f.Version, []byte(f.Status), f.Offset, f.Started, f.Updated, f.Ended, join(terms), []byte(f.Parts), []byte(f.Tags), f.Unknown}
	err := w.find.QueryRowContext(ctx, []byte(f.Saga), []byte(f.ID)).Scan(&row, &offset, &unknown, &had)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		var result sql.Result
		if result, err = w.insert.ExecContext(ctx, append([]any{[]byte(f.Saga), []byte(f.ID)}, values...)...); err == nil {
			row, err = result.LastInsertId()
		}
	case err == nil && !f.Replaces(offset, unknown):
		return nil
	case err == nil:
		_, err = w.update.ExecContext(ctx, append([]any{row}, values...)...)
	}
	if err == nil {
		_, err = w.snapshot.ExecContext(ctx, row, snapshot)
	}
	if err != nil {
		return err
	}
	before := split(had)
	for _, t := range before {
		if !slices.Contains(terms, t) {
			if _, err := w.dropTerm.ExecContext(ctx, []byte(t), row); err != nil {
				return err
			}
		}
	}
	for _, t := range terms {
		if !slices.Contains(before, t) {
			if _, err := w.addTerm.ExecContext(ctx, []byte(t), row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) remove(ctx context.Context, row int64, terms []string) error {
	for _, t := range terms {
		if _, err := w.dropTerm.ExecContext(ctx, []byte(t), row); err != nil {
			return err
		}
	}
	if _, err := w.dropSnapshot.ExecContext(ctx, row); err != nil {
		return err
	}
	_, err := w.dropSaga.ExecContext(ctx, row)
	return err
}

// join puts each term between two marks.
func join(terms []string) []byte {
	text := []byte{}
	for _, t := range terms {
		text = append(text, mark+t+mark...)
	}
	return text
}

// split is the inverse of join.
func split(text []byte) []string {
	return slices.DeleteFunc(strings.Split(string(text), mark), func(t string) bool { return t == "" })
}
