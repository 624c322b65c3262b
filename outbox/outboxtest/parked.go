package outboxtest

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// parked returns the record of an offset, to be parked.
func parked(id outbox.SagaID, offset int64) outbox.Parked {
	return outbox.Parked{SagaID: id, Record: choreo.Record{
		Topic: "choreo.order.events", Partition: 3, Offset: offset, Time: time.UnixMilli(1_700_000_000_001),
		Key: []byte(id.ID), Value: []byte(value(id.ID, int(offset))),
		Headers: []choreo.Header{{Key: "ce_specversion", Value: []byte("1.0")}},
	}}
}

// park commits records of a saga.
func (x *exercise[Tx]) park(id outbox.SagaID, records ...outbox.Parked) {
	x.Helper()
	x.commit(x.Store, outbox.Changes{Park: records}, id)
}

// parkedOf reads what is parked of a saga.
func (x *exercise[Tx]) parkedOf(store outbox.Store[Tx], id outbox.SagaID) []outbox.Parked {
	x.Helper()
	u := x.begin(store, id)
	list, err := u.Parked(x.ctx, id, 1000)
	require.NoError(x, err)
	require.NoError(x, u.Rollback(x.ctx))
	last := int64(math.MinInt64)
	for _, p := range list {
		require.Greater(x, p.Seq, last, "seq rises")
		last = p.Seq
	}
	return list
}

// offsets reads what is parked of a saga, as a unit sees it.
func (x *exercise[Tx]) offsets(u outbox.Unit[Tx], id outbox.SagaID) []int64 {
	x.Helper()
	list, err := u.Parked(x.ctx, id, 1000)
	require.NoError(x, err)
	return offsetsOf(list)
}

func offsetsOf(list []outbox.Parked) []int64 {
	var offsets []int64
	for _, p := range list {
		offsets = append(offsets, p.Record.Offset)
	}
	return offsets
}

// parkedRoundTrip: a record that cannot be parked as it is would hold up its partition for ever.
func (x *exercise[Tx]) parkedRoundTrip() {
	id := outbox.SagaID{Saga: "order", ID: `Bestellung "7" / 注文's`}
	records := []choreo.Record{
		{Topic: "choreo.order.events", Partition: math.MaxInt32, Offset: math.MaxInt64, Key: []byte(id.ID), Value: []byte("{}")},
		{Topic: "t", Key: nil, Value: nil},
		{Topic: "t", Offset: 1, Key: []byte{}, Value: []byte{}, Headers: []choreo.Header{}},
		{Topic: "t", Offset: 2, Key: allBytes, Value: allBytes, Headers: []choreo.Header{
			{Key: "ce_type", Value: []byte("choreo.step.completed")},
			{Key: "twice", Value: []byte("b")}, {Key: "twice", Value: []byte("a")},
			{Key: "binary \xff\x00", Value: allBytes}, {Key: "empty", Value: []byte{}}, {Key: "nil", Value: nil}, {Key: "", Value: []byte("ü")},
		}},
		{Topic: "t", Offset: 3, Value: []byte(strings.Repeat("z", 1<<20))},
	}
	for i, millis := range []int64{0, -1, 1_700_000_000_001, math.MaxInt64, math.MinInt64} {
		records[i].Time = time.UnixMilli(millis)
	}
	records = append(records, choreo.Record{Topic: "t", Offset: 4}) // without a time
	var changes outbox.Changes
	for _, r := range records {
		changes.Park = append(changes.Park, outbox.Parked{SagaID: id, Record: r})
	}
	require.False(x, changes.Empty())
	x.commit(x.Store, changes, id)

	got := x.parkedOf(x.Another(x.T), id)
	require.Len(x, got, len(records))
	for i, p := range got {
		require.Equal(x, id, p.SagaID)
		require.True(x, records[i].Time.Equal(p.Record.Time), "record %d: %v", i, p.Record.Time)
		require.Len(x, p.Record.Headers, len(records[i].Headers))
		p.Record.Time, p.Record.Headers = records[i].Time, append(records[i].Headers[:0:0], p.Record.Headers...)
		require.Equal(x, records[i], p.Record, "record %d", i)
	}

	for n := range int64(37) { // several statements
		changes.Park = append(changes.Park, parked(saga(1), n))
	}
	changes.Park = changes.Park[len(records):]
	x.commit(x.Store, changes, saga(1))
	u := x.begin(x.Store, saga(1), saga(2))
	all := x.offsets(u, saga(1))
	require.Len(x, all, 37)
	for limit := range 3 {
		some, err := u.Parked(x.ctx, saga(1), limit)
		require.NoError(x, err)
		require.Equal(x, all[:limit:limit], append(all[:0:0], offsetsOf(some)...), "the oldest, in order")
	}
	require.Empty(x, x.offsets(u, saga(2)))
	require.NoError(x, u.Rollback(x.ctx))

	u = x.begin(x.Store, saga(2))
	_, err := u.Parked(x.ctx, saga(1), 1)
	require.ErrorContains(x, err, saga(1).ID, "it is not locked")
	require.NoError(x, u.Rollback(x.ctx))
	u = x.begin(x.Store, saga(2))
	err = u.Commit(x.ctx, outbox.Changes{Park: []outbox.Parked{parked(saga(1), 99)}})
	require.ErrorContains(x, err, saga(1).ID, "it is not locked")
	require.NoError(x, u.Rollback(x.ctx))
	require.Len(x, x.parkedOf(x.Store, saga(1)), 37)
}

