package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/internal/migration"
	outbox "github.com/choreo-go/choreo/outbox/sqlite"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
	"github.com/choreo-go/choreo/tracker/internal/sqltext"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Model is the read model over a file. It is safe for concurrent use.
type Model struct {
	db      *sql.DB
	dialect sqltext.Dialect
}

var _ tracker.Model = (*Model)(nil)

// Open opens a file, and makes it if there is none. Call Migrate before anything else, and
// Close in the end.
func Open(path string) (*Model, error) {
	db, err := outbox.Open(path, nil)
	if err != nil {
		return nil, fmt.Errorf("tracker: %w", err)
	}
	return &Model{db: db, dialect: dialect()}, nil
}

func dialect() sqltext.Dialect {
	return sqltext.Dialect{
		Table: "choreo_tracker_saga", Mark: "?", Few: 5000,
		HasTerm: func(a *sqltext.Args, terms []string) string {
			words := []string{"1 = 0"}
			for _, t := range terms {
				words = append(words, "instr(s.terms, "+a.Add(mark+t+mark)+") > 0")
			}
			return "s.terms <> x'' AND (" + strings.Join(words, " OR ") + ")"
		},
		ByTerm: func(a *sqltext.Args, terms []string) string {
			return "s.row IN (SELECT t.row FROM choreo_tracker_term t WHERE " + sqltext.In(a, "t.term", terms) + ")"
		},
		Contains:  func(column, parameter string) string { return "instr(" + column + ", " + parameter + ") > 0" },
		Unindexed: func(column string) string { return "+" + column },
		Busy:      func(column string) string { return " INDEXED BY choreo_tracker_saga_busy_" + column },
		JoinTerms: "CROSS JOIN choreo_tracker_term t ON t.row = s.row",
		TermKind: func(a *sqltext.Args, kind string) string {
			from := a.Add(kind)
			return "t.term >= " + from + " AND t.term < " + a.Add(string(kind[0]+1))
		},
		Counts: "choreo_tracker_count",
		OfClass: "s.saga = c.saga AND s.version = c.version AND s.status = c.status AND s.terms = c.terms AND s.ended = " +
			strconv.FormatInt(facts.Open, 10), // as the index has it: no parameter would do
		Key: "s.row", Payload: "JOIN choreo_tracker_snapshot p ON p.row = k.row",
	}
}

// cache is how much of the file a connection keeps, in KiB: SQLite's 2 MiB are little for the indexes
// of a million sagas.
const cache = 32 << 10

func (m *Model) begin(ctx context.Context, readOnly bool) (*sql.Tx, error) {
	tx, err := m.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: readOnly})
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size = -%d", cache)); err != nil {
		_ = tx.Rollback() // err says more
		return nil, err
	}
	return tx, nil
}

// mark lies around the terms of a row; no text has it.
const mark = "\xff"

func fail(what string, err error) error { return fmt.Errorf("tracker: sqlite: %s: %w", what, err) }

// Migrate makes the tables, or brings them to this build's version. It refuses a file that a newer
// build has migrated.
func (m *Model) Migrate(ctx context.Context) error {
	if err := m.migrate(ctx); err != nil {
		return fail("migrate", err)
	}
	return nil
}

func (m *Model) migrate(ctx context.Context) error {
	list, err := migration.Migrations(migrations, "migrations")
	if err != nil {
		return err
	}
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	if err := migration.ApplySQLite(ctx, tx, "choreo_tracker_migration", list); err != nil {
		return err
	}
	return tx.Commit()
}

// Positions returns where the topic's partitions stand.
func (m *Model) Positions(ctx context.Context, topic string) ([]tracker.Position, error) {
	rows, err := m.db.QueryContext(ctx,
		"SELECT partition_id, next FROM choreo_tracker_position WHERE topic = ?1 ORDER BY partition_id", []byte(topic))
	if err != nil {
		return nil, fail("positions", err)
	}
	defer rows.Close()
	var list []tracker.Position
	for rows.Next() {
		p := tracker.Position{Topic: topic}
		if err := rows.Scan(&p.Partition, &p.Next); err != nil {
			return nil, fail("positions", err)
		}
		list = append(list, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fail("positions", err)
	}
	return list, nil
}

// Get returns a saga.
func (m *Model) Get(ctx context.Context, saga, id string) (*tracker.Snapshot, error) {
	var data []byte
	err := m.db.QueryRowContext(ctx, `SELECT p.snapshot FROM choreo_tracker_saga s JOIN choreo_tracker_snapshot p ON p.row = s.row
		WHERE s.saga = ?1 AND s.id = ?2`, []byte(facts.Text(saga)), []byte(facts.Text(id))).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("tracker: saga %s %q: %w", saga, id, tracker.ErrNotFound)
	}
	if err != nil {
		return nil, fail("get", err)
	}
	s := new(tracker.Snapshot)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fail("get", err)
	}
	return s, nil
}

