package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/choreo-go/choreo/outbox"
)

var errNotUndoable = errors.New("the part of the transaction cannot be undone by itself")

// saved is what a transaction had written when a part of it began.
type saved struct {
	writes  map[cell]*string
	steps   map[outbox.SagaID]map[string]outbox.StepRow
	sagas   map[outbox.SagaID]outbox.SagaRow
	parked  map[outbox.SagaID][]outbox.Parked
	entries []*outbox.Entry
}

// Part begins a part of the transaction.
func (u *unit) Part(_ context.Context, undoable bool) error {
	if !u.own {
		return fmt.Errorf("begin a part: the transaction is its caller's: %w", errNotUndoable)
	}
	return u.tx.do(OpPart, func() error {
		u.part = nil
		if !undoable {
			return nil
		}
		u.part = &saved{
			writes: maps.Clone(u.tx.writes), steps: maps.Clone(u.tx.steps), sagas: maps.Clone(u.tx.sagas),
			parked: maps.Clone(u.tx.parked), entries: slices.Clone(u.tx.entries),
		}
		for saga, rows := range u.part.steps {
			u.part.steps[saga] = maps.Clone(rows)
		}
		return nil
	})
}

// UndoPart undoes what was done since Part. What it has read stays read.
func (u *unit) UndoPart(context.Context) error {
	return u.tx.do(OpUndoPart, func() error {
		part := u.part
		if part == nil {
			return errNotUndoable
		}
		u.part = nil
		u.tx.writes, u.tx.steps, u.tx.sagas, u.tx.parked, u.tx.entries = part.writes, part.steps, part.sagas, part.parked, part.entries
		return nil
	})
}
