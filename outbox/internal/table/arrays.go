package table

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/frame"
)

// arrayTexts are the statements for any number of rows, with an array for each column. To parse,
// to plan and to fill a statement with a parameter for each value costs client and server
// more than the row.
//
// Arrays come as text, which all drivers take. Bytes come as one string of bytes for all
// columns, with the place and the length of each value: as text they would be twice as long.
type arrayTexts struct {
	load, older                            string
	addSteps, putSteps, addSagas, putSagas arrayInsert // add: rows that are not there
	entries, handed                        arrayInsert
}

const (
	// arraysFrom is from how many rows on arrays are less work than a parameter for each value: there
	// are more of them to begin with.
	arraysFrom = 5
	// arrayRows bounds the rows of a statement: an element of an array of texts is found by
	// walking over those before it.
	arrayRows = 64
	// arrayBytes is how many bytes keep a statement from getting more rows.
	arrayBytes = 1 << 20
	// arrayKept is up to which size memory is kept for the next statement.
	arrayKept = 256 << 10
	// addsMin is how many new rows are worth a statement of their own beside that of others.
	addsMin = 8
)

// The types of columns that are no text.
var arrayTypes = map[string]string{
	"version": "int", "attempt": "int", "home": "int", "kafka_partition": "int",
	"announced": "boolean", "kept": "boolean", "bypassed": "boolean", "stuck": "boolean",
	dueColumn: "bigint", "id": "uuid",
	"inputs": bytesType, "output": bytesType, "payload": bytesType, "record_key": bytesType, "headers": bytesType,
}

const bytesType = "bytea"

func (t Tables) arrayTexts(d Dialect) *arrayTexts {
	texts := &arrayTexts{load: t.arrayLoad(d.Left), older: t.arrayOlder()}
	texts.addSteps.text = insertArrays(t.Step, stepColumns, d)
	texts.putSteps.text = texts.addSteps.text + orUpdate(stepColumns, stepKey)
	texts.addSagas.text = insertArrays(t.Saga, sagaColumns, d)
	texts.putSagas.text = texts.addSagas.text + orUpdate(sagaColumns, sagaKey)
	texts.entries.text = insertArrays(t.Outbox, insertColumns, d)
	texts.handed.text = insertArrays(t.Outbox, insertColumns, d, handedColumn, untilColumn) + " RETURNING seq"
	return texts
}

// insertArrays adds rows in the order of their values: those of an [arrays], and behind them one
// value each for the columns that all rows have in common.
func insertArrays(table string, columns []string, d Dialect, common ...string) string {
	list := make([]string, 0, len(columns)+len(common))
	n := 2 // places and bytes
	parameter := func() string { n++; return "$" + strconv.Itoa(n) }
	for _, column := range columns {
		switch kind := arrayTypes[column]; {
		case kind == bytesType:
			list = append(list, "substring($2::bytea FROM ("+parameter()+"::int[])[place] FOR ("+parameter()+"::int[])[place])")
		case column == dueColumn:
			list = append(list, fmt.Sprintf(d.In, "("+parameter()+"::bigint[])[place]"))
		case kind == "":
			list = append(list, "("+parameter()+"::text[])[place]")
		default:
			list = append(list, "("+parameter()+"::"+kind+"[])[place]")
		}
	}
	for _, column := range common {
		if column == untilColumn {
			list = append(list, fmt.Sprintf(d.In, parameter()))
		} else {
			list = append(list, parameter()+"::bigint")
		}
	}
	return "INSERT INTO " + table + " (" + strings.Join(slices.Concat(columns, common), ", ") + ") SELECT " + strings.Join(list, ", ") +
		" FROM unnest($1::int[]) WITH ORDINALITY AS places (place, n) ORDER BY n"
}

// arrayLoad looks each saga up by itself, like load, for the same reason. That it cannot see how
// long the lists are keeps the planner from planning anew for each short one.
func (t Tables) arrayLoad(left string) string {
	columns := strings.Join(rowColumns, ", ") + ", " + left
	of := func(table, step string) string {
		return "SELECT r.* FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) AS k (id, name) CROSS JOIN LATERAL (" +
			"SELECT saga_id, saga, " + step + ", " + columns + " FROM " + table + " WHERE saga_id = k.id AND saga = k.name OFFSET 0) AS r"
	}
	return of(t.Step, "step") + " UNION ALL " + of(t.Saga, "''")
}

