package command_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/participant/choreotest"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/command"
)

type parcel struct{ To string }

var (
	pack  = choreo.NewStep[parcel, parcel]("pack")
	bill  = choreo.NewStep[parcel, parcel]("bill")
	carry = choreo.NewStep[parcel, parcel]("carry")

	once = choreo.FixedRetry(1, time.Hour)

	shipment = choreo.MustDefine[parcel]("shipment", 1,
		pack.OwnedBy("depot").UndoRetry(once),
		bill.OwnedBy("bank").After(pack).Retry(choreo.FixedRetry(3, time.Hour)).Pivot(),
		carry.OwnedBy("depot").After(bill).Retry(once),
	)
)

// handler fails as long as a test wants it to, and counts its effects.
type handler struct{ failing *bool }

var errAway = errors.New("the scales are away")

func (h handler) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[parcel]) (parcel, error) {
	if h.failing != nil && *h.failing {
		return parcel{}, errAway
	}
	return call.Input, note(tx, call.Step, call.SagaID, "+")
}

func (h handler) Compensate(_ context.Context, tx *memory.Tx, call *participant.Call[parcel], _ parcel) error {
	if h.failing != nil && *h.failing {
		return errAway
	}
	return note(tx, call.Step, call.SagaID, "-")
}

func note(tx *memory.Tx, step, saga, what string) error {
	before, _, err := tx.Get(step, saga)
	if err != nil {
		return err
	}
	return tx.Put(step, saga, before+what)
}

// twice writes every record twice, as a producer does whose acknowledgements get lost.
type twice struct{ log topics.Log }

func (l twice) Publish(ctx context.Context, records []choreo.Record) []error {
	if errs := l.log.Publish(ctx, records); errs != nil {
		return errs
	}
	return l.log.Publish(ctx, records)
}

// office is the two services, whose handlers fail as the test wants it.
type office struct {
	*choreotest.World
	t                   testing.TB
	packs, bills, carry bool // fail
	ref                 participant.Ref
	depot, bank         *choreotest.Service[*memory.Tx]
	commands            *command.Commander
	saga                command.Saga
}

var ada = command.Operator{By: "ada", Note: "it is time"}

// run starts the saga "7" before the test acts.
func run(t *testing.T, before, act func(*office)) {
	t.Helper()
	choreotest.Run(t, []choreo.AnySaga{shipment}, func(w *choreotest.World) {
		names, err := topics.NewNames("choreo")
		require.NoError(w.T(), err)
		o := &office{World: w, t: w.T(), commands: command.New(twice{w.Log()}, names, nil)}
		before(o)
		o.depot = choreotest.Serve(w, "depot", func(p *participant.Participant[*memory.Tx]) {
			participant.Handle(p, pack, handler{&o.packs})
			participant.HandleForward(p, carry, handler{&o.carry})
		})
		o.bank = choreotest.Serve(w, "bank", func(p *participant.Participant[*memory.Tx]) {
			if !w.Config.ParkUnhandled {
				participant.HandleForward(p, bill, handler{&o.bills})
			}
		})
		o.ref = choreotest.Start(o.depot, shipment, "7", parcel{To: "Ada"})
		w.Advance(time.Second)
		o.saga = command.Saga{Name: "shipment", Version: 1, ID: "7", Partition: w.Instance(o.ref).Partition}
		act(o)
		w.AssertOutboxEmpty()
	})
}

// since returns the events after the first n.
func (o *office) since(n int) []string { return o.Events(o.ref)[n:] }

// answered checks that one event reacts to the command, and by whom it says it was given.
func (o *office) answered(id string, want choreo.EventType) *choreo.Event {
	o.t.Helper()
	var answers []*choreo.Event
	for _, rec := range o.Records() {
		ev, err := topics.Decode(&rec)
		require.NoError(o.t, err)
		if ev.CausationID == id && ev.Type == want {
			answers = append(answers, ev)
		}
	}
	require.Len(o.t, answers, 1)
	require.Equal(o.t, "ada", answers[0].By)
	require.Equal(o.t, "it is time", answers[0].Note)
	require.Equal(o.t, o.saga.Partition, answers[0].Partition)
	return answers[0]
}

