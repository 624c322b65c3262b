package table

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// parseArray reads the text of an array as PostgreSQL documents it, NULL as nil.
func parseArray(s string) ([]*string, error) {
	var list []*string
	rest, ok := strings.CutPrefix(s, "{")
	if !ok {
		return nil, errors.New("no brace at the beginning")
	}
	for rest != "}" {
		var b strings.Builder
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			for quoted != "" && quoted[0] != '"' {
				quoted = strings.TrimPrefix(quoted, `\`)
				if quoted == "" {
					return nil, errors.New("nothing behind a backslash")
				}
				b.WriteByte(quoted[0])
				quoted = quoted[1:]
			}
			if quoted == "" {
				return nil, errors.New("no quote at the end")
			}
			item := b.String()
			list, rest = append(list, &item), quoted[1:]
		} else {
			i := strings.IndexAny(rest, ",}")
			if i <= 0 || strings.ContainsAny(rest[:i], `"\{ `) {
				return nil, fmt.Errorf("neither quoted nor a word: %q", rest)
			}
			item := rest[:i]
			list, rest = append(list, &item), rest[i:]
			if item == "NULL" {
				list[len(list)-1] = nil
			}
		}
		if next, ok := strings.CutPrefix(rest, ","); ok {
			if next == "}" {
				return nil, errors.New("a comma at the end")
			}
			rest = next
		} else if rest != "}" {
			return nil, fmt.Errorf("no comma: %q", rest)
		}
	}
	return list, nil
}

func TestLiterals(t *testing.T) {
	var l literal
	require.Equal(t, "{}", l.String())
	l.null()
	require.Equal(t, "{}", l.String(), "what is beyond the end is NULL")
	l.text(`a"b\c`)
	l.text("NULL")
	l.null()
	l.null()
	l.number(-7)
	l.flag(true)
	l.flag(false)
	l.text("")
	l.null()
	require.Equal(t, `{NULL,"a\"b\\c","NULL",NULL,NULL,-7,t,f,""}`, l.String())
	require.Len(t, l.String(), l.size())
	l.reset()
	require.Equal(t, "{}", l.String())

	hostile := rapid.OneOf(rapid.String(), rapid.StringMatching(`[\\"{}, NUL\n\t\x01-\x1f]*`))
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Ptr(hostile, true)).Draw(t, "list")
		var l literal
		for _, s := range want {
			if s == nil {
				l.null()
			} else {
				l.text(*s)
			}
		}
		got, err := parseArray(l.String())
		require.NoError(t, err)
		require.LessOrEqual(t, len(got), len(want))
		for i, s := range want {
			if i >= len(got) {
				require.Nil(t, s)
			} else {
				require.Equal(t, s, got[i])
			}
		}
	})
}

// rowsOf reads the values of a statement of arrayInsert as PostgreSQL does.
func rowsOf(t require.TestingT, columns []string, values []any) []row {
	places, err := parseArray(values[0].(string))
	require.NoError(t, err)
	rows := make([]row, len(places))
	n := 2
	next := func() func(place int) *string {
		list, err := parseArray(values[n].(string))
		require.NoError(t, err)
		n++
		return func(place int) *string {
			if place > len(list) {
				return nil
			}
			return list[place-1]
		}
	}
	number := func(s *string) int {
		n, err := strconv.Atoi(*s)
		require.NoError(t, err)
		return n
	}
	for _, column := range columns {
		item := next()
		length := item
		if arrayTypes[column] == bytesType {
			length = next()
		}
		for i, p := range places {
			place := number(p)
			require.Equal(t, i+1, place)
			s := item(place)
			var v any
			switch kind := arrayTypes[column]; {
			case s == nil:
			case kind == bytesType:
				from := number(s) - 1
				v = values[1].([]byte)[from : from+number(length(place))]
			case kind == "int", kind == "bigint":
				v = int64(number(s))
			case kind == "boolean":
				v = *s == "t"
			default:
				v = *s
			}
			rows[i] = append(rows[i], v)
		}
	}
	require.Empty(t, values[n:])
	return rows
}

var arrayDialect = func() Dialect {
	d := testDialect
	d.Arrays = true
	return d
}()

