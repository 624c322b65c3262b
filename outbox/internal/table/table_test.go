package table

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

func TestKeyText(t *testing.T) {
	for _, c := range []struct {
		key  []byte
		text string
		kept bool // the key itself is kept beside its text
	}{
		{nil, "", false},
		{[]byte{}, "", true},
		{[]byte("order-7"), "order-7", false},
		{[]byte("注文"), "注文", false},
		{[]byte("a\x00b"), "0x610062", true},
		{[]byte{0xff, 1}, "0xff01", true},
		{[]byte("0xff01"), "0xff01", false}, // a text that looks like one of those
	} {
		text, kept := KeyText(c.key)
		require.Equal(t, c.text, text)
		require.Equal(t, c.kept, kept != nil)
		if c.kept {
			require.Equal(t, c.key, kept)
		}
	}
}

// row is a row of a result: it hands out values as a driver does.
type row []any

func (r row) Scan(into ...any) error {
	if len(into) != len(r) {
		return fmt.Errorf("%d values for %d columns", len(r), len(into))
	}
	for i, v := range r {
		switch to := into[i].(type) {
		case *Bytes:
			if err := to.Scan(v); err != nil {
				return err
			}
		case *Time:
			if err := to.Scan(v); err != nil {
				return err
			}
		case *[]byte:
			*to, _ = v.([]byte)
		case **string:
			if s, ok := v.(string); ok {
				*to = &s
			}
		case *string:
			*to = v.(string)
		case *int:
			*to = int(v.(int64))
		case *int32:
			*to = int32(v.(int64))
		case *int64:
			*to = v.(int64)
		case **int64:
			if n, ok := v.(int64); ok {
				*to = &n
			}
		case *bool:
			*to = v.(bool)
		default:
			return fmt.Errorf("column %d: %T", i, to)
		}
	}
	return nil
}

// valuesOf are the values of a row as parameters.
func valuesOf[R any](row func(sink, *R), r *R) []any {
	var all values
	row(&all, r)
	return all
}

func drawRow(t *rapid.T, step string) choreo.Row {
	names := rapid.SliceOf(rapid.StringMatching(`[a-z-]*`))
	bytes := rapid.Custom(func(t *rapid.T) []byte {
		if rapid.Bool().Draw(t, "nil") {
			return nil
		}
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	})
	r := choreo.Row{
		State:     choreo.RowState(rapid.StringMatching(`[a-z-]+`).Draw(t, "state")),
		Announced: rapid.Bool().Draw(t, "announced"), Kept: rapid.Bool().Draw(t, "kept"),
		Bypassed: rapid.Bool().Draw(t, "bypassed"), Stuck: rapid.Bool().Draw(t, "stuck"),
		Home: rapid.Int32().Draw(t, "home"), Attempt: int(rapid.Int32().Draw(t, "attempt")),
		Noted: names.Draw(t, "noted"), Settled: names.Draw(t, "settled"),
		Output: choreo.Output{
			Step:        rapid.SampledFrom([]string{"", step, "another"}).Draw(t, "output step"),
			ContentType: rapid.SampledFrom([]string{"", "application/json"}).Draw(t, "content type"),
			Data:        bytes.Draw(t, "output"),
		},
	}
	if len(r.Noted) == 0 {
		r.Noted = nil
	}
	if len(r.Settled) == 0 {
		r.Settled = nil
	}
	if rapid.Bool().Draw(t, "acts later") {
		r.Origin = choreo.Origin{Initiator: text(rapid.String().Draw(t, "initiator")), TraceState: "a=b"}
	}
	if rapid.Bool().Draw(t, "failed") {
		r.Failure = &choreo.Failure{Class: choreo.Class(rapid.StringMatching(`[a-z]*`).Draw(t, "class")), Message: rapid.String().Draw(t, "message")}
		r.Failure.Message = text(r.Failure.Message)
	}
	return r
}

func TestRowsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := outbox.SagaID{Saga: "order", ID: "7"}
		step := outbox.StepRow{SagaID: id, Step: "charge", Version: 3, Row: drawRow(t, "charge")}
		saga := outbox.SagaRow{SagaID: id, Version: 3, Row: drawRow(t, choreo.SagaRow), DueIn: time.Duration(rapid.Uint32().Draw(t, "due")) * time.Microsecond}
		loaded := Load([]outbox.SagaID{id})
		require.NoError(t, loaded.Read(&fixed{rows: []row{valuesOf(stepValues, &step)}}))
		values := valuesOf(sagaValues, &saga)
		require.NoError(t, loaded.Read(&fixed{rows: []row{append([]any{values[0], values[1], ""}, values[2:]...)}}))
		require.Equal(t, outbox.Rows{Version: 3, Saga: &saga, Steps: map[string]choreo.Row{"charge": step.Row}}, loaded[id])
	})
}

// TestNames: lists are read as encoding/json reads them, also where people have changed them.
func TestNames(t *testing.T) {
	check := func(t require.TestingT, s string) {
		var want []string
		wrong := json.Unmarshal([]byte(s), &want)
		got, err := parseNames(&s)
		require.Equal(t, wrong == nil, err == nil, "%s", s)
		if wrong == nil {
			require.Equal(t, want, got, "%s", s)
		}
	}
	for _, s := range []string{
		`[]`, `[""]`, `["",""]`, `["a","b"]`, `["a", "b"]`, `[ "a" ]`, `["a\"b"]`, `["\u00e9","\\"]`, `["é"]`, `["a" "b"]`, `["a"`, `["]`, `[","]`, `["a",1]`,
	} {
		check(t, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z",\\\[\]]*`))).Draw(t, "list")
		for i := range list {
			list[i] = text(list[i])
		}
		if len(list) == 0 {
			return
		}
		var all values
		namesValue(&all, list)
		s := all[0].(string)
		check(t, s)
		got, err := parseNames(&s)
		require.NoError(t, err)
		require.Equal(t, list, got)
	})
}

func TestEntriesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SliceOf(rapid.Byte())
		e := outbox.Entry{
			Seq: rapid.Int64().Draw(t, "seq"), ID: "an id", Type: "a type", CreatedAt: time.Unix(7, 0).UTC(),
			Record: choreo.Record{
				Topic: "a topic", Partition: rapid.Int32().Draw(t, "partition"),
				Key: bytes.Draw(t, "key"), Value: bytes.Draw(t, "value"),
				Headers: []choreo.Header{{Key: "h", Value: bytes.Draw(t, "header")}},
			},
		}
		if rapid.Bool().Draw(t, "no key and no value") {
			e.Record.Key, e.Record.Value = nil, nil
		}
		handed := rapid.Bool().Draw(t, "handed")
		values := append(append([]any{e.Seq}, valuesOf(entryValues, &e)...), e.CreatedAt, handed)
		got, gotHanded, err := scanEntry(row(values))
		require.NoError(t, err)
		require.Equal(t, e, got)
		require.Equal(t, handed, gotHanded)
	})
}

// fixed is a result of these rows.
type fixed struct {
	rows []row
	at   int
}

func (r *fixed) Next() bool             { r.at++; return r.at <= len(r.rows) }
func (r *fixed) Scan(into ...any) error { return r.rows[r.at-1].Scan(into...) }
func (r *fixed) Err() error             { return nil }

