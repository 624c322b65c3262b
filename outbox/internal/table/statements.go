package table

import (
	"strconv"
	"strings"
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
		"inputs", "output_step", "output_type", "output", "failure_class", "failure_code", "failure_message",
	}
	stepKey       = []string{"saga_id", "saga", "step"}
	sagaKey       = []string{"saga_id", "saga"}
	stepColumns   = append(append([]string{}, stepKey...), rowColumns...)
	sagaColumns   = append(append([]string{}, sagaKey...), rowColumns...)
	insertColumns = []string{"id", "aggregatetype", "aggregateid", "type", "payload", "kafka_partition", "record_key", "headers"}
)

// UpsertSteps returns the statement that writes n rows of choreo_step. Its values are
// those of [StepValues]; no two rows may have the same key.
func (t Tables) UpsertSteps(n int) string { return upsert(t.Step, stepColumns, stepKey, n) }

// UpsertSagas is UpsertSteps for choreo_saga and [SagaValues].
func (t Tables) UpsertSagas(n int) string { return upsert(t.Saga, sagaColumns, sagaKey, n) }

// InsertEntries returns the statement that adds n rows to choreo_outbox, with the
// values of [EntryValues]. Their seq is in the order of the values.
func (t Tables) InsertEntries(n int) string { return insert(t.Outbox, insertColumns, n) }

func upsert(table string, columns, key []string, n int) string {
	set := make([]string, 0, len(rowColumns)+1)
	for _, c := range append(columns[len(key):len(columns):len(columns)], "updated_at") {
		set = append(set, c+" = excluded."+c)
	}
	return insert(table, columns, n) +
		" ON CONFLICT (" + strings.Join(key, ", ") + ") DO UPDATE SET " + strings.Join(set, ", ")
}

func insert(table string, columns []string, n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ")
	for row := range n {
		if row > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		parameters(&b, row*len(columns)+1, len(columns))
		b.WriteByte(')')
	}
	return b.String()
}

// Load returns the statement that reads all rows of sagas with the n given ids, of
// any definition, as [Loaded.Add] takes them. Its values are the ids, which may
// repeat.
func (t Tables) Load(n int) string {
	var in strings.Builder
	in.WriteString(" WHERE saga_id IN (")
	parameters(&in, 1, n)
	in.WriteByte(')')
	return t.load(in.String())
}

// LoadOne returns the statement that reads all rows of the one saga with the id $1
// and the definition $2.
func (t Tables) LoadOne() string { return t.load(" WHERE saga_id = $1 AND saga = $2") }

// load reads both tables at once. A saga's own row has no step and comes with the
// empty one.
func (t Tables) load(where string) string {
	columns := strings.Join(rowColumns, ", ")
	return "SELECT saga_id, saga, step, " + columns + " FROM " + t.Step + where +
		" UNION ALL SELECT saga_id, saga, '', " + columns + " FROM " + t.Saga + where
}

// SelectEntries is the head of the statements that read entries for [ScanEntry]. id
// is the expression that yields the id as text.
func (t Tables) SelectEntries(id string) string {
	return "SELECT seq, " + id + ", aggregatetype, aggregateid, type, payload, kafka_partition, record_key, headers, created_at FROM " + t.Outbox
}

func parameters(b *strings.Builder, first, n int) {
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(first + i))
	}
}
