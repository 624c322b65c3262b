package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
	"github.com/choreo-go/choreo/tracker/internal/sqltext"
)

// The database itself counts the sagas of each class, by triggers: whoever changes the table of
// sagas, the counts are right. A trigger inserts what has changed, and updates no row that others
// update too: writers do not wait for each other. Readers add the rows up, and now and then a
// writer replaces them by their sums.

// sumEvery is after how many of its calls Put adds the counts up.
const sumEvery = 64

// sumCounts words the statement that replaces the rows of the counts by their sums. Rows that
// another writer is adding up are left to it.
func sumCounts(table string) string {
	return strings.ReplaceAll(`WITH rows AS (
			DELETE FROM table_of_counts WHERE ctid = ANY (ARRAY(SELECT ctid FROM table_of_counts FOR UPDATE SKIP LOCKED))
			RETURNING saga, version, status, is_open, terms, sagas)
		INSERT INTO table_of_counts (saga, version, status, is_open, terms, sagas)
		SELECT saga, version, status, is_open, terms, sum(sagas) FROM rows GROUP BY 1, 2, 3, 4, 5 HAVING sum(sagas) <> 0`, "table_of_counts", table)
}

// classHash words the hash of the class of a row, without whether it is open, as the index has it.
func classHash(row string) string {
	return strings.ReplaceAll("hash_array_extended(ARRAY[r.saga, r.status, int8send(r.version)] || r.terms, 0)", "r.", row+".")
}

func (m *Model) countClasses(ctx context.Context, filter *facts.Filter, counter *facts.Counter) error {
	s := m.dialect.CountClasses(filter)
	rows, err := m.pool.Query(ctx, s.SQL, s.Args...)
	if err != nil {
		return err
	}
	var class sqltext.Class
	var terms [][]byte
	_, err = pgx.ForEachRow(rows, []any{&class.Saga, &class.Version, &class.Status, &terms, &class.Sagas, &class.Oldest}, func() error {
		texts := make([]string, len(terms))
		for i, t := range terms {
			texts[i] = string(t)
		}
		class.AddTo(counter, texts)
		return nil
	})
	return err
}

func (m *Model) countEach(ctx context.Context, filter *facts.Filter, by tracker.Group, counter *facts.Counter) error {
	s := m.dialect.CountEach(filter, by)
	rows, err := m.pool.Query(ctx, s.SQL, s.Args...)
	if err != nil {
		return err
	}
	var g sqltext.Group
	_, err = pgx.ForEachRow(rows, []any{&g.Name, &g.Version, &g.Term, &g.Count, &g.Oldest}, func() error {
		g.AddTo(counter, by)
		return nil
	})
	return err
}
