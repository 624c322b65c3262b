package topics_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	outbox "github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/participant/choreotest"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
)

func TestADeadLetterIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 20)
		rec := choreo.Record{
			Topic: "shop.order.events", Partition: rapid.Int32Range(0, 99).Draw(t, "partition"),
			Offset: rapid.Int64Range(0, 1<<60).Draw(t, "offset"), Time: time.UnixMilli(rapid.Int64Range(0, 1<<40).Draw(t, "time")).UTC(),
			Key: body.Draw(t, "key"), Value: body.Draw(t, "value"),
			Headers: []choreo.Header{{Key: "ce_type", Value: body.Draw(t, "header")}, {Key: "ce_type", Value: []byte("twice")}},
		}
		dead := topics.DeadLetter(&rec, "shop.dlq", "shop.payments", fmt.Errorf("order %q: %w", "o-1", errors.ErrUnsupported))
		dead.Partition, dead.Offset, dead.Time = 2, 9, time.Unix(1, 0)
		l, err := topics.ReadDeadLetter(&dead)
		require.NoError(t, err)
		require.Equal(t, &topics.Letter{
			Place: topics.Place{Partition: 2, Offset: 9}, Time: time.Unix(1, 0), Original: rec, Group: "shop.payments",
			Type: "*errors.errorString", Message: `order "o-1": unsupported operation`,
		}, l)
	})
}

func TestWhatIsNoDeadLetterIsRefused(t *testing.T) {
	rec := choreo.Record{Topic: "t", Partition: 1, Offset: 2, Value: []byte("v")}
	_, err := topics.ReadDeadLetter(&rec)
	require.ErrorContains(t, err, "kafka_dlt-original-topic: missing")
	whole := topics.DeadLetter(&rec, "dlq", "g", errors.New("x"))
	for _, header := range []string{"topic", "partition", "offset"} {
		cut := whole
		cut.Headers = nil
		for _, h := range whole.Headers {
			if h.Key != "kafka_dlt-original-"+header {
				cut.Headers = append(cut.Headers, h)
			}
		}
		_, err := topics.ReadDeadLetter(&cut)
		require.ErrorContains(t, err, header+": missing")
		cut.Headers = append(cut.Headers, choreo.Header{Key: "kafka_dlt-original-" + header, Value: []byte{0}})
		_, err = topics.ReadDeadLetter(&cut)
		require.ErrorContains(t, err, "kafka_dlt-original-"+header)
	}
}

func TestLettersOfOneCauseAreOneGroup(t *testing.T) {
	cause := func(message string) string { return (&topics.Letter{Message: message}).Cause() }
	require.Equal(t, "choreo.saga.started … is …h…m…s old, the horizon is …h", cause("choreo.saga.started 01 is 700h3m2.5s old, the horizon is 744h"))
	require.Equal(t, "key: … is not the saga id", cause(`key: "o-\"17\"" is not the saga id`))
	require.Equal(t, "no row …", cause("no row 018f0f3e-0000-7abc-8def-0123456789ab"))
	require.Equal(t, "saga order/…: this service knows no saga of that name", cause("saga order/2: this service knows no saga of that name"))
	a := topics.Letter{Type: "*e", Message: "order 1", Group: "g", Original: choreo.Record{Topic: "t"}}
	b := a
	b.Message = "order 22"
	require.Equal(t, a.GroupKey(), b.GroupKey())
	for _, change := range []func(*topics.Letter){
		func(l *topics.Letter) { l.Type = "*f" }, func(l *topics.Letter) { l.Message = "refund 1" },
		func(l *topics.Letter) { l.Group = "h" }, func(l *topics.Letter) { l.Original.Topic = "u" },
	} {
		other := a
		change(&other)
		require.NotEqual(t, a.GroupKey(), other.GroupKey())
	}
}

func TestServiceOfAGroup(t *testing.T) {
	names := shop(t)
	service, ok := names.ServiceOf(names.Group("payments"))
	require.True(t, ok)
	require.Equal(t, "payments", service)
	for _, group := range []string{"shop", "shop.", "other.payments"} {
		_, ok := names.ServiceOf(group)
		require.False(t, ok, group)
	}
}

// morgue is a log with an events topic and one for dead letters.
func morgue(t *testing.T) (*memory.Log, *topics.DeadLetters) {
	t.Helper()
	log := memory.New(memory.Options{})
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	for name, partitions := range map[string]int{"shop.dlq": 3, "shop.order.events": 4} {
		require.NoError(t, log.CreateTopic(t.Context(), topics.TopicSpec{Name: name, Partitions: partitions}))
	}
	return log, topics.NewDeadLetters(log, shop(t))
}

// die writes dead letters of records.
func die(t *testing.T, log topics.Log, cause string, sagas ...string) {
	t.Helper()
	for i, saga := range sagas {
		rec := choreo.Record{
			Topic: "shop.order.events", Partition: 3, Offset: int64(i), Time: time.Unix(7, 0), Key: []byte(saga), Value: []byte("v-" + saga),
			Headers: []choreo.Header{{Key: "ce_type", Value: []byte("?")}},
		}
		require.Nil(t, log.Publish(t.Context(), []choreo.Record{topics.DeadLetter(&rec, "shop.dlq", "shop.payments", errors.New(cause+" "+saga))}))
	}
}

