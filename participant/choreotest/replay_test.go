package choreotest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
)

// recording is the log of three orders: one completes after a retry, one is refused, one
// is cancelled while its charge is retried.
func recording(t *testing.T) []choreo.Record {
	t.Helper()
	var records []choreo.Record
	Run(t, orders, func(w *World) {
		tries := 0
		s := shop{charge: func(call *participant.Call[created]) (receipt, error) {
			if tries++; call.SagaID == "retried" && tries == 1 {
				return receipt{}, choreo.RetryAfter(time.Minute, errors.New("gateway is away"))
			}
			return same(call)
		}}
		open := s.open(w)
		w.Wait(Start(open, order, "retried", placed{Total: 1}))
		w.Wait(Start(open, order, "refused", placed{Total: 2}))
		ref := Start(open, order, "cancelled", placed{Total: 3})
		w.Advance(time.Second)
		require.NoError(w.T(), participant.Cancel(w.Context(), open.Participant(), order, ref.SagaID, "changed my mind"))
		w.Advance(time.Second)
		w.Wait(ref)
		w.AssertStatus(ref, choreo.StatusCompensated)
		records = w.Records()
	})
	return records
}

func serve(s shop) func(w *World) { return func(w *World) { s.open(w) } }

// same is a charge that answers as in the recording, without needing the retry.
func same(call *participant.Call[created]) (receipt, error) {
	switch call.SagaID {
	case "refused":
		return receipt{}, choreo.Refusef("no-credit", "balance is 3")
	case "cancelled":
		return receipt{}, choreo.RetryAfter(time.Hour, errors.New("gateway is away"))
	}
	return receipt{Paid: 7}, nil
}

func TestTheSameCodeTakesTheSameWay(t *testing.T) {
	records := recording(t)
	Replay(t, records, order, serve(shop{charge: same}), &ReplayConfig{ComparePayloads: true})
	Replay(t, slices.Concat(records, records), order, serve(shop{charge: same}), nil)
}

// next is the same steps in a later version.
func next(options ...choreo.Option) *choreo.Saga[placed] {
	return choreo.MustDefine[placed]("order", 2, append([]choreo.Option{
		create.OwnedBy("orders"),
		charge.OwnedBy("payments").After(create).Timeout(time.Second),
		reserve.OwnedBy("stock").After(create),
		wrap.OwnedBy("stock").After(create).Optional(),
		ship.OwnedBy("shipping").After(charge, reserve, wrap).Pivot(),
		letter.OwnedBy("orders").After(ship),
	}, options...)...)
}

func TestNewHandlersThatAnswerOtherwiseAreFound(t *testing.T) {
	records := recording(t)
	found := Divergences(t, records, next(choreo.Deadline(12*time.Hour)), serve(shop{}), nil)
	require.Len(t, found, 2, "the cancelled one was to be charged no more")
	require.Equal(t, participant.Ref{Saga: "order", SagaID: "refused"}, found[0].Ref)
	require.Equal(t, "failed charge: refused no-credit", found[0].Recorded)
	require.Contains(t, found[0].Replayed, "completed charge")
	story := found[0].String()
	require.True(t, strings.HasPrefix(story, "saga order \"refused\" takes another way: the next event is not what happens now\n    started\n"), story)
	require.Contains(t, story, "  - failed charge: refused no-credit\n  + completed charge\n")
}

func TestAStepThatHangsIsFound(t *testing.T) {
	records := recording(t)
	found := Divergences(t, records, order, serve(shop{charge: func(*participant.Call[created]) (receipt, error) {
		return receipt{}, choreo.RetryAfter(time.Hour, errors.New("gateway is away"))
	}}), nil)
	require.Len(t, found, 2)
	require.Equal(t, "completed charge", found[0].Recorded)
	require.Equal(t, "failed charge: refused no-credit", found[1].Recorded)
	for _, d := range found {
		require.Equal(t, "the next event does not happen within 10m0s", d.Why)
		require.Empty(t, d.Replayed)
	}
}

func TestOtherOutputsAreFoundWhereTheyAreCompared(t *testing.T) {
	records := recording(t)
	cheaper := shop{charge: func(call *participant.Call[created]) (receipt, error) {
		if out, err := same(call); err != nil {
			return out, err
		}
		return receipt{Paid: 6}, nil
	}}
	require.Empty(t, Divergences(t, records, order, serve(cheaper), nil))
	found := Divergences(t, records, order, serve(cheaper), &ReplayConfig{ComparePayloads: true})
	require.Len(t, found, 1)
	require.Equal(t, `charge now returns {"Paid":6} and returned {"Paid":7}`, found[0].Why)
}

func TestAShorterDeadlineIsFound(t *testing.T) {
	records := recording(t)
	found := Divergences(t, records, next(choreo.Deadline(10*time.Second)), serve(shop{charge: same}), nil)
	require.Len(t, found, 1)
	require.Equal(t, "retried", found[0].Ref.SagaID, "it took a minute")
	require.Empty(t, found[0].Recorded)
	require.Equal(t, "the history ends, and now it would go on", found[0].Why)
	require.Contains(t, found[0].Replayed, "abort-requested: timeout deadline")
}