// arrayOlder is older for a list.
func (t Tables) arrayOlder() string {
	return fmt.Sprintf("SELECT o.* FROM unnest((SELECT $1::text[])) AS k (key) CROSS JOIN LATERAL ("+
		"SELECT aggregateid, seq FROM %s WHERE aggregateid = k.key LIMIT %d) AS o", t.Outbox, outbox.OlderMax)
}

func (t *arrayTexts) loads(sagas []outbox.SagaID) []Part {
	var ids, names literal
	for i := range sagas {
		ids.text(sagas[i].ID)
		names.text(sagas[i].Saga)
	}
	return []Part{{t.load, []any{ids.String(), names.String()}}}
}

func (t *arrayTexts) olders(keys []string) []Part {
	var list literal
	for _, key := range keys {
		list.text(key)
	}
	return []Part{{t.older, []any{list.String()}}}
}

// writeRows writes rows of choreo_step and choreo_saga.
func (t *arrayTexts) writeRows(texts *Texts, l Loaded, steps []outbox.StepRow, sagas []outbox.SagaRow, sole bool) []Part {
	stepsNew := func(r *outbox.StepRow) bool { return sole && l[r.SagaID].Steps == nil }
	sagasNew := func(r *outbox.SagaRow) bool { return sole && l[r.SagaID].Saga == nil }
	return append(
		writeNew(&t.addSteps, &t.putSteps, &texts.Steps, stepValues, steps, stepsNew),
		writeNew(&t.addSagas, &t.putSagas, &texts.Sagas, sagaValues, sagas, sagasNew)...)
}

// writeNew writes rows, those that are new by a statement that looks for no others. If one should
// be there all the same, the unit fails.
func writeNew[R any](add, put *arrayInsert, few *[Powers]string, row func(sink, *R), rows []R, isNew func(*R) bool) []Part {
	if len(rows) < arraysFrom {
		return parts(few, row, rows)
	}
	n := 0
	for i := range rows {
		if isNew(&rows[i]) {
			n++
		}
	}
	switch {
	case n == len(rows):
		return arrayParts(add, row, rows)
	case n < addsMin:
		return arrayParts(put, row, rows)
	}
	sorted := make([]R, len(rows)) // the new ones first
	added, others := 0, n
	for i := range rows {
		at := &others
		if isNew(&rows[i]) {
			at = &added
		}
		sorted[*at] = rows[i]
		*at++
	}
	return append(arrayParts(add, row, sorted[:n]), arrayParts(put, row, sorted[n:])...)
}

func (t *arrayTexts) writeEntries(entries []outbox.Entry) []Part {
	return arrayParts(&t.entries, entryValues, entries)
}

func (t *arrayTexts) writeHanded(entries []outbox.Entry, own int64) []Part {
	return arrayParts(&t.handed, entryValues, entries, own, outbox.HandedFor.Microseconds())
}

// arrayInsert is a statement of insertArrays.
type arrayInsert struct {
	text   string
	free   sync.Pool    // of *arrays
	perRow atomic.Int64 // bytes of data that a row had of late
}

// arrayParts divides rows among statements.
func arrayParts[R any](into *arrayInsert, row func(sink, *R), rows []R, common ...any) (list []Part) {
	a, ok := into.free.Get().(*arrays)
	if !ok {
		a = new(arrays)
	}
	for len(rows) > 0 {
		n, most := 0, min(len(rows), arrayRows)
		a.data = make([]byte, 0, min(into.perRow.Load()*int64(most), arrayBytes))
		for n < most && len(a.data) < arrayBytes {
			n++
			a.begin(n)
			row(a, &rows[n-1])
		}
		into.perRow.Store(int64(len(a.data)/n) + 8) // some more, since no two are alike
		list = append(list, Part{into.text, a.take(common)})
		rows = rows[n:]
	}
	if a.size() <= arrayKept {
		into.free.Put(a)
	}
	return list
}

// arrays are the values of rows by columns.
type arrays struct {
	places  literal
	columns []literal
	at      int    // the column of the next value
	data    []byte // of all columns of bytes
}

