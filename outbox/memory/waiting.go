package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Waiting tells what waits. The age of a row is that of the row of its saga that was written
// last.
func (s *Store) Waiting(ctx context.Context, limit int) (outbox.Waiting, error) {
	if err := errors.Join(ctx.Err(), s.before(Effect{Op: OpWaiting})); err != nil {
		return outbox.Waiting{}, fmt.Errorf("waiting: %w", err)
	}
	w, err := s.waitingNow(limit)
	if err == nil {
		err = s.after(Effect{Op: OpWaiting})
	}
	if err != nil {
		return outbox.Waiting{}, fmt.Errorf("waiting: %w", err)
	}
	return w, nil
}

func (s *Store) waitingNow(limit int) (w outbox.Waiting, err error) {
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := s.usable(); err != nil {
		return w, err
	}
	now := db.now()
	for saga, steps := range db.steps {
		for _, row := range steps {
			at, due := db.due[dueRow{saga, row.Step}]
			if !due && !outbox.WithoutTime(row.State) {
				continue
			}
			r := outbox.WaitingRow{
				SagaID: saga, Version: row.Version, Step: row.Step, State: row.State, Stuck: row.Stuck, Attempt: row.Attempt,
				Age: max(now.Sub(db.written[saga]), time.Microsecond), Failure: cloneRow(row.Row).Failure,
			}
			if due {
				r.DueIn = max(at.Sub(now), time.Microsecond)
			}
			if row.State == choreo.RowParked && due {
				w.Parked++
			}
			w.Rows = append(w.Rows, r)
		}
	}
	for _, row := range db.sagas {
		switch row.State {
		case choreo.RowOpen:
			w.Open++
		case choreo.RowQueued:
			w.Queued++
		default: // closed
		}
	}
	w.Parked, w.Open, w.Queued = min(w.Parked, outbox.WaitingMax), min(w.Open, outbox.WaitingMax), min(w.Queued, outbox.WaitingMax)
	slices.SortFunc(w.Rows, func(a, b outbox.WaitingRow) int {
		return cmp.Or(cmp.Compare(a.DueIn, b.DueIn), cmp.Compare(b.Age, a.Age), compare(a.SagaID, b.SagaID), cmp.Compare(a.Step, b.Step))
	})
	w.Rows = w.Rows[:min(len(w.Rows), limit)]
	return w, nil
}
