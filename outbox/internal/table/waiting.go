package table

import (
	"fmt"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// The kinds of rows of a statement of [Tables.Waiting].
const (
	kindHeld   = "held"
	kindDue    = "due"
	kindParked = "parked"
	kindOpen   = "open"
	kindQueued = "queued"
)

// Waiting reads what waits with the values of [WaitingValues], as [ReadWaiting] takes it. held is
// the condition of the index over rows that wait without a time, age the expression that
// yields the microseconds since updated_at. It reads no more than so many rows of an index.
func (t Tables) Waiting(d Dialect, held, age string) string {
	rows := func(kind, where, order string) string {
		return "SELECT * FROM (SELECT '" + kind + "' AS kind, saga_id, saga, step, version, state, stuck, attempt, " + d.Left + " AS due_in, " + age +
			" AS age, failure_class, failure_code, failure_message FROM " + t.Step + " WHERE " + where + " ORDER BY " + order + " LIMIT $1) AS " + kind
	}
	count := func(kind, of string) string {
		return "SELECT '" + kind + "', '', '', '', 0, '', " + d.False + ", (SELECT count(*) FROM (" + of + "), NULL, 0, NULL, NULL, NULL"
	}
	const due = dueColumn + " IS NOT NULL"
	return rows(kindHeld, held, "created_at") + " UNION ALL " + rows(kindDue, due, dueColumn) + " UNION ALL " +
		count(kindParked, "SELECT step FROM "+t.Step+" WHERE "+due+" ORDER BY "+dueColumn+" LIMIT $2) AS rows_due WHERE step = '"+choreo.ParkedRow+"'") + " UNION ALL " +
		count(kindOpen, "SELECT 1 FROM "+t.Saga+" WHERE state = '"+string(choreo.RowOpen)+"' LIMIT $2) AS sagas_open") + " UNION ALL " +
		count(kindQueued, "SELECT state FROM "+t.Saga+" WHERE "+due+" ORDER BY "+dueColumn+" LIMIT $2) AS sagas_due WHERE state = '"+string(choreo.RowQueued)+"'")
}

// WaitingValues are the values of a statement of [Tables.Waiting].
func WaitingValues(limit int) []any { return []any{limit, outbox.WaitingMax} }

// ReadWaiting reads what a statement of [Tables.Waiting] returned.
func ReadWaiting(rows Result, limit int) (outbox.Waiting, error) {
	var (
		w         outbox.Waiting
		held, due []outbox.WaitingRow
	)
	for rows.Next() {
		var (
			r                        outbox.WaitingRow
			kind, state              string
			dueIn                    *int64
			age                      int64
			class, code, explanation *string
		)
		if err := rows.Scan(&kind, &r.SagaID.ID, &r.SagaID.Saga, &r.Step, &r.Version, &state, &r.Stuck, &r.Attempt, &dueIn, &age,
			&class, &code, &explanation); err != nil {
			return outbox.Waiting{}, fmt.Errorf("scan a waiting row: %w", err)
		}
		r.State, r.Age = choreo.RowState(state), max(time.Duration(age)*time.Microsecond, time.Microsecond)
		if dueIn != nil {
			r.DueIn = left(*dueIn)
		}
		if class != nil {
			r.Failure = &choreo.Failure{Class: choreo.Class(*class), Code: deref(code), Message: deref(explanation)}
		}
		switch kind {
		case kindHeld:
			held = append(held, r)
		case kindDue:
			due = append(due, r)
		case kindParked:
			w.Parked = r.Attempt
		case kindOpen:
			w.Open = r.Attempt
		case kindQueued:
			w.Queued = r.Attempt
		}
	}
	// A union keeps the order of its parts on both databases, which neither promises.
	w.Rows = slices.Concat(held, due)
	w.Rows = w.Rows[:min(len(w.Rows), limit)]
	return w, rows.Err()
}