func TestRedriveOfAGroup(t *testing.T) { synctest.Test(t, redriveOfAGroup) }

func redriveOfAGroup(t *testing.T) {
	t.Helper()
	log, letters := morgue(t)
	die(t, log, "no order", "1", "2", "3")
	die(t, log, "no refund", "4")
	require.Nil(t, log.Publish(t.Context(), []choreo.Record{{Topic: "shop.dlq", Partition: 0, Value: []byte("not a letter")}}))
	groups, err := letters.Groups(t.Context())
	require.NoError(t, err)
	require.Len(t, groups, 2)
	g := groups[0]
	if g.Cause != "no order …" {
		g = groups[1]
	}
	require.Equal(t, "no order … 3 0", fmt.Sprint(g.Cause, " ", g.Count, " ", g.Redriven))
	require.Equal(t, "shop.order.events shop.payments *errors.errorString", g.Topic+" "+g.Group+" "+g.Type)

	dry, err := letters.Redrive(t.Context(), topics.Redrive{Group: g.Key, DryRun: true})
	require.NoError(t, err)
	require.Len(t, dry.Letters, 3)
	require.Empty(t, log.Records("shop.order.events"), "a dry run writes nothing")
	require.Len(t, log.Records("shop.dlq"), 5)

	what := topics.Redrive{Group: g.Key, By: "ada", Note: "mended"}
	done, err := letters.Redrive(t.Context(), what)
	require.NoError(t, err)
	require.Equal(t, dry, done)
	back := log.Records("shop.order.events")
	require.Len(t, back, 3)
	for _, rec := range back {
		require.Equal(t, int32(3), rec.Partition, "where it was read")
		require.Equal(t, "v-"+string(rec.Key), string(rec.Value))
		require.Equal(t, []choreo.Header{{Key: "ce_type", Value: []byte("?")}}, rec.Headers)
	}
	again, err := letters.Redrive(t.Context(), what)
	require.NoError(t, err)
	require.Empty(t, again.Letters)
	require.Len(t, again.Skipped, 3)
	require.Contains(t, again.Skipped[0].Why, "redriven before")
	require.Len(t, log.Records("shop.order.events"), 3)

	what.Force = true
	forced, err := letters.Redrive(t.Context(), what)
	require.NoError(t, err)
	require.Equal(t, done, forced)
	require.Len(t, log.Records("shop.order.events"), 6)

	time.Sleep(time.Second)      // of virtual time
	die(t, log, "no order", "5") // after the redrive
	groups, err = letters.Groups(t.Context())
	require.NoError(t, err)
	require.Equal(t, g.Key, groups[0].Key, "that with the latest letter is first")
	require.Equal(t, "4 3", fmt.Sprint(groups[0].Count, " ", groups[0].Redriven))
	list, err := letters.List(t.Context(), g.Key, 10)
	require.NoError(t, err)
	require.Len(t, list, 4)
	redriven := 0
	for _, l := range list {
		require.Equal(t, string(l.Original.Key) != "5", l.Redriven)
		if l.Redriven {
			redriven++
		}
	}
	require.Equal(t, 3, redriven)
	list, err = letters.List(t.Context(), "", 2)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "5", string(list[0].Original.Key), "the latest first")
}

func TestRedriveOfSingleLetters(t *testing.T) {
	log, letters := morgue(t)
	die(t, log, "no order", "1", "2")
	gone := choreo.Record{Topic: "shop.gone.events", Partition: 0, Offset: 1, Key: []byte("1")}
	require.Nil(t, log.Publish(t.Context(), []choreo.Record{topics.DeadLetter(&gone, "shop.dlq", "g", errors.New("x"))}))
	list, err := letters.List(t.Context(), "", 10)
	require.NoError(t, err)
	var places []topics.Place
	for _, l := range list {
		if string(l.Original.Key) == "1" {
			places = append(places, l.Place)
		}
	}
	require.Len(t, places, 2)
	nowhere := topics.Place{Partition: 2, Offset: 999}
	done, err := letters.Redrive(t.Context(), topics.Redrive{Letters: append(places, nowhere), By: "ada"})
	require.NoError(t, err)
	require.Len(t, done.Letters, 1)
	require.Len(t, log.Records("shop.order.events"), 1)
	require.Len(t, done.Skipped, 2)
	whys := done.Skipped[0].Why + "\n" + done.Skipped[1].Why
	require.Contains(t, whys, "no dead letter at this place")
	require.Contains(t, whys, topics.ErrUnknownTopic.Error())
}

