package table

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Sagas returns the sagas without repetitions, in the one order in which units lock
// them, or an error for an id that cannot be stored.
func Sagas(sagas []outbox.SagaID) ([]outbox.SagaID, error) {
	for _, id := range sagas {
		if !isText(id.ID) || !isText(id.Saga) {
			return nil, fmt.Errorf("saga %q %q: its name and id must be UTF-8 without NUL", id.Saga, id.ID)
		}
	}
	sorted := slices.Clone(sagas)
	slices.SortFunc(sorted, func(a, b outbox.SagaID) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Saga, b.Saga))
	})
	return slices.Compact(sorted), nil
}

// Named returns an error for a saga that was not named when the unit began.
func (l Loaded) Named(id outbox.SagaID) error {
	if _, ok := l[id]; !ok {
		return fmt.Errorf("saga %s %q: the saga was not named when the unit began, so it is not locked", id.Saga, id.ID)
	}
	return nil
}

// Check looks for what a unit of work must not write, and reports all of it.
func (l Loaded) Check(c *outbox.Changes) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	locked := func(what string, id outbox.SagaID) {
		if err := l.Named(id); err != nil {
			fault("%s of %w", what, err)
		}
	}
	for i := range c.Steps {
		r := &c.Steps[i]
		locked("step "+r.Step, r.SagaID)
		if r.Step == choreo.SagaRow || !isText(r.Step) {
			fault("step %q of saga %s %q: a step's name must be UTF-8 without NUL, and not empty", r.Step, r.SagaID.Saga, r.SagaID.ID)
		}
	}
	for i := range c.Sagas {
		locked("row", c.Sagas[i].SagaID)
	}
	for i := range c.Park {
		p := &c.Park[i]
		locked("parked record", p.SagaID)
		if !isText(p.Record.Topic) {
			fault("parked record %d: its topic %q must be UTF-8 without NUL", i, p.Record.Topic)
		}
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		if err := uuid.Validate(e.ID); err != nil {
			fault("entry %d: its id %q is not a UUID", i, e.ID)
		}
		if !isText(e.Type) || !isText(e.Record.Topic) {
			fault("entry %d: its type %q and topic %q must be UTF-8 without NUL", i, e.Type, e.Record.Topic)
		}
	}
	return errors.Join(faults...)
}
