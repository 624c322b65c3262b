package participant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

var (
	order2 = choreo.MustDefine[placed]("order", 2,
		create.OwnedBy("orders"),
		charge.OwnedBy("payments").After(create).Retry(fast).UndoRetry(fast),
		ship.OwnedBy("shipping").After(charge).Uses(create).NoCompensation(),
	)
	both = Config{Sagas: []choreo.AnySaga{order, order2}}
)

// old is JSON to a build that cannot read what holds this word.
type oldCodec struct {
	schema.JSON
	word string
}

func (c oldCodec) Decode(data []byte, into any) error {
	if slices.Contains(words(data), c.word) {
		return fmt.Errorf("unknown word %q", c.word)
	}
	return c.JSON.Decode(data, into)
}

func words(data []byte) []string {
	return slices.Collect(func(yield func(string) bool) {
		begin := -1
		for i, b := range append(slices.Clone(data), ' ') {
			letter := b >= 'a' && b <= 'z'
			switch {
			case letter && begin < 0:
				begin = i
			case !letter && begin >= 0:
				if !yield(string(data[begin:i])) {
					return
				}
				begin = -1
			}
		}
	})
}

// euros is an output of the step before that an oldCodec cannot read.
const euros = `{"Total":42,"In":"euros"}`

// build is how the service stands before and after a deployment.
type build struct {
	name     string
	old, new Config
	version  int
	payload  string
	code     string
	says     string
}

// builds are the reasons why a build parks a saga that another can go on with.
var builds = []build{
	{
		name: "unknown version", new: both, version: 2, payload: `{"Total":42}`, code: "unknown-version",
		says: "version 2 of saga order is not known to this build. Run one whose Config.Sagas has it",
	},
	{
		name: "payload", old: Config{Codec: oldCodec{word: "euros"}}, version: 1, payload: euros, code: "undecodable-payload",
		says: `step "charge" of order/1 cannot read the output of step "create": unknown word "euros". Run a build that can`,
	},
	{
		name: "no handler", old: Config{ParkUnhandled: true}, version: 1, payload: `{"Total":42}`, code: "no-handler",
		says: `step "charge" of order/1 has no handler in this build. Run one that registers it with Handle`,
	},
}

// each runs a test for every reason.
func each(t *testing.T, f func(t *testing.T, b build)) {
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, b) }) })
	}
}

// trigger has the step run, failed has it undone.
func (b build) trigger(saga string) *choreo.Event {
	ev := createdEvent(saga)
	ev.Version, ev.Payload = b.version, []byte(b.payload)
	return ev
}

func (b build) failed(saga string) *choreo.Event {
	ev := event(choreo.StepFailed, "ship", saga, "{}")
	ev.Version = b.version
	ev.Failure = &choreo.Failure{Class: choreo.ClassRefused, Code: "no-van"}
	return ev
}

func (b build) releaseRequest(saga, note string) *choreo.Event {
	ev := event(choreo.ReleaseRequested, "", saga, "{}")
	ev.Version, ev.Target, ev.By, ev.Note, ev.Initiator = b.version, "payments", "ada", note, ""
	return ev
}

// act acts on what is due until nothing is.
func (s *payments) act() {
	s.t.Helper()
	for {
		due, _, err := s.look(s.t.Context())
		require.NoError(s.t, err)
		if len(due) == 0 {
			return
		}
		for _, row := range due {
			s.actOn(s.t.Context(), row)
		}
	}
}

// marker is the row of a saga that is parked.
func marker(db *memory.Database, saga string) choreo.Row {
	for _, row := range db.Snapshot().Steps {
		if row.SagaID.ID == saga && row.Step == choreo.ParkedRow {
			return row.Row
		}
	}
	return choreo.Row{}
}

// queue returns the types of the events that are parked of a saga.
func queue(t *testing.T, db *memory.Database, saga string) (list []choreo.EventType) {
	t.Helper()
	for _, p := range db.Snapshot().Parked {
		if p.SagaID.ID == saga {
			ev, err := topics.Decode(&p.Record)
			require.NoError(t, err)
			list = append(list, ev.Type)
		}
	}
	return list
}

const (
	parkedEvent      = "choreo.saga.parked "
	releasedEvent    = "choreo.saga.released "
	rejectedEvent    = "choreo.saga.release-rejected "
	completedEvent   = "choreo.step.completed charge"
	compensatedEvent = "choreo.step.compensated charge"
)

// goneThrough is what is emitted where a saga is parked, released, and then as if nothing had been.
var goneThrough = []string{parkedEvent, completedEvent, compensatedEvent, releasedEvent}

// last decodes the last entry of the outbox.
func (s *payments) last() *choreo.Event {
	s.t.Helper()
	entries := s.db.Snapshot().Entries
	ev, err := topics.Decode(&entries[len(entries)-1].Record)
	require.NoError(s.t, err)
	return ev
}

// crashAtEach has a process crash at each effect of what it does, and checks what is left.
func crashAtEach(t *testing.T, prepare func(*memory.Database), cfg Config, do func(*payments, context.Context), check func(db *memory.Database, at int)) {
	t.Helper()
	for at, done := 1, false; !done; at++ {
		db := memory.NewDatabase()
		prepare(db)
		s := newPaymentsWith(t, db, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		s.memory.SetHook(func(memory.Effect) error {
			if seen++; seen == at {
				cancel()
				s.memory.Kill()
				return errors.New("crash")
			}
			return nil
		})
		do(s, ctx)
		done = ctx.Err() == nil // it came to its end
		cancel()
		require.False(t, done && at < 10, "only %d effects", at)
		check(db, at)
	}
}