// What was handed over is left out of a claim, with all that comes after it of the same key.
func TestReadEntriesPassesByWhatIsHandedOver(t *testing.T) {
	entries := func(handed string, list string) (*fixed, []string) {
		r := &fixed{}
		for i, place := range strings.Fields(list) {
			e := outbox.Entry{Seq: int64(i + 1), Record: choreo.Record{Key: []byte(place[:1])}}
			r.rows = append(r.rows, append(append(row{e.Seq}, valuesOf(entryValues, &e)...), time.Time{}, strings.Contains(handed, place)))
		}
		return r, strings.Fields(list)
	}
	for _, c := range []struct {
		list, handed, mine string
		limit              int
		want               string
		more               bool
	}{
		{"a1 b1 a2", "", "", 10, "a1 b1 a2", false},
		{"a1 b1 c1", "b1", "", 10, "a1 c1", false},
		{"a1 b1 c1", "", "b1", 10, "a1 c1", false},
		{"a1 b1 a2 b2 a3", "a1", "", 10, "b1 b2", true},
		{"a1 b1 a2 b2 a3", "", "a1", 10, "b1 b2", true},
		{"a1 a2 b1", "a1 a2", "", 10, "b1", false}, // nothing is left to claim behind them
		{"a1 b1", "a1", "", 2, "b1", true},         // there may be more than what was read
		{"a1 a2 b1", "a2", "", 10, "a1 b1", false},
	} {
		rows, names := entries(c.handed, c.list)
		got, more, err := ReadEntries(rows, c.limit, func(seq int64) bool { return strings.Contains(c.mine, names[seq-1]) && c.mine != "" })
		require.NoError(t, err)
		var places []string
		for _, e := range got {
			places = append(places, names[e.Seq-1])
		}
		require.Equal(t, c.want, strings.Join(places, " "), "%+v", c)
		require.Equal(t, c.more, more, "%+v", c)
	}
}

func TestRowsThatCannotBeRead(t *testing.T) {
	id := outbox.SagaID{Saga: "order", ID: "7"}
	values := valuesOf(stepValues, &outbox.StepRow{SagaID: id, Step: "charge"})
	for column, fault := range map[int]any{11: "no JSON", 12: `{"a":1}`, 13: []byte("no frame")} {
		broken := append(row{}, values...)
		broken[column] = fault
		err := Load([]outbox.SagaID{id}).Read(&fixed{rows: []row{broken}})
		require.ErrorContains(t, err, `step "charge"`, "it says which row")
	}
}

func TestSagasAreSortedOnce(t *testing.T) {
	a, b, c := outbox.SagaID{Saga: "x", ID: "1"}, outbox.SagaID{Saga: "y", ID: "1"}, outbox.SagaID{Saga: "a", ID: "2"}
	got, err := Sagas([]outbox.SagaID{c, b, a, c, b})
	require.NoError(t, err)
	require.Equal(t, []outbox.SagaID{a, b, c}, got)
	for _, id := range []string{"a\x00b", "\xff"} {
		_, err = Sagas([]outbox.SagaID{{Saga: "order", ID: id}})
		require.ErrorContains(t, err, "UTF-8")
	}
}

func TestCheckNamesEveryFault(t *testing.T) {
	id := outbox.SagaID{Saga: "order", ID: "7"}
	other := outbox.SagaID{Saga: "order", ID: "8"}
	loaded := Load([]outbox.SagaID{id})
	err := loaded.Check(&outbox.Changes{
		Steps:   []outbox.StepRow{{SagaID: other, Step: "charge"}, {SagaID: id, Step: ""}},
		Sagas:   []outbox.SagaRow{{SagaID: other}},
		Park:    []outbox.Parked{{SagaID: other, Record: choreo.Record{Topic: "a\x00b"}}},
		Entries: []outbox.Entry{{ID: "no uuid"}, {ID: "0197f2d0-0000-7000-8000-000000000000", Type: "\xff"}},
	})
	for _, part := range []string{
		`step charge of saga order "8"`, `step "" of saga order "7"`, `row of saga order "8"`,
		`parked record of saga order "8"`, `parked record 0: its topic "a\x00b"`,
		`entry 0: its id "no uuid"`, `entry 1: its type "\xff"`,
	} {
		require.ErrorContains(t, err, part)
	}
	require.NoError(t, loaded.Check(&outbox.Changes{Steps: []outbox.StepRow{{SagaID: id, Step: "charge"}}}))
}

var testDialect = Dialect{
	Now: "now()", In: "now() + %s", Left: "due_at - now()", Each: "each(%s) AS e", Item: "e[%d]",
}

