package table

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/outbox"
)

// Tables are the names of Choreo's tables, quoted and with their schema.
type Tables struct {
	Step, Saga, Outbox, Migration string
}

// In returns the tables under a prefix, such as `"payments".`.
func In(prefix string) Tables {
	return Tables{
		Step:      prefix + "choreo_step",
		Saga:      prefix + "choreo_saga",
		Outbox:    prefix + "choreo_outbox",
		Migration: prefix + "choreo_migration",
	}
}

// The columns of a statement, in the order of its values.
var (
	rowColumns = []string{
		"version", "state", "attempt", "home", "announced", "kept", "bypassed", "stuck", "noted", "settled",
		"inputs", "output_step", "output_type", "output", "failure_class", "failure_code", "failure_message", "origin",
	}
	stepKey       = []string{"saga_id", "saga", "step"}
	sagaKey       = []string{"saga_id", "saga"}
	stepColumns   = slices.Concat(stepKey, rowColumns, []string{dueColumn})
	sagaColumns   = slices.Concat(sagaKey, rowColumns, []string{dueColumn})
	insertColumns = []string{"id", "aggregatetype", "aggregateid", "type", "payload", "kafka_partition", "record_key", "headers"}
)

// dueColumn is when a row is due. Its value is a number of microseconds from now, or NULL.
const dueColumn = "due_at"

// Powers is for how many powers of two there are texts: 1, 2, 4, … 16. More rows take
// several statements, so that there are few to prepare.
const Powers = 5

// Texts are the statements of a unit of work. Each is there for 1, 2, 4, … rows.
type Texts struct {
	// Load reads all rows of sagas, as [Loaded.Add] takes them. Its values are those of
	// [LoadValues].
	Load [Powers]string
	// Steps writes rows of choreo_step with the values of [StepValues], Sagas rows of
	// choreo_saga with those of [SagaValues]. No two rows of one statement may have the
	// same key.
	Steps, Sagas [Powers]string
	// Entries adds rows to choreo_outbox with the values of [EntryValues]. Their seq is
	// in the order of the values.
	Entries [Powers]string
}

// Clock is how a dialect reckons with its clock and due_at.
type Clock struct {
	Now  string // the clock
	In   string // the time so many microseconds from now, with a %s for the number; NULL where that is
	Left string // microseconds until due_at; NULL where that is
}

// Texts makes the statements.
func (t Tables) Texts(clock Clock) *Texts {
	var texts Texts
	for p := range Powers {
		n := 1 << p
		texts.Load[p] = t.load(n, clock.Left)
		texts.Steps[p] = upsert(t.Step, stepColumns, stepKey, n, clock.In)
		texts.Sagas[p] = upsert(t.Saga, sagaColumns, sagaKey, n, clock.In)
		texts.Entries[p] = insert(t.Outbox, insertColumns, n, "")
	}
	return &texts
}

// Part is what one statement writes or reads.
type Part struct {
	Text   string
	Values []any
}

// Parts divides rows among as few statements as there can be.
func Parts[R any](texts *[Powers]string, values func([]any, *R) []any, rows []R) []Part {
	var parts []Part
	for len(rows) > 0 {
		power := min(bits.Len(uint(len(rows)))-1, Powers-1)
		part := Part{Text: texts[power]}
		for i := range rows[:1<<power] {
			part.Values = values(part.Values, &rows[i])
		}
		parts = append(parts, part)
		rows = rows[1<<power:]
	}
	return parts
}

// Write returns the statements that write changes. A row that a later one replaces is left
// out, since one statement can write a row but once.
func (t *Texts) Write(c *outbox.Changes) []Part {
	type stepKey struct {
		saga outbox.SagaID
		step string
	}
	steps := last(c.Steps, func(r *outbox.StepRow) stepKey { return stepKey{r.SagaID, r.Step} })
	sagas := last(c.Sagas, func(r *outbox.SagaRow) outbox.SagaID { return r.SagaID })
	return slices.Concat(
		Parts(&t.Steps, StepValues, steps), Parts(&t.Sagas, SagaValues, sagas), Parts(&t.Entries, EntryValues, c.Entries))
}

// last returns the rows without those that a later one of the same key replaces.
func last[R any, K comparable](rows []R, key func(*R) K) []R {
	if len(rows) < 2 {
		return rows
	}
	places := make(map[K]int, len(rows))
	for i := range rows {
		places[key(&rows[i])] = i
	}
	if len(places) == len(rows) {
		return rows
	}
	kept := make([]R, 0, len(places))
	for i := range rows {
		if places[key(&rows[i])] == i {
			kept = append(kept, rows[i])
		}
	}
	return kept
}

func upsert(table string, columns, key []string, n int, due string) string {
	set := make([]string, 0, len(rowColumns)+1)
	for _, c := range append(columns[len(key):len(columns):len(columns)], "updated_at") {
		set = append(set, c+" = excluded."+c)
	}
	return insert(table, columns, n, due) +
		" ON CONFLICT (" + strings.Join(key, ", ") + ") DO UPDATE SET " + strings.Join(set, ", ")
}

func insert(table string, columns []string, n int, due string) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ")
	for row := range n {
		if row > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for i, column := range columns {
			if i > 0 {
				b.WriteString(", ")
			}
			parameter := "$" + strconv.Itoa(row*len(columns)+i+1)
			if column == dueColumn {
				parameter = fmt.Sprintf(due, parameter)
			}
			b.WriteString(parameter)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// load makes a query for each saga and table. One with a list of ids would read tables of
// which the planner believes that they are small from end to end, and a prepared one
// would go on to do so when they have grown. A saga's own row has no step and comes
// with the empty one.
func (t Tables) load(n int, left string) string {
	columns := strings.Join(rowColumns, ", ") + ", " + left
	var queries []string
	for i := range n {
		where := fmt.Sprintf(" WHERE saga_id = $%d AND saga = $%d", 2*i+1, 2*i+2)
		queries = append(queries,
			"SELECT saga_id, saga, step, "+columns+" FROM "+t.Step+where,
			"SELECT saga_id, saga, '', "+columns+" FROM "+t.Saga+where)
	}
	return strings.Join(queries, " UNION ALL ")
}

// Due reads up to $1 rows that are due, as [ReadDue] takes them.
func (t Tables) Due(clock Clock) string {
	due := func(table, step string) string {
		return "SELECT * FROM (SELECT saga_id, saga, " + step + " AS step, version, attempt, " + dueColumn + " FROM " + table +
			" WHERE " + dueColumn + " <= " + clock.Now + " ORDER BY " + dueColumn + " LIMIT $1)"
	}
	return "SELECT saga_id, saga, step, version, attempt FROM (" + due(t.Step, "step") + " AS steps UNION ALL " + due(t.Saga, "''") +
		" AS sagas) AS due ORDER BY " + dueColumn + " LIMIT $1"
}

// SelectEntries is the head of the statements that read entries for [ScanEntry]. id
// is the expression that yields the id as text.
func (t Tables) SelectEntries(id string) string {
	return "SELECT seq, " + id + ", aggregatetype, aggregateid, type, payload, kafka_partition, record_key, headers, created_at FROM " + t.Outbox
}
