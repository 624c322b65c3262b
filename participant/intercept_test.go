package participant

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
)

func TestAnInterceptorStandsAroundEveryCall(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	var calls []CallInfo
	s.cfg.Intercept = func(ctx context.Context, call CallInfo, next func(context.Context) error) error {
		calls = append(calls, call)
		if err := next(ctx); err != nil || call.Attempt > 1 || call.Run == choreo.RunCompensate {
			return err
		}
		return errors.New("answer lost")
	}
	s.read(createdEvent("17"), event(choreo.StepFailed, "ship", "17", "{}"))
	info := CallInfo{
		SagaID: "17", Saga: "order", Version: 1, Step: "charge", Run: choreo.RunExecute, Attempt: 1,
		IdempotencyKey: "17/charge/execute",
	}
	again, undo := info, info
	again.Attempt = 2
	undo.Run, undo.IdempotencyKey = choreo.RunCompensate, "17/charge/compensate"
	require.Equal(t, []CallInfo{info, again, undo}, calls)
	require.Equal(t, choreo.RowUndone, s.row("17").State)
	require.Equal(t, "0", s.held(), "what the first attempt wrote was rolled back")
}

func TestAnInterceptorCannotCompleteAStepByItself(t *testing.T) {
	s := newPayments(t, memory.NewDatabase())
	s.cfg.Intercept = func(context.Context, CallInfo, func(context.Context) error) error { return nil }
	s.read(createdEvent("17"))
	require.Equal(t, choreo.RowFailed, s.row("17").State)
	require.Contains(t, s.row("17").Failure.Message, "without having called the handler")
	require.Empty(t, s.charge.executed)
}