// TestWriteParked: what is taken away goes first, so that it may be parked anew behind others.
func TestWriteParked(t *testing.T) {
	id := outbox.SagaID{Saga: "order", ID: "7"}
	changes := outbox.Changes{Unpark: []int64{5, 6, 7}, Park: []outbox.Parked{{SagaID: id}}}
	parts := In("").Texts(testDialect).Write(Load([]outbox.SagaID{id}), &changes, false)
	require.Len(t, parts, 3)
	require.Equal(t, Part{
		Text: "DELETE FROM choreo_parked WHERE seq IN ($2, $3)" +
			" AND (saga_id, saga) IN (SELECT e[0] AS saga_id, e[1] AS saga FROM each($1) AS e)",
		Values: []any{`[["7","order"]]`, int64(5), int64(6)},
	}, parts[0])
	require.Equal(t, []any{`[["7","order"]]`, int64(7)}, parts[1].Values)
	require.Contains(t, parts[2].Text, "INSERT INTO choreo_parked")
}

func TestWriteInParts(t *testing.T) {
	texts := In(`"payments".`).Texts(testDialect)
	loaded := Load([]outbox.SagaID{{Saga: "order", ID: "7"}})
	id := outbox.SagaID{Saga: "order", ID: "7"}
	var changes outbox.Changes
	for i := range 2*16 + 8 + 2 + 1 {
		changes.Entries = append(changes.Entries, outbox.Entry{ID: fmt.Sprint(i)})
	}
	changes.Steps = []outbox.StepRow{
		{SagaID: id, Step: "a", Version: 1}, {SagaID: id, Step: "b", Version: 2}, {SagaID: id, Step: "a", Version: 3},
	}
	parts := texts.Write(loaded, &changes, true)
	require.Len(t, parts, 1+5)
	require.Len(t, parts[0].Values, 2*len(stepColumns), "of a key only the last row")
	require.Equal(t, "b", parts[0].Values[2])
	require.Equal(t, "a", parts[0].Values[2+len(stepColumns)])
	require.EqualValues(t, 3, parts[0].Values[3+len(stepColumns)])
	var ids []string
	for _, part := range parts[1:] {
		require.Contains(t, part.Text, `INSERT INTO "payments".choreo_outbox`)
		require.Equal(t, len(part.Values), strings.Count(part.Text, "$"))
		for i := 0; i < len(part.Values); i += len(insertColumns) {
			ids = append(ids, part.Values[i].(string))
		}
	}
	for i, id := range ids {
		require.Equal(t, fmt.Sprint(i), id, "in their order")
	}
	require.Empty(t, texts.Write(loaded, &outbox.Changes{}, true))
}

func TestReadEntriesStopsAtItsBound(t *testing.T) {
	large := make([]byte, 6<<20)
	list, more, err := ReadEntries(&result{n: 5, value: large}, 10, nobodys)
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, list, 3)
	list, more, err = ReadEntries(&result{n: 5, value: large[:10]}, 10, nobodys)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, list, 5)
	broken := errors.New("broken")
	_, _, err = ReadEntries(&result{n: 5, value: large[:10], err: broken}, 10, nobodys)
	require.ErrorIs(t, err, broken)
}

func nobodys(int64) bool { return false }

// result is a result set of n outbox rows.
type result struct {
	n     int
	value []byte
	err   error
}

func (r *result) Next() bool { r.n--; return r.n >= 0 }
func (r *result) Err() error { return r.err }
func (r *result) Scan(into ...any) error {
	return row{int64(r.n), "id", "topic", "key", "type", r.value, int64(0), nil, nil, time.Now(), false}.Scan(into...)
}

func TestTime(t *testing.T) {
	var at Time
	require.NoError(t, at.Scan("2026-02-03T04:05:06.789Z"))
	require.Equal(t, time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC), at.Time)
	require.Error(t, at.Scan("yesterday"))
	require.Error(t, at.Scan(7))
}