// TestArraysHoldTheValues: by columns or by rows, the values are the same.
func TestArraysHoldTheValues(t *testing.T) {
	texts, plain := In("").Texts(arrayDialect), In("").Texts(testDialect)
	rapid.Check(t, func(t *rapid.T) {
		if rapid.Bool().Draw(t, "nothing kept") {
			texts = In("").Texts(arrayDialect)
		}
		var changes outbox.Changes
		var ids []outbox.SagaID
		for i := range rapid.IntRange(arraysFrom, 9).Draw(t, "rows") {
			id := outbox.SagaID{Saga: "order", ID: strconv.Itoa(i)}
			ids = append(ids, id)
			step := outbox.StepRow{SagaID: id, Step: "charge", Version: 3, Row: drawRow(t, "charge"), DueIn: time.Duration(rapid.Uint32().Draw(t, "due"))}
			if rapid.Bool().Draw(t, "inputs") {
				step.Inputs = []choreo.Output{{Step: "a", Data: []byte{0}}, {Step: "b"}}
			}
			changes.Steps = append(changes.Steps, step)
			changes.Sagas = append(changes.Sagas, outbox.SagaRow{SagaID: id, Version: 3, Row: drawRow(t, choreo.SagaRow)})
			e := outbox.Entry{ID: fmt.Sprint(i), Record: choreo.Record{
				Key: rapid.SliceOf(rapid.Byte()).Draw(t, "key"), Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"), Partition: rapid.Int32().Draw(t, "partition"),
			}}
			if rapid.Bool().Draw(t, "headers") {
				e.Record.Headers = []choreo.Header{{Key: "h", Value: e.Record.Key}}
			}
			changes.Entries = append(changes.Entries, e)
		}
		columns := [][]string{stepColumns, sagaColumns, insertColumns}
		if rapid.Bool().Draw(t, "entries alone") {
			changes.Steps, changes.Sagas, columns = nil, nil, columns[2:]
		}
		got := texts.Write(Load(ids), &changes, false)
		require.Len(t, got, len(columns))
		want := plain.Write(Load(ids), &changes, false)
		for i := range columns {
			rows := rowsOf(t, columns[i], got[i].Values)
			require.Len(t, rows, len(ids))
			for _, r := range rows {
				for len(want[0].Values) == 0 {
					want = want[1:]
				}
				require.Equal(t, want[0].Values[:len(r)], []any(r))
				want[0].Values = want[0].Values[len(r):]
			}
		}
	})
}

// TestArraysAreBounded: by rows and by bytes, and without one row more or less.
func TestArraysAreBounded(t *testing.T) {
	texts := In("").Texts(arrayDialect)
	for _, c := range []struct {
		entries, size int
		want          []int
	}{
		{5, 10, []int{5}}, {64, 10, []int{64}}, {65, 10, []int{64, 1}}, {130, 10, []int{64, 64, 2}},
		{5, arrayBytes/2 + 1, []int{2, 2, 1}}, {5, 2 * arrayBytes, []int{1, 1, 1, 1, 1}},
	} {
		var changes outbox.Changes
		for i := range c.entries {
			changes.Entries = append(changes.Entries, outbox.Entry{ID: strconv.Itoa(i), Record: choreo.Record{Value: make([]byte, c.size)}})
		}
		var got []int
		n := 0
		for _, part := range texts.Write(nil, &changes, true) {
			rows := rowsOf(t, insertColumns, part.Values)
			got = append(got, len(rows))
			for _, r := range rows {
				require.Equal(t, strconv.Itoa(n), r[0], "in their order")
				n++
			}
		}
		require.Equal(t, c.want, got, "%d of %d", c.entries, c.size)
	}
}

// TestNewRowsAreAdded: only where nobody else can have added them, and none of the saga was there.
func TestNewRowsAreAdded(t *testing.T) {
	texts := In("").Texts(arrayDialect)
	change := func(sagas int, stored int, sole bool) (added, put int) {
		var changes outbox.Changes
		loaded := make(Loaded)
		for i := range sagas {
			id := outbox.SagaID{Saga: "order", ID: strconv.Itoa(i)}
			loaded[id] = outbox.Rows{}
			if i%2 == 0 && stored > 0 {
				stored--
				loaded[id] = outbox.Rows{Steps: map[string]choreo.Row{"another": {}}}
			}
			changes.Steps = append(changes.Steps, outbox.StepRow{SagaID: id, Step: "charge"})
		}
		seen := make(map[any]bool)
		for _, part := range texts.Write(loaded, &changes, sole) {
			rows := rowsOf(t, stepColumns, part.Values)
			for _, r := range rows {
				seen[r[0]] = true
			}
			if strings.Contains(part.Text, "ON CONFLICT") {
				put += len(rows)
			} else {
				added += len(rows)
				for _, r := range rows {
					require.Nil(t, loaded[outbox.SagaID{Saga: "order", ID: r[0].(string)}].Steps)
				}
			}
		}
		require.Len(t, seen, sagas, "each once")
		return added, put
	}
	for _, c := range []struct {
		sagas, stored int
		sole          bool
		added, put    int
	}{
		{20, 0, true, 20, 0}, {20, 0, false, 0, 20}, {5, 0, true, 5, 0},
		{20, 5, true, 15, 5}, {20, 5, false, 0, 20}, {8, 4, true, 0, 8},
	} {
		added, put := change(c.sagas, c.stored, c.sole)
		require.Equal(t, [2]int{c.added, c.put}, [2]int{added, put}, "%+v", c)
	}
}

func TestLoadsOfSeveral(t *testing.T) {
	texts := In("").Texts(arrayDialect)
	a, b := outbox.SagaID{Saga: "order", ID: `7"`}, outbox.SagaID{Saga: "refund", ID: "8"}
	require.Empty(t, texts.Loads(nil))
	require.Equal(t, []any{a.ID, a.Saga}, texts.Loads([]outbox.SagaID{a})[0].Values)
	require.Equal(t, []any{a.ID, a.Saga, b.ID, b.Saga}, texts.Loads([]outbox.SagaID{a, b})[0].Values)
	several := texts.Loads([]outbox.SagaID{a, b, a, b, a})
	require.Len(t, several, 1)
	require.Equal(t, []any{`{"7\"","8","7\"","8","7\""}`, `{"order","refund","order","refund","order"}`}, several[0].Values)
}