func (o *office) held(service, step string) string {
	return o.Database(service).Snapshot().Tables[step]["7"]
}

func TestCancel(t *testing.T) {
	for name, force := range map[string]bool{"plain": false, "by force": true} {
		t.Run(name, func(t *testing.T) {
			run(t, func(o *office) { o.bills = true }, func(o *office) {
				give := o.commands.Cancel
				if force {
					give = o.commands.ForceAbort
				}
				id, err := give(o.Context(), o.saga, ada)
				require.NoError(o.t, err)
				o.Wait(o.ref)
				o.AssertStatus(o.ref, choreo.StatusCompensated)
				require.Equal(o.t, force, o.answered(id, choreo.Aborted).Force)
				require.Equal(o.t, "+-", o.held("depot", "pack"))
			})
		})
	}
}

// Where nobody knows the home partition, the initiator passes the request on.
func TestCancelWithoutTheHomePartition(t *testing.T) {
	run(t, func(o *office) { o.bills = true }, func(o *office) {
		saga := o.saga
		saga.Partition = choreo.AnyPartition
		_, err := o.commands.Cancel(o.Context(), saga, ada)
		require.NoError(o.t, err)
		o.Wait(o.ref)
		o.AssertStatus(o.ref, choreo.StatusCompensated)
		require.Equal(o.t, "+-", o.held("depot", "pack"))
	})
}

func TestRetry(t *testing.T) {
	run(t, func(o *office) { o.bills = true }, func(o *office) {
		o.bills = false
		n := len(o.Events(o.ref))
		_, err := o.commands.Retry(o.Context(), o.saga, "bill", ada)
		require.NoError(o.t, err)
		o.Advance(time.Second) // its own retry is due in an hour
		o.AssertStatus(o.ref, choreo.StatusCompleted)
		require.Contains(o.t, o.since(n), "completed bill")
		require.Equal(o.t, "+", o.held("bank", "bill"))

		id, err := o.commands.Retry(o.Context(), o.saga, "bill", ada)
		require.NoError(o.t, err)
		o.Advance(time.Second)
		o.answered(id, choreo.CommandRejected)
		require.Equal(o.t, "+", o.held("bank", "bill"))
	})
}

func TestResolveDone(t *testing.T) {
	run(t, func(o *office) { o.carry = true }, func(o *office) {
		o.AssertStatus(o.ref, choreo.StatusStuck)
		id, err := o.commands.ResolveDone(o.Context(), o.saga, "carry",
			command.Payload{ContentType: "application/json", Data: []byte(`{"To":"Grace"}`)}, ada)
		require.NoError(o.t, err)
		o.Advance(time.Second)
		o.AssertStatus(o.ref, choreo.StatusCompleted)
		require.JSONEq(o.t, `{"To":"Grace"}`, string(o.answered(id, choreo.StepCompleted).Payload))
		require.Empty(o.t, o.held("depot", "carry"))
	})
}

func TestResolveUndone(t *testing.T) {
	run(t, func(o *office) { o.bills = true }, func(o *office) {
		o.packs = true
		_, err := o.commands.Cancel(o.Context(), o.saga, ada)
		require.NoError(o.t, err)
		o.Advance(time.Second)
		o.AssertStatus(o.ref, choreo.StatusStuck)
		id, err := o.commands.ResolveUndone(o.Context(), o.saga, "pack", ada)
		require.NoError(o.t, err)
		o.Wait(o.ref)
		o.AssertStatus(o.ref, choreo.StatusCompensated)
		o.answered(id, choreo.StepCompensated)
		require.Equal(o.t, "+", o.held("depot", "pack"), "somebody has undone it by hand")
	})
}

