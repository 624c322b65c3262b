package choreo

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// takenApart copies what anybody can see of an instance, and its hidden part.
func takenApart(in *Instance) (Instance, Hidden) {
	seen := Instance{
		ID: in.ID, Saga: in.Saga, Version: in.Version, Initiator: in.Initiator, Partition: in.Partition, Status: in.Status,
		CauseStep: in.CauseStep, Cause: in.Cause, StartedAt: in.StartedAt, UpdatedAt: in.UpdatedAt, EndedAt: in.EndedAt,
	}
	seen.Steps = append(seen.Steps, in.Steps...)
	seen.Parked = append(seen.Parked, in.Parked...)
	return seen, in.Hidden()
}

func TestAnInstanceThatIsRestoredAnywhereEndsAsTheFoldOfTheWholeLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		events := anyEvents(t, d)
		for i, ev := range events {
			ev.Time, ev.SagaID = minute(i), "7"
			ev.Source = rapid.SampledFrom([]string{"one", "two"}).Draw(t, "source")
			ev.ID = fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "id"))
		}
		cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
		whole, first := NewInstance(d), NewInstance(d)
		for i, ev := range events {
			whole.Apply(ev)
			if i < cut {
				first.Apply(ev)
			}
		}
		seen, hidden := takenApart(first)
		rest, err := Restore(d, seen, hidden)
		require.NoError(t, err)
		for _, ev := range events[cut:] {
			rest.Apply(ev)
		}
		require.Equal(t, instanceText(whole), instanceText(rest))
		if len(whole.Parked) == 0 {
			whole.Parked, rest.Parked = nil, nil
		}
		require.Equal(t, whole, rest)
	})
}

func TestRestoreRefusesTheStepsOfAnotherDefinition(t *testing.T) {
	d, other := definition(t, "a @one\nb @two after a"), definition(t, "a @one\nc @two after a")
	seen, hidden := takenApart(NewInstance(other))
	_, err := Restore(d, seen, hidden)
	require.ErrorContains(t, err, "its steps are not those of the definition")
	seen.Version = 2
	_, err = Restore(d, seen, hidden)
	require.ErrorContains(t, err, "the definition is story/1")
}