// List returns a page.
func (m *Model) List(ctx context.Context, q tracker.Query) (tracker.Page, error) {
	query, err := facts.NewQuery(&q)
	if err != nil {
		return tracker.Page{}, fail("list", err)
	}
	page, err := m.list(ctx, query)
	if err != nil {
		return tracker.Page{}, fail("list", err)
	}
	return page, nil
}

func (m *Model) list(ctx context.Context, query *facts.Query) (tracker.Page, error) {
	tx, err := m.begin(ctx, true)
	if err != nil {
		return tracker.Page{}, err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	list := m.dialect.NewList(query)
	err = list.Plan(func(s sqltext.Statement) (n int64, err error) {
		err = tx.QueryRowContext(ctx, s.SQL, s.Args...).Scan(&n)
		return n, err
	})
	if err != nil {
		return tracker.Page{}, err
	}
	return list.Read(func(s sqltext.Statement, row func(sqltext.Row) error) error {
		rows, err := tx.QueryContext(ctx, s.SQL, s.Args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r sqltext.Row
			if err := rows.Scan(&r.Place, &r.Saga, &r.ID, &r.Snapshot); err != nil {
				return err
			}
			if err := row(r); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// Count counts what a filter chooses.
func (m *Model) Count(ctx context.Context, f tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	filter, err := facts.NewFilter(&f)
	if err == nil {
		err = facts.CheckGroup(by)
	}
	if err != nil {
		return nil, fail("count", err)
	}
	counter := facts.NewCounter(by)
	if filter.Timeless() {
		err = m.countClasses(ctx, filter, counter)
	} else {
		err = m.countEach(ctx, filter, by, counter)
	}
	if err != nil {
		return nil, fail("count", err)
	}
	return counter.Counts(), nil
}

func (m *Model) countClasses(ctx context.Context, filter *facts.Filter, counter *facts.Counter) error {
	var class sqltext.Class
	var terms []byte
	return m.rows(ctx, m.dialect.CountClasses(filter), []any{&class.Saga, &class.Version, &class.Status, &terms, &class.Sagas, &class.Oldest},
		func() { class.AddTo(counter, split(terms)) })
}

func (m *Model) countEach(ctx context.Context, filter *facts.Filter, by tracker.Group, counter *facts.Counter) error {
	var g sqltext.Group
	return m.rows(ctx, m.dialect.CountEach(filter, by), []any{&g.Name, &g.Version, &g.Term, &g.Count, &g.Oldest},
		func() { g.AddTo(counter, by) })
}

// rows reads each row of an answer into the destinations, and then calls row.
func (m *Model) rows(ctx context.Context, s sqltext.Statement, destinations []any, row func()) error {
	rows, err := m.db.QueryContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(destinations...); err != nil {
			return err
		}
		row()
	}
	return rows.Err()
}

// forgetChunk is how many sagas one transaction removes, so that others can write in between.
const forgetChunk = 2000

// Forget removes sagas that ended before, some at a time.
func (m *Model) Forget(ctx context.Context, endedBefore time.Time) (int64, error) {
	var all int64
	for {
		n, err := m.forget(ctx, facts.Nanos(endedBefore))
		all += n
		if err != nil {
			return all, fail("forget", err)
		}
		if n < forgetChunk {
			return all, nil
		}
	}
}

func (m *Model) forget(ctx context.Context, before int64) (int64, error) {
	tx, err := m.begin(ctx, false)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	rows, err := tx.QueryContext(ctx, "SELECT row, terms FROM choreo_tracker_saga WHERE ended < ?1 ORDER BY ended LIMIT ?2",
		min(before, facts.Open), forgetChunk)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	old := make(map[int64][]byte)
	for rows.Next() {
		var row int64
		var terms []byte
		if err := rows.Scan(&row, &terms); err != nil {
			return 0, err
		}
		old[row] = terms
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, err
	}
	w, err := newWriter(ctx, tx)
	if err != nil {
		return 0, err
	}
	defer w.close()
	for row, terms := range old {
		if err := w.remove(ctx, row, split(terms)); err != nil {
			return 0, err
		}
	}
	// Classes that have lost all their sagas stay until now, since most come back soon.
	if _, err := tx.ExecContext(ctx, "DELETE FROM choreo_tracker_count WHERE sagas = 0"); err != nil {
		return 0, err
	}
	return int64(len(old)), tx.Commit()
}

// Close closes the file.
func (m *Model) Close() error { return m.db.Close() }
