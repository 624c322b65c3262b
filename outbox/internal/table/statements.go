package table

import (
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Tables are the names of Choreo's tables, quoted and with their schema.
type Tables struct {
	Step, Saga, Parked, Outbox, Migration string
}

// In returns the tables under a prefix, such as `"payments".`.
func In(prefix string) Tables {
	return Tables{
		Step:      prefix + "choreo_step",
		Saga:      prefix + "choreo_saga",
		Parked:    prefix + "choreo_parked",
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
	parkedKey     = []string{"saga_id", "saga", "topic", "kafka_partition", "kafka_offset"}
	parkedColumns = slices.Concat(parkedKey, []string{"record_time", "record_key", "payload", "headers"})
	insertColumns = []string{"id", "aggregatetype", "aggregateid", "type", "payload", "kafka_partition", "record_key", "headers"}
)

// handedColumn is to whose relay a row of choreo_outbox was handed, or NULL. untilColumn is
// until when it is left to that one, and its value a number of microseconds from now.
const (
	handedColumn = "handed_by"
	untilColumn  = "handed_until"
)

// dueColumn is when a row is due. Its value is a number of microseconds from now, or NULL.
const dueColumn = "due_at"

// Powers is for how many powers of two there are texts: 1, 2, 4, … 16. More rows take
// several statements, so that there are few to prepare.
const Powers = 5

// Texts are the statements of a unit of work. Those of many rows are there for 1, 2, 4, …
// rows. Where the dialect has arrays, most are there for less than arraysFrom alone.
type Texts struct {
	// Load reads all rows of sagas, as [Loaded.Read] takes them.
	Load [Powers]string
	// Steps writes rows of choreo_step, Sagas rows of choreo_saga. No two rows of one
	// statement may have the same key.
	Steps, Sagas [Powers]string
	// Entries adds rows to choreo_outbox. Their seq is in the order of the values. Handed does
	// so with who has them in hand, and for how long, as two more values each, and returns
	// the seqs.
	Entries, Handed [Powers]string
	// Older reads the texts and seqs of the rows of choreo_outbox with these keys, up to
	// outbox.OlderMax of each.
	Older [Powers]string
	// Unpark deletes rows of choreo_parked, by their seq from $2 on, of sagas in $1, a list of
	// [SagaList]. Park adds rows, but for those that are there already; their seq is in the
	// order of the values.
	Unpark, Park [Powers]string
	// Parked reads up to $3 parked records of the saga with id $1 and name $2, as
	// [ReadParked] takes them.
	Parked string
	// CountOpen counts the open sagas of name $1, up to $2.
	CountOpen string

	arrays *arrayTexts // nil where the dialect has none
}

// Dialect is what dialects differ in: how they reckon with their clock and due_at, and how
// they read lists.
type Dialect struct {
	Now  string // the clock
	In   string // the time so many microseconds from now, with a %s for the number; NULL where that is
	Left string // microseconds until due_at; NULL where that is
	Each string // the elements of a JSON array, with a %s for that, as rows e
	Item string // an item of the array in e as text, with a %d for its place
	// False is the boolean.
	False string
	// Arrays says that parameters can be arrays, as PostgreSQL has them.
	Arrays bool
}

// list makes a query of a JSON array of arrays of so many texts.
func (d Dialect) list(parameter string, columns ...string) string {
	items := make([]string, len(columns))
	for i, column := range columns {
		items[i] = fmt.Sprintf(d.Item, i) + " AS " + column
	}
	return "SELECT " + strings.Join(items, ", ") + " FROM " + fmt.Sprintf(d.Each, parameter)
}

// Texts makes the statements.
func (t Tables) Texts(d Dialect) *Texts {
	texts := Texts{
		Parked: "SELECT seq, topic, kafka_partition, kafka_offset, record_time, record_key, payload, headers FROM " + t.Parked +
			" WHERE saga_id = $1 AND saga = $2 ORDER BY seq LIMIT $3",
		CountOpen: "SELECT count(*) FROM (SELECT 1 FROM " + t.Saga + " WHERE saga = $1 AND state = '" + string(choreo.RowOpen) + "' LIMIT $2) AS open",
	}
	for p := range Powers {
		n := 1 << p
		texts.Unpark[p] = t.unpark(n, d)
		texts.Park[p] = insert(t.Parked, parkedColumns, n, "") + " ON CONFLICT (" + strings.Join(parkedKey, ", ") + ") DO NOTHING"
		if d.Arrays && n >= arraysFrom {
			continue
		}
		texts.Load[p] = t.load(n, d.Left)
		texts.Steps[p] = upsert(t.Step, stepColumns, stepKey, n, d.In)
		texts.Sagas[p] = upsert(t.Saga, sagaColumns, sagaKey, n, d.In)
		texts.Entries[p] = insert(t.Outbox, insertColumns, n, "")
		texts.Handed[p] = insert(t.Outbox, append(slices.Clone(insertColumns), handedColumn, untilColumn), n, d.In) + " RETURNING seq"
		texts.Older[p] = t.older(n)
	}
	if d.Arrays {
		texts.arrays = t.arrayTexts(d)
	}
	return &texts
}

// Part is what one statement writes or reads.
type Part struct {
	Text   string
	Values []any
}

// parts divides rows among as few statements of powers of two as there can be.
func parts[R any](texts *[Powers]string, row func(sink, *R), rows []R) []Part {
	var list []Part
	for len(rows) > 0 {
		power := min(bits.Len(uint(len(rows)))-1, Powers-1)
		all := make(values, 0, len(stepColumns)) // no row has more
		for i := range rows[:1<<power] {
			row(&all, &rows[i])
			if i == 0 {
				all = slices.Grow(all, len(all)*(1<<power-1))
			}
		}
		list = append(list, Part{Text: texts[power], Values: all})
		rows = rows[1<<power:]
	}
	return list
}

// Loads returns the statements that read the rows of sagas.
func (t *Texts) Loads(sagas []outbox.SagaID) []Part {
	if t.LoadsList(len(sagas)) {
		return t.arrays.loads(sagas)
	}
	return parts(&t.Load, sagaIDValues, sagas)
}

// LoadsList reports whether so many sagas are read by a statement with a list of them.
func (t *Texts) LoadsList(sagas int) bool { return t.arrays != nil && sagas >= arraysFrom }

// Write returns the statements that write the changes of a unit. A row that a later one
// replaces is left out, since one statement can write a row but once. sole says that
// nobody else can have written rows of the sagas since they were loaded.
func (t *Texts) Write(l Loaded, c *outbox.Changes, sole bool) []Part {
	list := t.writeRows(l, c, sole)
	if t.arrays != nil && len(c.Entries) >= arraysFrom {
		return append(list, t.arrays.writeEntries(c.Entries)...)
	}
	return append(list, parts(&t.Entries, entryValues, c.Entries)...)
}

func (t *Texts) writeRows(l Loaded, c *outbox.Changes, sole bool) []Part {
	type stepKey struct {
		saga outbox.SagaID
		step string
	}
	steps := last(c.Steps, func(r *outbox.StepRow) stepKey { return stepKey{r.SagaID, r.Step} })
	sagas := last(c.Sagas, func(r *outbox.SagaRow) outbox.SagaID { return r.SagaID })
	var list []Part
	if t.arrays != nil {
		list = t.arrays.writeRows(t, l, steps, sagas, sole)
	} else {
		list = append(parts(&t.Steps, stepValues, steps), parts(&t.Sagas, sagaValues, sagas)...)
	}
	return slices.Concat(list, t.writeUnpark(l, c.Unpark), parts(&t.Park, parkedValues, c.Park))
}

func (t *Texts) writeUnpark(l Loaded, seqs []int64) []Part {
	if len(seqs) == 0 {
		return nil
	}
	list := parts(&t.Unpark, func(to sink, seq *int64) { to.number(*seq) }, seqs)
	sagas := SagaList(slices.Collect(maps.Keys(l)))
	for i := range list {
		list[i].Values = slices.Insert(list[i].Values, 0, any(sagas))
	}
	return list
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
	return insert(table, columns, n, due) + orUpdate(columns, key)
}

// orUpdate ends a statement that adds rows: one that is there already gets the values.
func orUpdate(columns, key []string) string {
	set := make([]string, 0, len(rowColumns)+1)
	for _, c := range append(columns[len(key):len(columns):len(columns)], "updated_at") {
		set = append(set, c+" = excluded."+c)
	}
	return " ON CONFLICT (" + strings.Join(key, ", ") + ") DO UPDATE SET " + strings.Join(set, ", ")
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
			if column == dueColumn || column == untilColumn {
				parameter = fmt.Sprintf(due, parameter)
			}
			b.WriteString(parameter)
		}
		b.WriteByte(')')
	}
	return b.String()
}