func TestRedriveRefusesWhatSaysNothing(t *testing.T) {
	_, letters := morgue(t)
	_, err := letters.Redrive(t.Context(), topics.Redrive{})
	require.ErrorContains(t, err, "name a group or letters")
	require.ErrorContains(t, err, "By is empty")
	_, err = letters.Redrive(t.Context(), topics.Redrive{Group: "g", Letters: []topics.Place{{}}, By: "ada"})
	require.ErrorContains(t, err, "one of them")
	_, err = letters.List(t.Context(), "", 0)
	require.ErrorContains(t, err, "at least 1")
	done, err := letters.Redrive(t.Context(), topics.Redrive{Group: "unheard-of", By: "ada"})
	require.NoError(t, err)
	require.Zero(t, done)
}

// More letters than fit in a batch, and a broker that refuses one of them.
func TestRedriveOfManyLettersSkipsWhatCannotBePublished(t *testing.T) {
	log, letters := morgue(t)
	var sagas []string
	for i := range 250 {
		sagas = append(sagas, fmt.Sprint(i))
	}
	die(t, log, "no order", sagas...)
	log.OnPublish(func(rec *choreo.Record) memory.Fault {
		if rec.Topic == "shop.order.events" && string(rec.Key) == "17" {
			return memory.Fault{Before: errors.New("refused")}
		}
		return memory.Fault{}
	})
	groups, err := letters.Groups(t.Context())
	require.NoError(t, err)
	what := topics.Redrive{Group: groups[0].Key, By: "ada"}
	done, err := letters.Redrive(t.Context(), what)
	require.NoError(t, err)
	require.Len(t, done.Letters, 249)
	require.Len(t, done.Skipped, 1)
	require.Equal(t, "refused", done.Skipped[0].Why)
	log.OnPublish(nil)
	done, err = letters.Redrive(t.Context(), what)
	require.NoError(t, err)
	require.Len(t, done.Letters, 1, "what was refused is still to be redriven")
	require.Len(t, log.Records("shop.order.events"), 250)
}

// Where the marker cannot be written, that is said.
func TestRedriveThatCannotBeNoted(t *testing.T) {
	log, letters := morgue(t)
	die(t, log, "no order", "1")
	log.OnPublish(func(rec *choreo.Record) memory.Fault {
		if rec.Topic == "shop.dlq" {
			return memory.Fault{Before: errors.New("away")}
		}
		return memory.Fault{}
	})
	list, err := letters.List(t.Context(), "", 1)
	require.NoError(t, err)
	done, err := letters.Redrive(t.Context(), topics.Redrive{Letters: []topics.Place{list[0].Place}, By: "ada"})
	require.ErrorContains(t, err, "another redrive would repeat them")
	require.Len(t, done.Letters, 1)
}

type job struct{ N int }

type worker struct{}

func (worker) Execute(_ context.Context, tx *outbox.Tx, call *participant.Call[job]) (job, error) {
	before, _, err := tx.Get("done", call.SagaID)
	if err != nil {
		return job{}, err
	}
	return call.Input, tx.Put("done", call.SagaID, before+"+")
}

// A record is redriven that nobody has handled, and one that somebody has.
func TestARedrivenEventHasItsEffectOnce(t *testing.T) {
	work := choreo.NewStep[job, job]("work")
	saga := choreo.MustDefine[job]("jobs", 1, work.OwnedBy("shop").NoCompensation())
	choreotest.Run(t, []choreo.AnySaga{saga}, func(w *choreotest.World) {
		t := w.T()
		names, err := topics.NewNames("choreo")
		require.NoError(t, err)
		s := choreotest.Serve(w, "shop", func(p *participant.Participant[*outbox.Tx]) { participant.HandleForward(p, work, worker{}) })
		ref := choreotest.Start(s, saga, "handled", job{})
		w.Wait(ref)
		started := w.Records()[0]
		ev, err := topics.Decode(&started)
		require.NoError(t, err)
		ev.ID, ev.SagaID = "another", "lost"
		lost := topics.Encode(ev, started.Topic)
		dead := func(rec choreo.Record) choreo.Record {
			return topics.DeadLetter(&rec, names.DeadLetters(), names.Group("shop"), errors.New("too old"))
		}
		require.Nil(t, w.Log().Publish(w.Context(), []choreo.Record{dead(started), dead(lost)}))

		letters := topics.NewDeadLetters(w.Log(), names)
		groups, err := letters.Groups(w.Context())
		require.NoError(t, err)
		require.Len(t, groups, 1)
		for _, force := range []bool{false, false, true} {
			_, err := letters.Redrive(w.Context(), topics.Redrive{Group: groups[0].Key, By: "ada", Force: force})
			require.NoError(t, err)
			w.Advance(time.Second)
		}
		require.Equal(t, map[string]string{"handled": "+", "lost": "+"}, w.Database("shop").Snapshot().Tables["done"])
		n := 0
		for _, rec := range w.Records() {
			if typ, _ := rec.Header("ce_type"); string(typ) == string(choreo.Started) {
				n++
			}
		}
		require.Equal(t, 5, n, "one start, and two letters redriven twice")
	})
}
