package table

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/frame"
)

// dueValue is the value of due_at.
func dueValue(to sink, in time.Duration) {
	if in <= 0 {
		to.null()
		return
	}
	to.number(max(in.Microseconds(), 1))
}

func rowValues(to sink, step string, version int, r *choreo.Row) {
	to.number(int64(version))
	to.text(string(r.State))
	to.number(int64(r.Attempt))
	to.number(int64(r.Home))
	to.flag(r.Announced)
	to.flag(r.Kept)
	to.flag(r.Bypassed)
	to.flag(r.Stuck)
	namesValue(to, r.Noted)
	namesValue(to, r.Settled)
	to.outputs(r.Inputs)
	outputStepValue(to, step, &r.Output)
	to.text(text(r.Output.ContentType))
	to.bytes(r.Output.Data)
	if f := r.Failure; f != nil {
		to.text(text(string(f.Class)))
		to.text(text(f.Code))
		to.text(text(f.Message))
	} else {
		to.null()
		to.null()
		to.null()
	}
	originValue(to, r.Origin)
}

// originValue writes an origin as a JSON object, NULL where there is none.
func originValue(to sink, o choreo.Origin) {
	if o == (choreo.Origin{}) {
		to.null()
		return
	}
	data, _ := json.Marshal(originJSON(o)) // strings always have a JSON form
	to.text(text(string(data)))
}

// originJSON is choreo.Origin in the column origin.
type originJSON struct {
	Initiator   string `json:"initiator,omitempty"`
	CausationID string `json:"cause,omitempty"`
	TraceParent string `json:"traceparent,omitempty"`
	TraceState  string `json:"tracestate,omitempty"`
	Tags        string `json:"tags,omitempty"`
	Commands    string `json:"commands,omitempty"`
}

// outputStepValue is whose the output of a row is: NULL where there is none, and where that is
// the row's own step, as with all outputs that the rules make.
func outputStepValue(to sink, step string, o *choreo.Output) {
	owner := ""
	if o.ContentType != "" || o.Data != nil {
		owner = step
	}
	if o.Step == owner {
		to.null()
		return
	}
	to.text(text(o.Step))
}

// KeyText returns a key as the text that stands in aggregateid, and the key itself
// where that text does not say it all: bytes that are no text, or an empty key, which
// differs from none.
func KeyText(key []byte) (string, []byte) {
	switch {
	case key == nil:
		return "", nil
	case len(key) == 0:
		return "", key
	}
	if s := string(key); isText(s) {
		return s, nil
	}
	return "0x" + hex.EncodeToString(key), key
}

// KeyTexts is KeyText for the keys that a claim leaves out. It never returns nil.
func KeyTexts(keys []string) []string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i], _ = KeyText([]byte(k))
	}
	return texts
}

// namesValue writes a list of steps as a JSON array, which also people can read. The
// empty name, which stands for the start of the saga, is one of the list.
func namesValue(to sink, list []string) {
	if len(list) == 0 {
		to.null()
		return
	}
	data, _ := json.Marshal(list) // a []string always has a JSON form
	to.text(string(data))
}

