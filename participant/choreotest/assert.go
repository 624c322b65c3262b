package choreotest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
)

// AssertStatus fails the test where the saga stands otherwise.
func (w *World) AssertStatus(ref participant.Ref, want choreo.Status) {
	w.t.Helper()
	in := w.Instance(ref)
	if in == nil || in.Status != want {
		w.t.Errorf("saga %s %q should be %s\n%s", ref.Saga, ref.SagaID, want, w.Story(ref))
	}
}

// AssertEvents fails the test where the saga's events are not these, as [Line] writes
// them and in this order.
func (w *World) AssertEvents(ref participant.Ref, want ...string) {
	w.t.Helper()
	w.assertLines(ref, "events", want, w.Events(ref))
}

// AssertEventsInAnyOrder is [World.AssertEvents] for sagas in which services work side by
// side, so that their events have no order.
func (w *World) AssertEventsInAnyOrder(ref participant.Ref, want ...string) {
	w.t.Helper()
	w.assertLines(ref, "events, in any order,", slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(w.Events(ref))))
}

// AssertRows fails the test where the rows of the saga's steps are not these, as
// [World.Rows] writes them.
func (w *World) AssertRows(ref participant.Ref, want ...string) {
	w.t.Helper()
	w.assertLines(ref, "rows", want, w.Rows(ref))
}

func (w *World) assertLines(ref participant.Ref, what string, want, got []string) {
	w.t.Helper()
	if !slices.Equal(want, got) {
		w.t.Errorf("saga %s %q has other %s than expected\n%s%s", ref.Saga, ref.SagaID, what, diff(want, got), w.Story(ref))
	}
}

// diff shows two lists side by side as one: "-" is missing, "+" was not expected.
func diff(want, got []string) string {
	// The longest common part, from the ends.
	length := make([][]int, len(want)+1)
	for i := range length {
		length[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var b strings.Builder
	for i, j := 0, 0; i < len(want) || j < len(got); {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			fmt.Fprintf(&b, "    %s\n", want[i])
			i, j = i+1, j+1
		case j == len(got) || (i < len(want) && length[i+1][j] >= length[i][j+1]):
			fmt.Fprintf(&b, "  - %s\n", want[i])
			i++
		default:
			fmt.Fprintf(&b, "  + %s\n", got[j])
			j++
		}
	}
	return b.String()
}

// AssertOutboxEmpty fails the test where an outbox of the world still holds what was not
// published some seconds later.
func (w *World) AssertOutboxEmpty() {
	w.t.Helper()
	w.quiesce()
	ctx, cancel := context.WithTimeout(w.ctx, settleTime)
	defer cancel()
	for {
		left, err := w.outboxes()
		if left == "" && err == nil {
			return
		}
		timer := time.NewTimer(10 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if err != nil {
				left += err.Error()
			}
			w.t.Errorf("the outboxes should be empty:\n%s", left)
			return
		}
	}
}

func (w *World) outboxes() (string, error) {
	var b strings.Builder
	for _, s := range w.list() {
		backlog, err := s.backlog()
		if err != nil {
			return "", fmt.Errorf("look at the outbox of %s: %w", s.service(), err)
		}
		if n := backlog.Entries; n > 0 {
			fmt.Fprintf(&b, "  %s: %d waiting, the oldest for %v\n", s.service(), n, backlog.Oldest.Round(time.Millisecond))
		}
	}
	return b.String(), nil
}