// parkedOnceEach: a record that is read again is parked already.
func (x *exercise[Tx]) parkedOnceEach() {
	id := saga(1)
	again := parked(id, 2)
	again.Record.Value = []byte("what the first one holds stays")
	x.park(id, parked(id, 2), parked(id, 1), again)
	x.park(id, again)
	x.park(id, parked(id, 3), again, parked(id, 4))
	got := x.parkedOf(x.Store, id)
	require.Equal(x, []int64{2, 1, 3, 4}, offsetsOf(got))
	require.Equal(x, parked(id, 2).Record.Value, got[0].Record.Value)

	topic, partition := parked(id, 2), parked(id, 2)
	topic.Record.Topic, partition.Record.Partition = "another", 4
	x.park(id, topic, partition)
	require.Equal(x, []int64{2, 1, 3, 4, 2, 2}, offsetsOf(x.parkedOf(x.Store, id)))
	for _, other := range []outbox.SagaID{saga(2), {Saga: "refund", ID: id.ID}} {
		x.park(other, parked(other, 2))
		require.Equal(x, []int64{2}, offsetsOf(x.parkedOf(x.Store, other)))
	}
}

func (x *exercise[Tx]) unpark() {
	id, other := saga(1), x.Another(x.T)
	for _, saga := range []outbox.SagaID{id, saga(2), {Saga: "refund", ID: id.ID}} {
		for n := range int64(20) {
			x.park(saga, parked(saga, n))
		}
	}
	all := x.parkedOf(x.Store, id)
	foreign := x.parkedOf(x.Store, saga(2))
	seqs := []int64{math.MaxInt64, 0, -1, foreign[0].Seq} // none of them is the saga's
	for _, p := range all[1:19] {
		seqs = append(seqs, p.Seq, p.Seq)
	}
	changes := outbox.Changes{Unpark: seqs}
	require.False(x, changes.Empty())
	u := x.begin(x.Store, id)
	require.NoError(x, u.Rollback(x.ctx))
	require.Len(x, x.parkedOf(other, id), 20)
	x.commit(x.Store, changes, id)
	require.Equal(x, []int64{0, 19}, offsetsOf(x.parkedOf(other, id)))
	require.Len(x, x.parkedOf(other, saga(2)), 20, "its saga was not named")
	require.Len(x, x.parkedOf(other, outbox.SagaID{Saga: "refund", ID: id.ID}), 20)
	x.commit(x.Store, changes, id) // they are gone

	// What is taken away and parked again stands behind the others.
	x.commit(other, outbox.Changes{Unpark: []int64{all[0].Seq}, Park: []outbox.Parked{parked(id, 0), parked(id, 19)}}, id)
	require.Equal(x, []int64{19, 0}, offsetsOf(x.parkedOf(x.Store, id)))
	x.commit(x.Store, outbox.Changes{Unpark: []int64{all[19].Seq, foreign[0].Seq}}, saga(2), id)
	require.Equal(x, []int64{0}, offsetsOf(x.parkedOf(other, id)))
	require.Equal(x, offsetsOf(foreign[1:]), offsetsOf(x.parkedOf(other, saga(2))))
}

// parkedWithinATransaction: units of one transaction see what those before them changed.
func (x *exercise[Tx]) parkedWithinATransaction() {
	id, other := saga(1), x.Another(x.T)
	x.park(id, parked(id, 1), parked(id, 2))
	work := func(end error) error {
		return x.Transact(x.ctx, func(tx Tx) error {
			for _, step := range []struct{ see, park []int64 }{{[]int64{1, 2}, []int64{2, 3}}, {[]int64{2, 3}, []int64{4}}, {[]int64{3, 4}, nil}} {
				u, err := x.Store.Join(x.ctx, tx, id)
				if err != nil {
					return err
				}
				list, err := u.Parked(x.ctx, id, 10)
				if err != nil {
					return err
				}
				if got := offsetsOf(list); !slices.Equal(got, step.see) {
					x.Errorf("a unit of the transaction sees %d, not %d", got, step.see)
				}
				changes := outbox.Changes{Unpark: []int64{list[0].Seq}}
				for _, offset := range step.park {
					changes.Park = append(changes.Park, parked(id, offset))
				}
				if err := u.Commit(x.ctx, changes); err != nil {
					return err
				}
			}
			return end
		})
	}
	require.ErrorIs(x, work(errChanged), errChanged)
	require.Equal(x, []int64{1, 2}, offsetsOf(x.parkedOf(other, id)))
	require.NoError(x, work(nil))
	require.Equal(x, []int64{4}, offsetsOf(x.parkedOf(other, id)))
}

// parkedInCommitOrder has several processes park what comes next of some sagas.
func (x *exercise[Tx]) parkedInCommitOrder() {
	const workers, each, sagas = 6, 10, 3
	stores := []outbox.Store[Tx]{x.Store, x.Another(x.T)}
	x.parallel(workers, func(worker int) error {
		store := stores[worker%2]
		for round := range each {
			id := saga((worker + round) % sagas)
			u, err := store.Begin(x.ctx, id)
			if err != nil {
				return err
			}
			next := u.Rows(id).Steps[countStep].Attempt + 1
			err = u.Commit(x.ctx, outbox.Changes{
				Steps: []outbox.StepRow{stepRow(id, next)}, Park: []outbox.Parked{parked(id, int64(next))},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for n := range sagas {
		got := offsetsOf(x.parkedOf(x.Store, saga(n)))
		require.Len(x, got, workers*each/sagas)
		for i, offset := range got {
			require.EqualValues(x, i+1, offset)
		}
	}
}