func TestANewStepIsFound(t *testing.T) {
	records := recording(t)
	thank := choreo.NewStep[receipt, receipt]("thank")
	found := Divergences(t, records, next(thank.OwnedBy("stock").After(letter)), func(w *World) {
		s := shop{charge: same}
		Serve(w, "payments", s.payments)
		Serve(w, "shipping", s.shipping)
		Serve(w, "orders", s.orders)
		Serve(w, "stock", func(p *participant.Participant[*memory.Tx]) {
			s.stock(p)
			participant.HandleForward(p, thank, books[receipt, receipt]{})
		})
	}, nil)
	require.Len(t, found, 1)
	require.Equal(t, "retried", found[0].Ref.SagaID)
	require.Equal(t, []string{"completed thank"}, found[0].Replayed)
}

func TestAStepThatIsGoneIsFound(t *testing.T) {
	records := recording(t)
	short := choreo.MustDefine[placed]("order", 2, create.OwnedBy("orders"),
		charge.OwnedBy("payments").After(create), reserve.OwnedBy("stock").After(create))
	found := Divergences(t, records, short, func(w *World) {
		Serve(w, "payments", shop{charge: same}.payments)
		Serve(w, "orders", func(p *participant.Participant[*memory.Tx]) {
			participant.Handle(p, create, books[placed, created]{})
		})
		Serve(w, "stock", func(p *participant.Participant[*memory.Tx]) {
			participant.Handle(p, reserve, books[created, receipt]{})
		})
	}, nil)
	require.Len(t, found, 3)
	for _, d := range found {
		require.Equal(t, "order/2 has no step wrap", d.Why)
		require.Equal(t, "completed wrap", d.Recorded)
	}
}

// What a person or a webhook answered is taken from the history, also by a version in
// which the step has become one that waits for it.
func TestAnswersFromOutsideAreTakenFromTheHistory(t *testing.T) {
	records := recording(t)
	asks := shop{charge: func(*participant.Call[created]) (receipt, error) {
		return receipt{}, participant.Pending(time.Hour)
	}}
	Replay(t, records, order, serve(asks), nil)

	impatient := shop{charge: func(*participant.Call[created]) (receipt, error) {
		return receipt{}, participant.Pending(30 * time.Second)
	}}
	found := Divergences(t, records, order, serve(impatient), nil)
	require.Len(t, found, 1, "only one charge took longer")
	require.Equal(t, "completed charge", found[0].Recorded)
	require.Contains(t, found[0].Replayed, "failed charge: timeout timeout")
}

func TestADivergenceFailsTheTest(t *testing.T) {
	records := recording(t)
	fake := play(t, orders, func(w *World) {
		for _, d := range w.replay(records, order.Def(), serve(shop{}), nil) {
			w.t.Errorf("%s", d.String())
		}
	})
	require.Contains(t, fake.text(), `saga order "refused" takes another way`)
}

func TestAWorldThatReplaysNothingFails(t *testing.T) {
	fake := play(t, orders, func(w *World) { w.replay(nil, order.Def(), serve(shop{}), nil) })
	require.Equal(t, "choreotest: the records hold no event of saga order: there is nothing to replay", fake.text())
}

func TestALogIsSavedAndLoaded(t *testing.T) {
	records := recording(t)
	path := filepath.Join(t.TempDir(), "orders.jsonl")
	var b bytes.Buffer
	require.NoError(t, SaveLog(&b, records))
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	require.Equal(t, len(records), strings.Count(b.String(), "\n"), "a line a record")

	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	loaded, err := LoadLog(file)
	require.NoError(t, err)
	require.Len(t, loaded, len(records))
	for i := range records {
		require.True(t, records[i].Time.Equal(loaded[i].Time))
		loaded[i].Time = records[i].Time
	}
	require.Equal(t, records, loaded)
	Replay(t, loaded, order, serve(shop{charge: same}), nil)
}

func TestAnyRecordIsSavedAndLoaded(t *testing.T) {
	data := rapid.SliceOfN(rapid.Byte(), 0, 12)
	rapid.Check(t, func(t *rapid.T) {
		rec := choreo.Record{
			Topic: rapid.String().Draw(t, "topic"), Partition: rapid.Int32().Draw(t, "partition"),
			Key: data.Draw(t, "key"), Headers: []choreo.Header{{Key: "h", Value: data.Draw(t, "header")}},
		}
		if rapid.Bool().Draw(t, "tombstone") {
			rec.Value = data.Draw(t, "value")
		}
		var b bytes.Buffer
		require.NoError(t, SaveLog(&b, []choreo.Record{rec}))
		loaded, err := LoadLog(&b)
		require.NoError(t, err)
		require.Equal(t, []choreo.Record{rec}, loaded)
	})
}

func TestALogThatIsNoneIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"topic":"t"}` + "\n" + `{"topic":3}`: "record 2",
		`{"subject":"t"}`:                      `unknown field "subject"`,
		`{"value":[1]}`:                        "record 1",
	} {
		_, err := LoadLog(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
}