// isText reports whether PostgreSQL takes s as text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// text makes s fit for a text column. What comes from a handler's error may hold any
// bytes, and must not keep the step from being written.
func text(s string) string {
	if isText(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Scanner is a row of a result: *sql.Rows and pgx.Rows are.
type Scanner interface{ Scan(into ...any) error }

// Loaded are the rows of the sagas of a unit of work.
type Loaded map[outbox.SagaID]outbox.Rows

// Load returns an empty set for these sagas.
func Load(sagas []outbox.SagaID) Loaded {
	l := make(Loaded, len(sagas))
	for _, id := range sagas {
		l[id] = outbox.Rows{}
	}
	return l
}

// loadedRow is a row that a statement of [Texts.Loads] returned.
type loadedRow struct {
	id                             outbox.SagaID
	step, state                    string
	version                        int
	row                            choreo.Row
	noted, settled, outStep        *string
	failClass, failCode, failWords *string
	origin                         *string
	dueIn                          *int64 // microseconds
	inputs                         []byte
	output                         Bytes
}

// Read adds the rows that a statement of [Texts.Loads] returned. It does not close the result.
func (l Loaded) Read(rows Result) error {
	if !rows.Next() { // as with all that is new
		return rows.Err()
	}
	var r loadedRow // one for all rows, since what is scanned into is allocated
	into := []any{
		&r.id.ID, &r.id.Saga, &r.step, &r.version, &r.state, &r.row.Attempt, &r.row.Home,
		&r.row.Announced, &r.row.Kept, &r.row.Bypassed, &r.row.Stuck, &r.noted, &r.settled,
		&r.inputs, &r.outStep, &r.row.Output.ContentType, &r.output, &r.failClass, &r.failCode, &r.failWords, &r.origin, &r.dueIn,
	}
	for more := true; more; more = rows.Next() {
		r = loadedRow{}
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("scan a row: %w", err)
		}
		if err := r.finish(); err != nil {
			return fmt.Errorf("saga %s %q, step %q: %w", r.id.Saga, r.id.ID, r.step, err)
		}
		l.add(&r)
	}
	return rows.Err()
}

// finish makes the row of its columns.
func (r *loadedRow) finish() (err error) {
	row := &r.row
	row.State = choreo.RowState(r.state)
	if row.Noted, err = parseNames(r.noted); err != nil {
		return fmt.Errorf("noted: %w", err)
	}
	if row.Settled, err = parseNames(r.settled); err != nil {
		return fmt.Errorf("settled: %w", err)
	}
	if row.Inputs, err = frame.DecodeOutputs(r.inputs); err != nil {
		return fmt.Errorf("inputs: %w", err)
	}
	row.Output.Data = r.output
	switch {
	case r.outStep != nil:
		row.Output.Step = *r.outStep
	case r.output != nil || row.Output.ContentType != "":
		row.Output.Step = r.step
	}
	if r.failClass != nil {
		row.Failure = &choreo.Failure{Class: choreo.Class(*r.failClass), Code: deref(r.failCode), Message: deref(r.failWords)}
	}
	if r.origin != nil {
		if err := json.Unmarshal([]byte(*r.origin), (*originJSON)(&row.Origin)); err != nil {
			return fmt.Errorf("origin: %w", err)
		}
	}
	return nil
}

func (l Loaded) add(r *loadedRow) {
	rows := l[r.id]
	rows.Version = max(rows.Version, r.version)
	if r.step == choreo.SagaRow {
		rows.Saga = &outbox.SagaRow{SagaID: r.id, Version: r.version, Row: r.row}
		if r.dueIn != nil {
			rows.Saga.DueIn = left(*r.dueIn)
		}
	} else {
		if rows.Steps == nil {
			rows.Steps = make(map[string]choreo.Row)
		}
		rows.Steps[r.step] = r.row
		if r.dueIn != nil {
			if rows.Due == nil {
				rows.Due = make(map[string]time.Duration)
			}
			rows.Due[r.step] = left(*r.dueIn)
		}
	}
	l[r.id] = rows
}

// left is the time until a row is due, or the least one where it is overdue.
func left(microseconds int64) time.Duration {
	return max(time.Duration(microseconds)*time.Microsecond, time.Microsecond)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func parseNames(s *string) ([]string, error) {
	if s == nil {
		return nil, nil
	}
	if list := plainNames(*s); list != nil {
		return list, nil
	}
	var list []string
	if err := json.Unmarshal([]byte(*s), &list); err != nil {
		return nil, fmt.Errorf("not a JSON array of strings: %w", err)
	}
	return list, nil
}

// plainNames returns the strings of a JSON array as namesValue writes it, or nil where they are not
// all written as they are. Nearly all are, and package encoding/json takes longer.
func plainNames(s string) []string {
	inner, begins := strings.CutPrefix(s, `["`)
	inner, ends := strings.CutSuffix(inner, `"]`)
	if !begins || !ends || strings.Contains(inner, `\`) {
		return nil
	}
	list := strings.Split(inner, `","`)
	for _, name := range list {
		if strings.Contains(name, `"`) {
			return nil
		}
	}
	return list
}

// DueValues are the values of a statement of [Tables.Due].
func DueValues(q outbox.DueQuery) []any {
	except := make([][3]string, len(q.Except))
	for i, kind := range q.Except {
		except[i] = [3]string{kind.Saga, kind.Step, string(kind.State)}
	}
	list, _ := json.Marshal(except) // strings always have a JSON form
	return []any{q.Limit, string(list)}
}

// HastenValues are the values of a statement of [Tables.Hasten].
func HastenValues(kind outbox.DueKind) []any {
	values := []any{kind.Saga, string(kind.State)}
	if kind.Step != choreo.SagaRow {
		values = append(values, kind.Step)
	}
	return values
}

// ReadDue reads the rows that a statement of [Tables.Due] returned.
func ReadDue(rows Result) ([]outbox.Due, error) {
	var list []outbox.Due
	for rows.Next() {
		var d outbox.Due
		var state string
		if err := rows.Scan(&d.SagaID.ID, &d.SagaID.Saga, &d.Step, &state, &d.Version, &d.Attempt); err != nil {
			return nil, fmt.Errorf("scan a due row: %w", err)
		}
		d.State = choreo.RowState(state)
		list = append(list, d)
	}
	return list, rows.Err()
}

// ReadParked reads the records of a saga that [Texts.Parked] returned.
func ReadParked(rows Result, id outbox.SagaID) ([]outbox.Parked, error) {
	var list []outbox.Parked
	for rows.Next() {
		var (
			p          = outbox.Parked{SagaID: id}
			r          = &p.Record
			millis     int64
			key, value Bytes
			headers    []byte
		)
		if err := rows.Scan(&p.Seq, &r.Topic, &r.Partition, &r.Offset, &millis, &key, &value, &headers); err != nil {
			return nil, fmt.Errorf("scan a parked record: %w", err)
		}
		r.Time, r.Key, r.Value = time.UnixMilli(millis), key, value
		var err error
		if r.Headers, err = frame.DecodeHeaders(headers); err != nil {
			return nil, fmt.Errorf("parked record %d: headers: %w", p.Seq, err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// scanEntry reads one row that a statement of [Tables.SelectEntries] returned.
func scanEntry(s Scanner) (e outbox.Entry, handed bool, err error) {
	var (
		key             string
		payload, binary Bytes
		headers         []byte
		created         Time
	)
	r := &e.Record
	if err := s.Scan(&e.Seq, &e.ID, &r.Topic, &key, &e.Type, &payload, &r.Partition, &binary, &headers, &created, &handed); err != nil {
		return e, false, fmt.Errorf("scan an outbox row: %w", err)
	}
	e.CreatedAt = created.Time
	r.Value = payload
	switch {
	case binary != nil:
		r.Key = binary
	case key != "":
		r.Key = []byte(key)
	}
	if r.Headers, err = frame.DecodeHeaders(headers); err != nil {
		return e, false, fmt.Errorf("outbox row %d: headers: %w", e.Seq, err)
	}
	return e, handed, nil
}

// Bytes is a column of bytes. Unlike with []byte, an empty value and NULL differ also
// where the driver hands out an empty value as a nil slice.
type Bytes []byte

// Scan implements sql.Scanner.
func (b *Bytes) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*b = nil
	case []byte:
		*b = append(Bytes{}, src...)
	default:
		return fmt.Errorf("cannot read bytes from a %T", src)
	}
	return nil
}

// ScanBytes is pgx's shorter way to Scan.
func (b *Bytes) ScanBytes(src []byte) error {
	*b = nil
	if src != nil {
		*b = append(Bytes{}, src...)
	}
	return nil
}

// Time is a column of a time: a timestamp, or text as SQLite has it.
type Time struct{ time.Time }

// Scan implements sql.Scanner.
func (t *Time) Scan(src any) error {
	switch src := src.(type) {
	case time.Time:
		t.Time = src
		return nil
	case string:
		var err error
		t.Time, err = time.Parse(time.RFC3339Nano, src)
		return err
	default:
		return fmt.Errorf("cannot read a time from a %T", src)
	}
}

// BacklogMax is how far a store counts its entries.
const BacklogMax = 100_000

// claimBytes bounds the payloads of one claim, so that a backlog of large records
// does not fill the memory.
const claimBytes = 16 << 20

// Result is a result set: *sql.Rows and pgx.Rows are.
type Result interface {
	Scanner
	Next() bool
	Err() error
}

// ReadEntries reads the entries of a claim: all rows, or as many of the first ones as hold
// 16 MiB of payload. A row that was handed over, to another process's relay or as mine says
// to that of this one, is left out with all later ones of its key: since the rows come in the
// order of seq, all older ones of a key have been seen before. limit is how many rows were
// asked for. It reports whether there may be more to claim, now or soon. It does not close
// the result.
func ReadEntries(rows Result, limit int, mine func(seq int64) bool) (list []outbox.Entry, more bool, err error) {
	var left map[string]struct{}
	n := 0
	for size := 0; rows.Next(); {
		e, handed, err := scanEntry(rows)
		if err != nil {
			return nil, false, err
		}
		n++
		if handed || mine(e.Seq) {
			if left == nil {
				left = make(map[string]struct{})
			}
			left[e.Key()] = struct{}{}
			continue
		}
		if _, out := left[e.Key()]; out {
			more = true
			continue
		}
		list = append(list, e)
		if size += len(e.Record.Value); size >= claimBytes {
			return list, true, nil
		}
	}
	return list, more || n == limit && len(left) > 0, rows.Err()
}