func TestRelease(t *testing.T) {
	run(t, func(o *office) { o.Config.ParkUnhandled = true }, func(o *office) {
		o.AssertStatus(o.ref, choreo.StatusParked)
		id, err := o.commands.Release(o.Context(), o.saga, "bank", ada)
		require.NoError(o.t, err)
		o.Advance(time.Second)
		require.Equal(o.t, "no-handler", o.answered(id, choreo.ReleaseRejected).Failure.Code)

		o.Config.ParkUnhandled = false
		o.bank.Restart()
		o.Wait(o.ref)
		o.AssertStatus(o.ref, choreo.StatusCompleted)
	})
}

func TestWhatMakesNoSenseIsRefusedBeforeItIsWritten(t *testing.T) {
	run(t, func(*office) {}, func(o *office) {
		n := len(o.Records())
		ctx, c := o.Context(), o.commands
		some := command.Payload{ContentType: "application/json", Data: []byte("{}")}
		refused := func(says string, err error) {
			o.t.Helper()
			require.ErrorContains(o.t, err, says)
		}
		_, err := c.Cancel(ctx, o.saga, command.Operator{})
		refused("say who gives the command", err)
		_, err = c.Cancel(ctx, o.saga, command.Operator{By: "ada", Note: strings.Repeat("x", 5000)})
		refused("5000 bytes long: at most 4096", err)
		_, err = c.Cancel(ctx, command.Saga{}, ada)
		refused("the saga's name is empty", err)
		refused("the version is 0", err)
		refused("the saga's id is empty", err)
		_, err = c.Cancel(ctx, command.Saga{Name: "shipment", Version: 1, ID: "a\nb", Partition: -7}, ada)
		refused("control character", err)
		refused("the partition is -7", err)
		_, err = c.Retry(ctx, o.saga, "", ada)
		refused("the step is empty", err)
		_, err = c.Retry(ctx, o.saga, "a\x00b", ada)
		refused("ce_step", err)
		_, err = c.Release(ctx, o.saga, "", ada)
		refused("the service is empty", err)
		_, err = c.ResolveDone(ctx, o.saga, "carry", command.Payload{}, ada)
		refused("give the encoded payload", err)
		_, err = c.ResolveDone(ctx, o.saga, "carry", command.Payload{Data: some.Data}, ada)
		refused("content type is missing", err)
		_, _, err = c.Start(ctx, command.Start{Saga: "shipment", Version: 1, Input: some}, ada)
		refused("the service is empty", err)
		_, _, err = c.Start(ctx, command.Start{Saga: "shipment", Version: 1, Service: "depot", Input: some, Tags: map[string]string{"Ä": ""}}, ada)
		refused(`its name holds 'Ä'`, err)
		_, err = c.Cancel(ctx, command.Saga{Name: "other", Version: 1, ID: "7"}, ada)
		require.ErrorIs(o.t, err, topics.ErrUnknownTopic)
		require.Len(o.t, o.Records(), n)
	})
}

func TestStart(t *testing.T) {
	run(t, func(*office) {}, func(o *office) {
		start := command.Start{
			Saga: "shipment", Version: 1, ID: "8", Service: "depot", Tags: map[string]string{"customer": "c-1"},
			Input: command.Payload{ContentType: "application/json", Data: []byte(`{"To":"Grace"}`)},
		}
		sagaID, id, err := o.commands.Start(o.Context(), start, ada)
		require.NoError(o.t, err)
		require.Equal(o.t, "8", sagaID)
		ref := participant.Ref{Saga: "shipment", SagaID: "8"}
		o.Wait(ref)
		o.AssertStatus(ref, choreo.StatusCompleted)
		require.Equal(o.t, "+", o.Database("depot").Snapshot().Tables["pack"]["8"])
		for _, rec := range o.Records() {
			ev, err := topics.Decode(&rec)
			require.NoError(o.t, err)
			if ev.Type == choreo.Started && ev.SagaID == "8" {
				require.Equal(o.t, id, ev.CausationID)
				require.Equal(o.t, start.Tags, ev.Tags)
			}
		}
		start.ID = ""
		sagaID, _, err = o.commands.Start(o.Context(), start, ada)
		require.NoError(o.t, err)
		require.NotEmpty(o.t, sagaID)
		o.Wait(participant.Ref{Saga: "shipment", SagaID: sagaID})
	})
}
