package outboxtest

import (
	"math"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

func (x *exercise[Tx]) migrate() {
	require.NoError(x, x.Store.Migrate(x.ctx), "a second time")
	require.NoError(x, x.Store.Ping(x.ctx))

	fresh := x.Store
	x.emit(saga(1))
	stores := []outbox.Store[Tx]{fresh, x.Another(x.T), x.Another(x.T), x.Another(x.T)}
	errs := make([]error, len(stores))
	var wg sync.WaitGroup
	for i, store := range stores {
		wg.Go(func() { errs[i] = store.Migrate(x.ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(x, err)
	}
	require.Equal(x, []string{value(saga(1).ID, 1)}, x.peek(stores[1], 10), "what was there stays")
}

// allBytes is what a text column does not take.
var allBytes = func() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}()

func sampleRows() map[string]choreo.Row {
	rows := map[string]choreo.Row{
		"full": {
			State: choreo.RowUndoing, Announced: true, Kept: true, Bypassed: true, Stuck: true,
			Home: math.MaxInt32, Attempt: 1 << 30,
			Noted:   []string{"reserve-stock", "größe", "a,b", `"quoted"`, ""},
			Settled: []string{"book-shipment", "\n"},
			Inputs: []choreo.Output{
				{Step: "", ContentType: "application/json", Data: []byte(`{"name":"Ünïcödé 🚚"}`)},
				{Step: "charge", ContentType: "application/octet-stream", Data: allBytes},
				{Step: "empty", ContentType: "", Data: []byte{}},
			},
			Output:  choreo.Output{Step: "full", ContentType: "avro/binary", Data: []byte(strings.Repeat("x", 1<<20))},
			Failure: &choreo.Failure{Class: choreo.ClassRefused, Code: "out-of-stock", Message: "nicht genug 在庫"},
		},
		"empty-slices": {
			State: choreo.RowWaiting, Noted: []string{}, Settled: []string{}, Inputs: []choreo.Output{},
			Output: choreo.Output{Data: []byte{}}, Failure: &choreo.Failure{},
		},
		"acts-later": {
			State:  choreo.RowRetrying,
			Origin: choreo.Origin{Initiator: "orders", CausationID: "7", TraceParent: "00-1-2-01", TraceState: `a="b"`, Tags: `{"customer":"c-1"}`, Commands: "c-1\nc-2"},
		},
		"only-announced": {State: choreo.RowSkipped, Announced: true},
		"only-kept":      {State: choreo.RowCompleted, Kept: true},
		"only-bypassed":  {State: choreo.RowCompleted, Bypassed: true},
		"only-stuck":     {State: choreo.RowRetrying, Stuck: true},
		"home":           {State: choreo.RowWaiting, Home: choreo.AnyPartition},
	}
	for _, state := range []choreo.RowState{
		choreo.RowWaiting, choreo.RowRetrying, choreo.RowPending, choreo.RowCompleted, choreo.RowFailed,
		choreo.RowSkipped, choreo.RowUndoing, choreo.RowUndone, choreo.RowUndoFailed,
	} {
		rows["state-"+string(state)] = choreo.Row{State: state}
	}
	return rows
}

// plain puts nil for what is empty: stores may return either.
func plain(row choreo.Row) choreo.Row {
	if len(row.Noted) == 0 {
		row.Noted = nil
	}
	if len(row.Settled) == 0 {
		row.Settled = nil
	}
	inputs := row.Inputs
	row.Inputs = nil
	for _, o := range append(inputs[:len(inputs):len(inputs)], row.Output) {
		if len(o.Data) == 0 {
			o.Data = nil
		}
		row.Inputs = append(row.Inputs, o)
	}
	last := len(row.Inputs) - 1
	row.Output, row.Inputs = row.Inputs[last], row.Inputs[:last]
	return row
}

func plainSteps(rows map[string]choreo.Row) map[string]choreo.Row {
	out := make(map[string]choreo.Row, len(rows))
	for step, row := range rows {
		out[step] = plain(row)
	}
	return out
}

func (x *exercise[Tx]) rowsRoundTrip() {
	other := x.Another(x.T)
	id := outbox.SagaID{Saga: "order", ID: `Bestellung "7" / 注文's`}
	none := x.rows(other, id)
	require.Nil(x, none.Saga)
	require.Empty(x, none.Steps)

	rows := sampleRows()
	var changes outbox.Changes
	for step, row := range rows {
		changes.Steps = append(changes.Steps, outbox.StepRow{SagaID: id, Step: step, Version: 3, Row: row})
	}
	x.commit(x.Store, changes, id)
	got := x.rows(other, id)
	require.Equal(x, 3, got.Version)
	require.Nil(x, got.Saga, "step rows are no saga row")
	require.Equal(x, plainSteps(rows), plainSteps(got.Steps))

	for name, row := range rows {
		for _, state := range []choreo.RowState{choreo.RowOpen, choreo.RowClosed} {
			id := outbox.SagaID{Saga: "order", ID: name}
			row.State = state
			want := outbox.SagaRow{SagaID: id, Version: 3, Row: row}
			x.commit(x.Store, outbox.Changes{Sagas: []outbox.SagaRow{want}}, id)
			got := x.rows(other, id)
			require.NotNil(x, got.Saga)
			require.Empty(x, got.Steps, "a saga row is no step row")
			want.Row, got.Saga.Row = plain(want.Row), plain(got.Saga.Row)
			require.Equal(x, want, *got.Saga)
		}
	}
}

// versionUnknown: a row that does not know the saga's version does not hide it.
func (x *exercise[Tx]) versionUnknown() {
	id := saga(1)
	step := func(name string, version int) outbox.Changes {
		return outbox.Changes{Steps: []outbox.StepRow{{SagaID: id, Step: name, Version: version, Row: choreo.Row{State: choreo.RowNone}}}}
	}
	x.commit(x.Store, step("b", 0), id)
	require.Zero(x, x.rows(x.Store, id).Version)
	x.commit(x.Store, step("a", 2), id)
	require.Equal(x, 2, x.rows(x.Store, id).Version)
	x.commit(x.Store, step("c", 0), id)
	require.Equal(x, 2, x.rows(x.Store, id).Version)
}

func (x *exercise[Tx]) rowsOverwrite() {
	id := saga(1)
	rows := sampleRows()
	for _, row := range []choreo.Row{rows["full"], {State: choreo.RowUndone}, rows["full"], rows["empty-slices"]} {
		x.commit(x.Store, outbox.Changes{
			Steps: []outbox.StepRow{{SagaID: id, Step: "charge", Version: 1, Row: row}},
			Sagas: []outbox.SagaRow{{SagaID: id, Version: 1, Row: row}},
		}, id)
		got := x.rows(x.Store, id)
		require.Equal(x, map[string]choreo.Row{"charge": plain(row)}, plainSteps(got.Steps))
		require.Equal(x, plain(row), plain(got.Saga.Row))
	}
}

func (x *exercise[Tx]) rowsOfTwoDefinitions() {
	order := outbox.SagaID{Saga: "order", ID: "7"}
	refund := outbox.SagaID{Saga: "refund", ID: "7"}
	var changes outbox.Changes
	for attempt, id := range []outbox.SagaID{order, refund} {
		row := choreo.Row{State: choreo.RowRetrying, Attempt: attempt + 1}
		changes.Steps = append(changes.Steps, outbox.StepRow{SagaID: id, Step: "charge", Version: 1, Row: row})
		changes.Sagas = append(changes.Sagas, outbox.SagaRow{SagaID: id, Version: attempt + 1, Row: choreo.Row{State: choreo.RowOpen}})
	}
	x.commit(x.Store, changes, order, refund)
	for attempt, id := range []outbox.SagaID{order, refund} {
		got := x.rows(x.Store, id)
		require.Equal(x, attempt+1, got.Steps["charge"].Attempt)
		require.Equal(x, id, got.Saga.SagaID)
		require.Equal(x, attempt+1, got.Saga.Version)
	}
}

// hostileText is what an error of a handler's own dependencies may hold. A store that
// could not keep it would fail the unit for ever.
func (x *exercise[Tx]) hostileText() {
	id := saga(1)
	row := choreo.Row{
		State: choreo.RowFailed, Attempt: 2,
		Failure: &choreo.Failure{Class: choreo.ClassPermanent, Code: "bad", Message: "read\x00header: \xff\xfe is no text"},
	}
	x.commit(x.Store, outbox.Changes{Steps: []outbox.StepRow{{SagaID: id, Step: "charge", Version: 1, Row: row}}}, id)
	got := x.rows(x.Store, id).Steps["charge"]
	require.Equal(x, row.State, got.State)
	require.Equal(x, row.Failure.Code, got.Failure.Code)
	require.Contains(x, got.Failure.Message, "is no text", "the readable part stays")
}

func (x *exercise[Tx]) entriesRoundTrip() {
	id := outbox.SagaID{Saga: "order", ID: "注文-7"}
	want := []outbox.Entry{entry(id, 1), entry(id, 2), entry(id, 3)}
	want[0].Record.Value = allBytes
	want[0].Record.Headers = []choreo.Header{
		{Key: "ce_type", Value: []byte("choreo.step.completed")},
		{Key: "twice", Value: []byte("b")}, {Key: "twice", Value: []byte("a")},
		{Key: "binary", Value: allBytes}, {Key: "empty", Value: []byte{}}, {Key: "größe", Value: []byte("ü")},
	}
	want[1].Type = string(choreo.Started)
	want[1].Record.Partition = 11
	want[1].Record.Headers = nil
	want[2].Record.Value = []byte(strings.Repeat("z", 1<<20))
	x.commit(x.Store, outbox.Changes{Entries: want}, id)

	c := x.claim(x.Another(x.T), 10)
	got := c.Entries()
	require.Len(x, got, len(want))
	last := int64(math.MinInt64)
	for i := range got {
		require.Greater(x, got[i].Seq, last, "seq rises")
		last = got[i].Seq
		require.False(x, got[i].CreatedAt.IsZero())
		require.Equal(x, want[i].ID, got[i].ID)
		require.Equal(x, want[i].Type, got[i].Type)
		require.Equal(x, want[i].Record.Topic, got[i].Record.Topic)
		require.Equal(x, want[i].Record.Partition, got[i].Record.Partition)
		require.Equal(x, want[i].Key(), got[i].Key())
		require.Equal(x, want[i].Record.Value, got[i].Record.Value)
		require.Len(x, got[i].Record.Headers, len(want[i].Record.Headers))
		for h, header := range want[i].Record.Headers {
			require.Equal(x, header.Key, got[i].Record.Headers[h].Key)
			require.Equal(x, string(header.Value), string(got[i].Record.Headers[h].Value))
		}
	}
	require.NoError(x, c.Release(x.ctx))
}
