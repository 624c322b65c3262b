package choreotest

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/schema"
)

// blind is a codec that cannot read what reserve and charge get.
type blind struct{ schema.JSON }

func (c blind) Decode(data []byte, into any) error {
	if _, ok := into.(*created); ok {
		return errors.New("field Total is gone")
	}
	return c.JSON.Decode(data, into)
}

func TestWaitTellsWhereASagaIsParked(t *testing.T) {
	fake := play(t, orders, func(w *World) {
		w.Config.Codec = blind{}
		w.Wait(Start(shop{}.open(w), order, "o-1", placed{}))
	})
	head, story, _ := strings.Cut(fake.text(), "\n")
	require.Contains(t, head, `saga order "o-1" did not come to rest: 24h0m0s have passed; service payments has parked it (undecodable-payload, tried again`)
	require.Contains(t, head, `step "charge" of order/1 cannot read the output of step "create": field Total is gone.`)
	require.Contains(t, head, "; service stock has parked it")
	require.Contains(t, story, "saga order \"o-1\" (version 1) is parked")
	require.Contains(t, story, "parked in stock: permanent undecodable-payload")
	require.Contains(t, story, "service payments has parked it (undecodable-payload")
}

func TestAParkedSagaGoesOnWithANewBuild(t *testing.T) {
	var history []choreo.Record
	Run(t, orders, func(w *World) {
		Serve(w, "stock", shop{}.stock)
		Serve(w, "shipping", shop{}.shipping)
		s := Serve(w, "orders", shop{}.orders)
		w.Config.Codec = blind{}
		payments := Serve(w, "payments", shop{}.payments)
		ref := Start(s, order, "o-1", placed{})
		w.WaitFor(ref, "be parked", func(in *choreo.Instance) bool { return len(in.Parked) > 0 })
		w.Advance(30 * time.Minute)
		w.AssertStatus(ref, choreo.StatusParked)

		w.Config.Codec = nil
		payments.Restart()
		in := w.Wait(ref)
		w.AssertStatus(ref, choreo.StatusCompleted)
		require.Less(t, in.EndedAt.Sub(in.StartedAt), 31*time.Minute, "it is tried when a build starts")
		w.AssertEventsInAnyOrder(ref, "started", "completed create", "completed reserve", "completed wrap",
			"parked in payments: permanent undecodable-payload", "completed charge", "released in payments",
			"completed ship", "completed letter")
		require.Equal(t, everyStep, held(w, "o-1"))
		w.AssertOutboxEmpty()
		history = w.Records()
	})
	serve := func(w *World) { shop{}.open(w) }
	require.Empty(t, Divergences(t, history, order, serve, nil), "that it was parked is nothing to the way it took")
	parts := Divergences(t, history, order, func(w *World) { w.Config.Codec = blind{}; serve(w) }, nil)
	require.Len(t, parts, 1)
	require.Contains(t, parts[0].Replayed, "parked in payments: permanent undecodable-payload")
}

func TestAParkedSagaGoesOnOverSQLite(t *testing.T) {
	Run(t, orders, func(w *World) {
		tries := 0
		w.Config.ParkUnhandled = true
		s, db := openWithSQLite(w, ledger{}, func() bool { tries++; return tries > 1 })
		ref := Start(s, order, "o-1", placed{})
		w.WaitFor(ref, "be parked", func(in *choreo.Instance) bool { return len(in.Parked) > 0 })
		ada := participant.Operator{By: "ada", Note: "is it there?"}
		require.NoError(t, participant.Release(w.Context(), s.Participant(), order, "o-1", "payments", ada))
		rejected := "release-rejected in payments: permanent no-handler"
		w.WaitFor(ref, "be rejected", func(*choreo.Instance) bool { return strings.Contains(w.Story(ref), rejected) })
		require.NoError(t, participant.Cancel(w.Context(), s.Participant(), order, "o-1", "too slow"))
		w.Advance(time.Minute)
		require.Zero(t, charges(w, db))
		w.services["payments"].(*Service[*sql.Tx]).Restart()
		w.Wait(ref)
		w.AssertStatus(ref, choreo.StatusCompensated)
		require.Zero(t, charges(w, db), "it was charged, and undone")
		lines := w.Events(ref)
		require.Contains(t, lines, "compensated charge")
		require.Contains(t, lines, rejected)
		require.Contains(t, lines, "released in payments")
		w.AssertOutboxEmpty()
	})
}

func TestQueuedSagasComeToRestAndAreTold(t *testing.T) {
	Run(t, orders, func(w *World) {
		w.Config.MaxOpenSagas = 2
		s := shop{charge: func(call *participant.Call[created]) (receipt, error) {
			if call.Attempt == 1 {
				return receipt{}, choreo.RetryAfter(time.Minute, errors.New("gateway is away"))
			}
			return receipt{}, nil
		}}.open(w)
		var refs []participant.Ref
		for i := range 10 {
			refs = append(refs, Start(s, order, fmt.Sprint(i), placed{}))
		}
		w.Advance(time.Second)
		require.Contains(t, w.Story(refs[9]), "service orders has it in its queue: Config.MaxOpenSagas (2) others are open")
		require.Nil(t, w.Instance(refs[9]))
		for _, ref := range refs {
			w.Wait(ref)
			w.AssertStatus(ref, choreo.StatusCompleted)
		}
	})
}

// Processes come and go while sagas are parked and queued.
func TestAParkedSagaOutlivesItsProcesses(t *testing.T) {
	Run(t, orders, func(w *World) {
		w.Config.MaxOpenSagas = 1
		s := shop{}.open(w)
		payments := w.services["payments"].(*Service[*memory.Tx])
		for i := range 10 {
			ref := Start(s, order, fmt.Sprint(i), placed{})
			w.Config.Codec = blind{}
			payments.Restart()
			w.WaitFor(ref, "be parked", func(in *choreo.Instance) bool { return len(in.Parked) > 0 })
			w.Config.Codec = nil
			payments.Kill()
			payments.Restart()
			w.Wait(ref)
			require.Equal(t, everyStep, held(w, ref.SagaID))
		}
	})
}
