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
	// Steps and Sagas delete the rows of those sagas in $2, a list of [SagaList], that may
	// go still. Both belong into the transaction that holds the sagas' locks.
	Steps, Sagas string
}

// PruneDialect is what dialects differ in when they prune.
type PruneDialect struct {
	Steps, Sagas Old
	Cutoff       string // rows written before it are old enough, by $1
	Each         string // the elements of the JSON array $2, as rows e
	ID           string // the first element of the array in e, as text
	Name         string // the second
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
	busy := func(table string) string {
		return "EXISTS (SELECT 1 FROM " + table + " AS o WHERE o.saga_id = c.saga_id AND o.saga = c.saga AND (o.updated_at >= " +
			d.Cutoff + " OR o.state NOT IN (" + strings.Join(states, ", ") + ")))"
	}
	ended := "NOT " + busy(t.Step) + " AND NOT " + busy(t.Saga)
	oldest := func(table string, old Old) string {
		return "SELECT saga_id, saga FROM (SELECT saga_id, saga FROM " + table + " AS c WHERE " + old.Where +
			" AND " + ended + " ORDER BY " + old.Order + " LIMIT $2) AS oldest"
	}
	count := func(table string) string {
		return "(SELECT count(*) FROM " + table + " AS o WHERE o.saga_id = c.saga_id AND o.saga = c.saga)"
	}
	remove := func(table string) string {
		return "DELETE FROM " + table + " WHERE (saga_id, saga) IN (SELECT saga_id, saga FROM (SELECT " +
			d.ID + " AS saga_id, " + d.Name + " AS saga FROM " + d.Each + ") AS c WHERE " + ended + ")"
	}
	return PruneTexts{
		Candidates: "SELECT saga_id, saga, " + count(t.Step) + " + " + count(t.Saga) + " FROM (" +
			oldest(t.Step, d.Steps) + " UNION " + oldest(t.Saga, d.Sagas) + ") AS c",
		Steps: remove(t.Step), Sagas: remove(t.Saga),
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
