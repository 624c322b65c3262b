package main

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/topics"
)

func record(id string, t choreo.EventType, step choreo.StepRef, second int64, failure *choreo.Failure) choreo.Record {
	ev := &choreo.Event{
		ID: uuid.NewString(), Type: t, Saga: "order", Version: 1, SagaID: id,
		Source: "test", Initiator: contract.Orders, Time: time.Unix(second, 0), Failure: failure,
	}
	if step != nil {
		ev.Step = step.Name()
	}
	return topics.Encode(ev, "choreo.order.events")
}

func isDone(w *watcher) bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func TestWatcherWaitsForEverySagaItWasToldOf(t *testing.T) {
	w := newWatcher()
	fold := func(records ...choreo.Record) {
		require.NoError(t, w.fold(context.Background(), records))
	}
	refused := &choreo.Failure{Class: choreo.ClassRefused, Code: contract.OutOfStock}
	w.expect("a")
	fold(
		record("a", choreo.Started, nil, 1, nil),
		record("a", choreo.StepCompleted, contract.CreateOrder, 2, nil),
		record("a", choreo.StepFailed, contract.ReserveStock, 3, refused),
		record("a", choreo.StepCompensated, contract.CreateOrder, 5, nil),
	)
	sagas, resting := w.counts()
	require.Equal(t, []int{1, 1}, []int{sagas, resting})
	require.False(t, isDone(w), "not all orders are fed")

	w.expect("b")
	w.expect("b")
	w.allFed()
	require.False(t, isDone(w), "b is not in the log yet")

	fold(record("c", choreo.Started, nil, 1, nil)) // of an earlier run
	fold(record("b", choreo.Started, nil, 1, nil), record("b", choreo.StepFailed, contract.CreateOrder, 2, nil))
	require.False(t, isDone(w), "c is not at rest")

	fold(choreo.Record{Value: []byte("not an event")})
	fold(record("c", choreo.StepCompleted, contract.CreateOrder, 2, nil),
		record("c", choreo.StepCompleted, contract.ReserveStock, 2, nil),
		record("c", choreo.StepFailed, contract.ChargePayment, 2, nil),
		record("c", choreo.CompensationFailed, contract.ReserveStock, 3, nil))
	require.True(t, isDone(w), "a stuck saga is at rest: it waits for an operator")
	fold(record("a", choreo.Started, nil, 1, nil)) // a duplicate after the end

	got := w.tally()
	require.Equal(t, 3, got.sagas)
	require.Equal(t, 0, got.completed)
	require.Equal(t, 2, got.compensated)
	require.Equal(t, 1, got.stuck)
	require.Equal(t, map[string]int{contract.OutOfStock: 1, "unknown": 1}, got.refusals)
	require.Equal(t, []time.Duration{time.Second, 4 * time.Second}, got.times)
	require.Equal(t, stepTally{name: "create-order", owner: "orders", executed: 2, failed: 1, undone: 1}, got.steps[0])
	require.Equal(t, stepTally{name: "reserve-stock", owner: "inventory", executed: 1, failed: 1}, got.steps[1])
	require.Equal(t, 3, got.executed())
	require.Equal(t, 1, got.undone())
}

func TestWatcherIsDoneWithoutAnyOrder(t *testing.T) {
	w := newWatcher()
	w.allFed()
	require.True(t, isDone(w))
}
