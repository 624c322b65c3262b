package participant_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// publishing is a world with a topic "invoices" of the service's own.
func publishing(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	require.NoError(t, w.log.CreateTopic(t.Context(), topics.TopicSpec{Name: "invoices", Partitions: 4}))
	return w
}

func (w *world) values(topic string) []string {
	var out []string
	for _, rec := range w.log.Records(topic) {
		out = append(out, string(rec.Value))
	}
	return out
}

func invoice(key, value string) choreo.Record {
	return choreo.Record{
		Topic: "invoices", Key: []byte(key), Value: []byte(value),
		Headers: []choreo.Header{{Key: "content-type", Value: []byte("text/plain")}},
	}
}

func TestPublishInATransactionOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := publishing(t)
		defer w.close()
		p := w.run["air"].p
		require.NoError(t, participant.Publish(t.Context(), p))
		unkeyed, tombstone, binary := invoice("", "unkeyed"), invoice("o-2", ""), invoice("\xff\x00", "binary")
		unkeyed.Key, tombstone.Value = nil, nil
		unkeyed.Headers = append(unkeyed.Headers, choreo.Header{Key: "ce_type", Value: []byte("invoice.sent")})
		require.NoError(t, participant.Publish(t.Context(), p, invoice("o-1", "first"), unkeyed, tombstone, binary, invoice("o-1", "second")))
		synctest.Wait()
		got := w.log.Records("invoices")
		want := []string{"first", "unkeyed", "", "binary", "second"}
		require.ElementsMatch(t, want, w.values("invoices"))
		place := func(r choreo.Record) int { return slices.Index(want, string(r.Value)) }
		second := slices.IndexFunc(got, func(r choreo.Record) bool { return place(r) == 4 })
		require.True(t, slices.ContainsFunc(got[:second], func(r choreo.Record) bool { return place(r) == 0 }), "the order of a key")
		slices.SortFunc(got, func(a, b choreo.Record) int { return place(a) - place(b) })
		require.Equal(t, "o-1", string(got[0].Key))
		require.Equal(t, topics.PartitionFor([]byte("o-1"), 4), got[0].Partition)
		require.Equal(t, got[0].Headers, invoice("", "").Headers)
		require.Nil(t, got[1].Key)
		require.Nil(t, got[2].Value, "a tombstone")
		require.Equal(t, []byte("\xff\x00"), got[3].Key)
	})
}

func TestPublishEntriesHaveATypeForOtherRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := publishing(t)
		defer w.close()
		w.halt("air")
		p, err := participant.New[*memory.Tx](w.log, memory.New(w.dbs["air"]), &participant.Config{
			Service: "air", Sagas: []choreo.AnySaga{travel},
		})
		require.NoError(t, err)
		event, wild := invoice("a", "1"), invoice("b", "2")
		event.Headers = []choreo.Header{{Key: "ce_type", Value: []byte("invoice.sent")}}
		wild.Headers = []choreo.Header{{Key: "ce_type", Value: []byte("\xff")}}
		require.NoError(t, participant.Publish(t.Context(), p, event, wild, invoice("c", "3")))
		var types []string
		for _, e := range w.dbs["air"].Snapshot().Entries {
			types = append(types, e.Type)
			require.Equal(t, choreo.AnyPartition, e.Record.Partition)
		}
		require.Equal(t, []string{"invoice.sent", "record", "record"}, types)
	})
}

func TestPublishTxSharesTheFateOfTheTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := publishing(t)
		defer w.close()
		air := w.run["air"]
		for _, commit := range []bool{false, true} {
			tx, err := air.store.BeginTx(t.Context())
			require.NoError(t, err)
			require.NoError(t, tx.Put("invoices", "o-1", fmt.Sprint(commit)))
			require.NoError(t, participant.PublishTx(t.Context(), air.p, tx, invoice("o-1", fmt.Sprint(commit))))
			require.NoError(t, participant.PublishTx(t.Context(), air.p, tx, invoice("o-1", "and again")))
			<-time.After(time.Minute)
			require.Empty(t, w.values("invoices"), "nothing leaves before the commit")
			if commit {
				require.NoError(t, tx.Commit(t.Context()))
			} else {
				require.NoError(t, tx.Rollback(t.Context()))
			}
		}
		<-time.After(time.Minute)
		require.Equal(t, []string{"true", "and again"}, w.values("invoices"))
		require.Equal(t, "true", w.dbs["air"].Snapshot().Tables["invoices"]["o-1"])
	})
}

// Two transactions that write records of one key come one after the other, so that the
// log has them in the order of the commits.
func TestPublishTxKeepsTheOrderOfCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := publishing(t)
		defer w.close()
		air := w.run["air"]
		first, err := air.store.BeginTx(t.Context())
		require.NoError(t, err)
		require.NoError(t, participant.PublishTx(t.Context(), air.p, first, invoice("o-1", "first")))
		second := make(chan error, 1)
		go func() { second <- participant.Publish(t.Context(), air.p, invoice("o-1", "second")) }()
		require.NoError(t, participant.Publish(t.Context(), air.p, invoice("o-2", "beside"), choreo.Record{Topic: "invoices", Value: []byte("unkeyed")}))
		synctest.Wait()
		require.Equal(t, []string{"beside", "unkeyed"}, w.values("invoices"))
		require.NoError(t, first.Commit(t.Context()))
		require.NoError(t, <-second)
		<-time.After(time.Second)
		require.Equal(t, []string{"beside", "unkeyed", "first", "second"}, w.values("invoices"))
	})
}

