package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
	"github.com/choreo-go/choreo/tracker/internal/sqltext"
)

// Config configures a model. The zero value of a field is its default.
type Config struct {
	// Schema holds the tables; Migrate makes it if there is none. Default: the first schema
	// of the connection's search_path.
	Schema string
}

// Model is the read model over a pool. It is safe for concurrent use.
type Model struct {
	pool            *pgxpool.Pool
	schema          string
	saga, positions string // tables, quoted
	dialect         sqltext.Dialect
	sum             string // the statement that adds counts up
	puts            atomic.Uint64
}

var _ tracker.Model = (*Model)(nil)

// New returns a model over a pool. Call Migrate before anything else. Closing the pool stays
// with the caller. config may be nil.
func New(pool *pgxpool.Pool, config *Config) *Model {
	m := &Model{pool: pool}
	prefix := ""
	if config != nil && config.Schema != "" {
		m.schema = config.Schema
		prefix = pgx.Identifier{config.Schema}.Sanitize() + "."
	}
	m.saga, m.positions = prefix+"choreo_tracker_saga", prefix+"choreo_tracker_position"
	has := func(a *sqltext.Args, terms []string) string { return "s.terms && " + a.Bytes(terms) + "::bytea[]" }
	m.dialect = sqltext.Dialect{
		Table: m.saga, Mark: "$", Few: 1000,
		HasTerm: func(a *sqltext.Args, terms []string) string {
			// An operator of an array that is no column is served by no index.
			return "s.terms <> '{}' AND (s.terms || '{}'::bytea[]) && " + a.Bytes(terms) + "::bytea[]"
		},
		ByTerm: has,
		Contains: func(column, parameter string) string {
			return "position(" + parameter + "::bytea IN " + column + ") > 0"
		},
		Unindexed: func(column string) string { return column },
		Busy:      func(string) string { return "" }, // the planner sees that its index will do
		JoinTerms: "CROSS JOIN LATERAL unnest(s.terms) AS t(term)",
		TermKind: func(a *sqltext.Args, kind string) string {
			return "substr(t.term, 1, 1) = " + a.Add(kind) + "::bytea"
		},
		Counts: prefix + "choreo_tracker_count",
		// The index has the hash of a class, since terms may be longer than an index takes.
		OfClass: classHash("s") + " = " + classHash("c") + " AND s.ended = " + strconv.FormatInt(facts.Open, 10) +
			" AND s.saga || ''::bytea = c.saga AND s.version + 0 = c.version AND s.status || ''::bytea = c.status AND s.terms || '{}'::bytea[] = c.terms",
		Key: "s.log_offset", Payload: "JOIN " + m.saga + " p ON p.saga = k.saga AND p.id = k.id",
	}
	m.sum = sumCounts(m.dialect.Counts)
	return m
}

func fail(what string, err error) error { return fmt.Errorf("tracker: postgres: %s: %w", what, err) }

// Positions returns where the topic's partitions stand.
func (m *Model) Positions(ctx context.Context, topic string) ([]tracker.Position, error) {
	rows, err := m.pool.Query(ctx, "SELECT partition_id, next FROM "+m.positions+" WHERE topic = $1 ORDER BY partition_id", []byte(topic))
	if err != nil {
		return nil, fail("positions", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (tracker.Position, error) {
		p := tracker.Position{Topic: topic}
		return p, row.Scan(&p.Partition, &p.Next)
	})
	if err != nil {
		return nil, fail("positions", err)
	}
	return list, nil
}

// Get returns a saga.
func (m *Model) Get(ctx context.Context, saga, id string) (*tracker.Snapshot, error) {
	var data []byte
	err := m.pool.QueryRow(ctx, "SELECT snapshot FROM "+m.saga+" WHERE saga = $1 AND id = $2",
		[]byte(facts.Text(saga)), []byte(facts.Text(id))).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
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
	var page tracker.Page
	// What is counted and the parts of the page are of one moment.
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, m.pool, options, func(tx pgx.Tx) error {
		page, err = m.list(ctx, tx, query)
		return err
	})
	if err != nil {
		return tracker.Page{}, fail("list", err)
	}
	return page, nil
}

func (m *Model) list(ctx context.Context, tx pgx.Tx, query *facts.Query) (tracker.Page, error) {
	list := m.dialect.NewList(query)
	// A planner whose statistics are old takes an absent value for a common one, and reads the table.
	_, err := tx.Exec(ctx, "SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")
	if err != nil {
		return tracker.Page{}, err
	}
	err = list.Plan(func(s sqltext.Statement) (n int64, err error) {
		err = tx.QueryRow(ctx, s.SQL, s.Args...).Scan(&n)
		return n, err
	})
	if err != nil {
		return tracker.Page{}, err
	}
	if list.Walks() {
		// Without it, a planner whose statistics are old reads all that run, to sort them.
		_, err := tx.Exec(ctx, "SELECT set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)")
		if err != nil {
			return tracker.Page{}, err
		}
	}
	return list.Read(func(s sqltext.Statement, row func(sqltext.Row) error) error {
		rows, err := tx.Query(ctx, s.SQL, s.Args...)
		if err != nil {
			return err
		}
		var r sqltext.Row
		_, err = pgx.ForEachRow(rows, []any{&r.Place, &r.Saga, &r.ID, &r.Snapshot}, func() error { return row(r) })
		return err
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

// Forget removes sagas that ended before, some at a time, so that nobody waits for long.
func (m *Model) Forget(ctx context.Context, endedBefore time.Time) (int64, error) {
	const chunk = 5000
	// The rows are locked in the order in which Put locks them.
	sql := strings.ReplaceAll(`WITH gone AS MATERIALIZED (
			SELECT saga, id FROM table_of_sagas WHERE (saga, id) IN (SELECT saga, id FROM table_of_sagas WHERE ended < $1 ORDER BY ended LIMIT $2)
			ORDER BY saga, id FOR UPDATE)
		DELETE FROM table_of_sagas s USING gone WHERE s.saga = gone.saga AND s.id = gone.id AND s.ended < $1`, "table_of_sagas", m.saga)
	var all int64
	for {
		tag, err := m.pool.Exec(ctx, sql, min(facts.Nanos(endedBefore), facts.Open), chunk)
		if err != nil {
			return all, fail("forget", err)
		}
		all += tag.RowsAffected()
		if tag.RowsAffected() == 0 {
			return all, nil
		}
	}
}

// Close does nothing: the pool is the caller's.
func (m *Model) Close() error { return nil }