func (t Tables) unpark(n int, d Dialect) string {
	seqs := make([]string, n)
	for i := range seqs {
		seqs[i] = "$" + strconv.Itoa(i+2)
	}
	return "DELETE FROM " + t.Parked + " WHERE seq IN (" + strings.Join(seqs, ", ") +
		") AND (saga_id, saga) IN (" + d.list("$1", sagaKey...) + ")"
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

// Due reads the rows that a query asks for with the values of [DueValues], as [ReadDue]
// takes them.
func (t Tables) Due(d Dialect) string {
	except := d.list("$2", "saga", "step", "state")
	due := func(table, step string) string {
		return "SELECT * FROM (SELECT saga_id, saga, " + step + " AS step, state, version, attempt, " + dueColumn + " FROM " + table +
			" WHERE " + dueColumn + " <= " + d.Now + " AND (saga, " + step + ", state) NOT IN (" + except + ")" +
			" ORDER BY " + dueColumn + " LIMIT $1)"
	}
	return "SELECT saga_id, saga, step, state, version, attempt FROM (" + due(t.Step, "step") + " AS steps UNION ALL " + due(t.Saga, "''") +
		" AS sagas) AS due ORDER BY " + dueColumn + " LIMIT $1"
}

// Hasten makes the rows of a kind due now with the values of [HastenValues].
func (t Tables) Hasten(d Dialect, kind outbox.DueKind) string {
	table, step := t.Step, " AND step = $3"
	if kind.Step == choreo.SagaRow {
		table, step = t.Saga, ""
	}
	return "UPDATE " + table + " SET " + dueColumn + " = " + d.Now +
		" WHERE " + dueColumn + " > " + d.Now + " AND saga = $1 AND state = $2" + step
}

// SelectEntries is the head of the statements that read entries for [ReadEntries]. id is
// the expression that yields the id as text, now the clock, and most the longest that a row is
// left to the relay to which it was handed: more than that is the work of a clock that was set
// back. Its parameter is the reader's own mark.
func (t Tables) SelectEntries(id, now, most, parameter string) string {
	return "SELECT seq, " + id + ", aggregatetype, aggregateid, type, payload, kafka_partition, record_key, headers, created_at," +
		" coalesce(" + handedColumn + " <> " + parameter + " AND " + untilColumn + " BETWEEN " + now + " AND " + now + " + " + most + ", FALSE) FROM " + t.Outbox
}

// older makes a query for each key, for the reason that load has.
func (t Tables) older(n int) string {
	queries := make([]string, n)
	for i := range queries {
		queries[i] = fmt.Sprintf("SELECT * FROM (SELECT aggregateid, seq FROM %s WHERE aggregateid = $%d LIMIT %d) AS older%d",
			t.Outbox, i+1, outbox.OlderMax, i)
	}
	return strings.Join(queries, " UNION ALL ")
}