type publishingHandler struct {
	p *participant.Participant[*memory.Tx]
	// fail has so many attempts fail after the record was written.
	fail *int
}

func (h publishingHandler) Execute(ctx context.Context, tx *memory.Tx, call *participant.Call[trip]) (ticket, error) {
	rec := invoice(call.SagaID, fmt.Sprintf("attempt %d", call.Attempt))
	if err := participant.PublishTx(ctx, h.p, tx, rec); err != nil {
		return ticket{}, err
	}
	if *h.fail > 0 {
		*h.fail--
		return ticket{}, errors.New("flaky")
	}
	return ticket{From: "here"}, nil
}

func (h publishingHandler) Compensate(ctx context.Context, tx *memory.Tx, call *participant.Call[trip], _ ticket) error {
	return participant.PublishTx(ctx, h.p, tx, invoice(call.SagaID, "cancelled"))
}

func TestG1AtomicRecordsOfAHandlerCommitWithItsStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := memorylog.New(memorylog.Options{Partitions: 2})
		defer func() { require.NoError(t, log.Close()) }()
		for _, name := range []string{"choreo.solo.events", "choreo.dlq", "invoices"} {
			require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: name, Partitions: 2}))
		}
		book := choreo.NewStep[trip, ticket]("book")
		check := choreo.NewStep[ticket, ticket]("check")
		solo := choreo.MustDefine[trip]("solo", 1,
			book.OwnedBy("air").Retry(choreo.FixedRetry(3, time.Second)),
			check.OwnedBy("air").After(book).NoCompensation(),
		)
		db := memory.NewDatabase()
		p, err := participant.New[*memory.Tx](log, memory.New(db), &participant.Config{
			Service: "air", Sagas: []choreo.AnySaga{solo},
		})
		require.NoError(t, err)
		fail := 2
		participant.Handle(p, book, publishingHandler{p: p, fail: &fail})
		participant.HandleForward(p, check, participant.ExecuteFunc[*memory.Tx, ticket, ticket](
			func(context.Context, *memory.Tx, *participant.Call[ticket]) (ticket, error) {
				return ticket{}, choreo.Refusef("no", "no")
			}))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		_, err = participant.Start(t.Context(), p, solo, "t-1", trip{})
		require.NoError(t, err)
		<-time.After(time.Minute)
		stop()
		require.NoError(t, <-ended)

		var values []string
		for _, rec := range log.Records("invoices") {
			values = append(values, string(rec.Value))
		}
		require.Equal(t, []string{"attempt 3", "cancelled"}, values, "what an attempt wrote that failed is gone")
		require.Empty(t, db.Snapshot().Entries)
	})
}

func TestPublishRefusesWhatCouldNeverBePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := publishing(t)
		defer w.close()
		air := w.run["air"]
		tx, err := air.store.BeginTx(t.Context())
		require.NoError(t, err)
		err = participant.PublishTx(t.Context(), air.p, tx,
			invoice("o-1", "fine"), choreo.Record{}, choreo.Record{Topic: ".."}, choreo.Record{Topic: "größe"},
			choreo.Record{Topic: "choreo.travel.events"})
		require.ErrorContains(t, err, `record 1: "" is no name of a topic`)
		require.ErrorContains(t, err, `record 2: ".."`)
		require.ErrorContains(t, err, `record 3: "größe"`)
		require.ErrorContains(t, err, `record 4: topic choreo.travel.events holds the events of saga "travel"`)
		require.NotContains(t, err.Error(), "record 0")
		require.NoError(t, tx.Put("still", "open", "yes"), "the transaction goes on")
		require.NoError(t, tx.Commit(t.Context()))
		<-time.After(time.Second)
		require.Empty(t, w.values("invoices"))
	})
}

// G8: a record of a topic that does not exist holds up its own key alone, and comes as soon as
// there is one.
func TestG8IsolationARecordThatCannotBePublishedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := publishing(t)
		defer w.close()
		p := w.run["air"].p
		require.NoError(t, participant.Publish(t.Context(), p,
			choreo.Record{Topic: "receipts", Key: []byte("k"), Value: []byte("early")}, invoice("k", "behind"), invoice("o-1", "beside")))
		w.begin("t-1", trip{})
		w.rest(1)
		require.Equal(t, []string{"beside"}, w.values("invoices"))
		require.NoError(t, w.log.CreateTopic(t.Context(), topics.TopicSpec{Name: "receipts", Partitions: 1}))
		<-time.After(10 * time.Second)
		require.Equal(t, []string{"early"}, w.values("receipts"))
		require.Equal(t, []string{"beside", "behind"}, w.values("invoices"))
	})
}
