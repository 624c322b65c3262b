package table

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/outbox"
)

// PruneTexts are the statements that delete rows of ended sagas. The first parameter of
// each is what the dialect's cutoff makes of the least age.
type PruneTexts struct {
	// Candidates reads sagas that may go, with the number of their rows, as
	// [ReadCandidates] takes them, with up to $2 old rows of each table to begin with.
	Candidates string
	// Parked, Steps and Sagas delete, in this order, what there is of those sagas in $2, a
	// list of [SagaList], that may go still. All belong into the transaction that holds
	// the sagas' locks.
	Parked, Steps, Sagas string
}

// PruneDialect is what dialects differ in when they prune.
type PruneDialect struct {
	Dialect
	Steps, Sagas Old
	Cutoff       string // rows written before it are old enough, by $1
}

// Old is how rows of a table are found that came to be before the cutoff, and maybe others:
// by a condition, and in an order, that an index serves.
type Old struct{ Where, Order string }

// Prune makes the statements.
//
// Candidates are found by when their rows came to be, which never changes, though what
// counts is when they were last written: an index on that would have to be kept with
// every update, and would take from PostgreSQL the updates that touch no index. What
// is old and may not go, a saga that is stuck, is read in vain.
func (t Tables) Prune(d PruneDialect) PruneTexts {
	states := make([]string, 0, len(outbox.RestStates()))
	for _, s := range outbox.RestStates() {
		states = append(states, "'"+string(s)+"'")
	}
	has := func(table, which string) string {
		return "EXISTS (SELECT 1 FROM " + table + " AS o WHERE o.saga_id = c.saga_id AND o.saga = c.saga" + which + ")"
	}
	busy := " AND (o.updated_at >= " + d.Cutoff + " OR o.state NOT IN (" + strings.Join(states, ", ") + "))"
	ended := "NOT " + has(t.Step, busy) + " AND NOT " + has(t.Saga, busy)
	oldest := func(table string, old Old) string {
		return "SELECT saga_id, saga FROM (SELECT saga_id, saga FROM " + table + " AS c WHERE " + old.Where +
			" AND " + ended + " ORDER BY " + old.Order + " LIMIT $2) AS oldest"
	}
	count := func(table string) string {
		return "(SELECT count(*) FROM " + table + " AS o WHERE o.saga_id = c.saga_id AND o.saga = c.saga)"
	}
	remove := func(table, which string) string {
		return "DELETE FROM " + table + " WHERE (saga_id, saga) IN (SELECT saga_id, saga FROM (" +
			d.list("$2", sagaKey...) + ") AS c WHERE " + which + ")"
	}
	return PruneTexts{
		Candidates: "SELECT saga_id, saga, " + count(t.Step) + " + " + count(t.Saga) + " FROM (" +
			oldest(t.Step, d.Steps) + " UNION " + oldest(t.Saga, d.Sagas) + ") AS c",
		// Of a saga that has rows: without any, it may have come back since they went.
		Parked: remove(t.Parked, ended+" AND ("+has(t.Step, "")+" OR "+has(t.Saga, "")+")"),
		Steps:  remove(t.Step, ended), Sagas: remove(t.Saga, ended),
	}
}

// ReadCandidates reads the result of Candidates: sagas that together have up to limit
// rows, or one that has more. It does not close the result.
func ReadCandidates(rows Result, limit int) ([]outbox.SagaID, error) {
	var sagas []outbox.SagaID
	total := 0
	for rows.Next() {
		var id outbox.SagaID
		var n int
		if err := rows.Scan(&id.ID, &id.Saga, &n); err != nil {
			return nil, fmt.Errorf("read a saga to prune: %w", err)
		}
		if total+n <= limit || len(sagas) == 0 {
			sagas = append(sagas, id)
			total += n
		}
	}
	return sagas, rows.Err()
}

// SagaList writes sagas as a JSON array of pairs: id, name.
func SagaList(sagas []outbox.SagaID) string {
	pairs := make([][2]string, len(sagas))
	for i, id := range sagas {
		pairs[i] = [2]string{id.ID, id.Saga}
	}
	data, _ := json.Marshal(pairs) // strings always have a JSON form
	return string(data)
}