// begin begins the row at a place, counted from 1.
func (a *arrays) begin(place int) {
	a.places.number(int64(place))
	a.at = 0
}

// next returns the next column, until the one after it is asked for.
func (a *arrays) next() *literal {
	if a.at == len(a.columns) {
		a.columns = append(a.columns, literal{})
	}
	a.at++
	return &a.columns[a.at-1]
}

func (a *arrays) null()          { a.next().null() }
func (a *arrays) text(s string)  { a.next().text(s) }
func (a *arrays) number(n int64) { a.next().number(n) }
func (a *arrays) flag(b bool)    { a.next().flag(b) }

func (a *arrays) bytes(b []byte) {
	from := len(a.data)
	a.data = append(a.data, b...)
	a.span(from, b == nil)
}

func (a *arrays) outputs(list []choreo.Output) {
	from := len(a.data)
	a.data = frame.AppendOutputs(a.data, list)
	a.span(from, len(list) == 0)
}

func (a *arrays) headers(list []choreo.Header) {
	from := len(a.data)
	a.data = frame.AppendHeaders(a.data, list)
	a.span(from, len(list) == 0)
}

// span adds where the data of a value begin, counted from 1, and their length.
func (a *arrays) span(from int, null bool) {
	if null {
		a.null()
		a.null()
		return
	}
	a.number(int64(from) + 1)
	a.number(int64(len(a.data) - from))
}

// take returns the values for a statement, and has the next one begin. The statement keeps their
// memory.
func (a *arrays) take(common []any) []any {
	columns := a.columns[:a.at]
	size := a.places.size()
	for i := range columns {
		size += columns[i].size()
	}
	all := make([]any, 0, 2+len(columns)+len(common))
	var b strings.Builder
	b.Grow(size)
	array := func(l *literal) {
		from := b.Len()
		l.writeTo(&b)
		all = append(all, b.String()[from:])
		l.reset()
	}
	array(&a.places)
	all = append(all, a.data)
	for i := range columns {
		array(&columns[i])
	}
	a.data = nil
	return append(all, common...)
}

// size is how much memory is kept for the next statement.
func (a *arrays) size() int {
	size := cap(a.places.buf)
	for i := range a.columns {
		size += cap(a.columns[i].buf)
	}
	return size
}

// literal is the text of an array:
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO. NULLs at its end are left out,
// since an element beyond the end is NULL as well.
type literal struct {
	buf   []byte // without the brace at the end
	nulls int    // that have not been written
}

func (l *literal) null() { l.nulls++ }

func (l *literal) begin() {
	for ; l.nulls > 0; l.nulls-- {
		l.separate()
		l.buf = append(l.buf, "NULL"...)
	}
	l.separate()
}

func (l *literal) separate() {
	if len(l.buf) == 0 {
		l.buf = append(l.buf, '{')
	} else {
		l.buf = append(l.buf, ',')
	}
}

// text adds an element in quotes, between which all but two characters stand for themselves.
func (l *literal) text(s string) {
	l.begin()
	l.buf = append(l.buf, '"')
	from := 0
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			l.buf = append(l.buf, s[from:i]...)
			l.buf = append(l.buf, '\\')
			from = i
		}
	}
	l.buf = append(l.buf, s[from:]...)
	l.buf = append(l.buf, '"')
}

func (l *literal) number(n int64) {
	l.begin()
	l.buf = strconv.AppendInt(l.buf, n, 10)
}

func (l *literal) flag(b bool) {
	l.begin()
	if b {
		l.buf = append(l.buf, 't')
	} else {
		l.buf = append(l.buf, 'f')
	}
}

func (l *literal) reset() { l.buf, l.nulls = l.buf[:0], 0 }

// size is that of the text.
func (l *literal) size() int { return max(len(l.buf), 1) + 1 }

func (l *literal) writeTo(b *strings.Builder) {
	if len(l.buf) == 0 {
		b.WriteByte('{')
	}
	b.Write(l.buf)
	b.WriteByte('}')
}

// String returns the text.
func (l *literal) String() string {
	var b strings.Builder
	b.Grow(l.size())
	l.writeTo(&b)
	return b.String()
}
