package choreotest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/topics"
)

// ReplayConfig configures [Replay]. It may be nil.
type ReplayConfig struct {
	// ComparePayloads has the outputs of steps compared, too, byte by byte. Default: only
	// types, steps, and the classes and codes of failures are.
	ComparePayloads bool
}

// Divergence is the first place where new code takes a saga another way than its
// history did.
type Divergence struct {
	Ref      participant.Ref
	History  []string // the saga's events up to here, as Line writes them
	Recorded string   // the next event of the history; empty: it ends here
	Replayed []string // what the new code emitted and the history has not
	Why      string
}

// String tells the divergence as a story.
func (d *Divergence) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "saga %s %q takes another way: %s\n", d.Ref.Saga, d.Ref.SagaID, d.Why)
	for _, line := range d.History {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	if d.Recorded != "" {
		fmt.Fprintf(&b, "  - %s\n", d.Recorded)
	}
	for _, line := range d.Replayed {
		fmt.Fprintf(&b, "  + %s\n", line)
	}
	return b.String()
}

// Replay fails the test where the given definition, with the handlers that serve
// registers, would take a recorded saga another way than its log tells: does version 2
// still take this history the same way? serve sets a world up as for [Run], with
// databases in the state from which the history began; it starts no sagas.
//
// records are the log of sagas that have ended (see [World.Records] and [LoadLog]) in
// the order of their partitions; other sagas and repeated events are passed over. The
// new code is fed the recorded events one by one, with the pauses between them on
// virtual time, and what its services emit is compared instead of published. So each
// step gets the input that it had. Requests to abort and the answers of
// steps that are pending come from outside and are taken from the history. Where a
// service was down for long, the history holds its answers late, and the new code's
// come at once: that alone is no divergence. Nor is that a service had parked the saga for
// a while; that the new code parks it is one.
func Replay(t *testing.T, records []choreo.Record, saga choreo.AnySaga, serve func(w *World), config *ReplayConfig) {
	t.Helper()
	for _, d := range Divergences(t, records, saga, serve, config) {
		t.Error(d.String())
	}
}

// Divergences is [Replay] for those who judge for themselves: it returns the first
// divergence of each saga, in the order of their occurrence.
func Divergences(t *testing.T, records []choreo.Record, saga choreo.AnySaga, serve func(w *World), config *ReplayConfig) []Divergence {
	t.Helper()
	var found []Divergence
	Run(t, []choreo.AnySaga{saga}, func(w *World) {
		found = w.replay(records, saga.Def(), serve, config)
	})
	return found
}

// history is a saga while it is replayed.
type history struct {
	lines  []string // that were replayed
	ahead  []string // that were not
	parted bool
}

type replay struct {
	w         *World
	def       *choreo.Definition
	payloads  bool
	histories map[sagaID]*history
	order     []sagaID
	found     []Divergence
}

func (w *World) replay(records []choreo.Record, def *choreo.Definition, serve func(*World), config *ReplayConfig) []Divergence {
	w.t.Helper()
	w.replaying = true
	serve(w)
	r := &replay{w: w, def: def, histories: make(map[sagaID]*history)}
	if config != nil {
		r.payloads = config.ComparePayloads
	}
	events := recorded(records, def.Name())
	if len(events) == 0 {
		w.t.Fatalf("choreotest: the records hold no event of saga %s: there is nothing to replay", def.Name())
	}
	for _, ev := range events {
		h := r.of(ev)
		h.ahead = append(h.ahead, Line(ev))
	}
	var last time.Time
	for _, ev := range events {
		if gap := ev.Time.Sub(last); gap > 0 && !last.IsZero() {
			w.Advance(gap)
		}
		if ev.Time.After(last) {
			last = ev.Time
		}
		if err := r.step(ev); err != nil {
			w.t.Fatalf("choreotest: replay %q of saga %s: %v", Line(ev), ev.SagaID, err)
		}
	}
	w.Advance(lateEmission)
	for _, id := range r.order {
		if len(r.surplus(id)) > 0 {
			r.part(id, nil, "the history ends, and now it would go on")
		}
	}
	return r.found
}

// recorded returns the events of a saga's log, without repetitions.
func recorded(records []choreo.Record, saga string) []*choreo.Event {
	var events []*choreo.Event
	seen := make(map[string]bool)
	for i := range records {
		ev, err := topics.Decode(&records[i])
		if err != nil || ev.Saga != saga || seen[ev.ID] || aside(ev.Type) {
			continue
		}
		seen[ev.ID] = true
		events = append(events, ev)
	}
	return events
}

// aside reports whether an event tells of a build that could not go on with the saga, or of who
// asked for its start, and nothing of the way that the saga takes.
func aside(t choreo.EventType) bool {
	switch t {
	case choreo.SagaParked, choreo.SagaReleased, choreo.ReleaseRequested, choreo.ReleaseRejected,
		choreo.StartRequested, choreo.StartRejected:
		return true
	default:
		return false
	}
}

// lateEmission is how long the new code may take longer than the old one, such as for a
// retry that the history did not need.
const lateEmission = 10 * time.Minute

// of returns the history of the event's saga.
func (r *replay) of(ev *choreo.Event) *history {
	id := sagaID{ev.Saga, ev.SagaID}
	h := r.histories[id]
	if h == nil {
		h = &history{}
		r.histories[id] = h
		r.order = append(r.order, id)
	}
	return h
}

// step compares the next event of the history, and then lets the services read it.
func (r *replay) step(ev *choreo.Event) error {
	id := sagaID{ev.Saga, ev.SagaID}
	h := r.of(ev)
	if h.parted {
		return nil
	}
	h.ahead = h.ahead[1:]
	ev.Version = r.def.Version()
	switch {
	case ev.Type == choreo.Started:
		for _, s := range r.w.list() {
			if s.service() == ev.Initiator {
				if err := s.open(r.w.ctx, r.def, ev); err != nil {
					return err
				}
			}
		}
	case ev.Type == choreo.AbortRequested:
		r.take(id, ev) // or somebody else asked
	case ev.Step != "" && r.def.Step(ev.Step) == nil:
		r.part(id, ev, fmt.Sprintf("%s has no step %s", r.def, ev.Step))
		return nil
	default:
		if why, err := r.compare(id, ev); err != nil || why != "" {
			r.part(id, ev, why)
			return err
		}
	}
	h.lines = append(h.lines, Line(ev))
	ev.Partition = choreo.AnyPartition
	rec := topics.Encode(ev, r.w.names.Events(ev.Saga))
	if errs := r.w.log.Publish(r.w.ctx, []choreo.Record{rec}); errs != nil {
		return errors.Join(errs...)
	}
	r.w.quiesce()
	return nil
}

// compare waits until the new code emits the event, and returns why it does not.
func (r *replay) compare(id sagaID, ev *choreo.Event) (why string, err error) {
	var waited time.Duration
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		now := r.take(id, ev)
		switch {
		case now != nil && r.payloads && ev.Type == choreo.StepCompleted && !bytes.Equal(now.Payload, ev.Payload):
			return fmt.Sprintf("%s now returns %s and returned %s", ev.Step, now.Payload, ev.Payload), nil
		case now != nil:
			return "", nil
		}
		if ev.Type == choreo.StepCompleted || ev.Type == choreo.StepFailed {
			owner := r.def.Step(ev.Step).Owner
			for _, s := range r.w.list() {
				if s.service() != owner {
					continue
				}
				if answered, err := s.answer(r.w.ctx, r.def, ev); answered || err != nil {
					return "", err
				}
			}
		}
		if r.otherwise(id, ev) {
			return "the next event is not what happens now", nil
		}
		if waited >= lateEmission {
			return fmt.Sprintf("the next event does not happen within %v", lateEmission), nil
		}
		r.w.Advance(pause)
		waited += pause
	}
}

// otherwise reports whether the step has ended another way, so that waiting is in vain.
func (r *replay) otherwise(id sagaID, ev *choreo.Event) bool {
	return ev.Step != "" && slices.ContainsFunc(r.pendingEvents(id), func(now *choreo.Event) bool { return now.Step == ev.Step })
}

// take removes the event from what the new code has emitted, and returns it, or nil.
func (r *replay) take(id sagaID, ev *choreo.Event) *choreo.Event {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	all := r.w.emitted[id]
	i := slices.IndexFunc(all, func(now *choreo.Event) bool { return Line(now) == Line(ev) })
	if i < 0 {
		return nil
	}
	now := all[i]
	r.w.emitted[id] = slices.Delete(all, i, i+1)
	return now
}

func (r *replay) pendingEvents(id sagaID) []*choreo.Event {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	return slices.Clone(r.w.emitted[id])
}

// surplus returns what the new code has emitted and the history has not, also later. A
// saga that has parted has none.
func (r *replay) surplus(id sagaID) []string {
	h := r.histories[id]
	if h.parted {
		return nil
	}
	var lines []string
	ahead := slices.Clone(h.ahead)
	for _, ev := range r.pendingEvents(id) {
		line := Line(ev)
		if i := slices.Index(ahead, line); i >= 0 {
			ahead = slices.Delete(ahead, i, i+1)
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// part notes that a saga goes another way from here; ev is the history's next event or nil.
func (r *replay) part(id sagaID, ev *choreo.Event, why string) {
	h := r.histories[id]
	d := Divergence{
		Ref: participant.Ref{Saga: id.saga, SagaID: id.id}, History: h.lines, Replayed: r.surplus(id), Why: why,
	}
	if ev != nil {
		d.Recorded = Line(ev)
	}
	h.parted = true
	r.found = append(r.found, d)
}

// note keeps what a replaying service emits.
func (w *World) note(entries []outbox.Entry) {
	if !w.replaying {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range entries {
		ev, err := topics.Decode(&entries[i].Record)
		if err != nil {
			continue // not an event: a record of the service's own
		}
		id := sagaID{ev.Saga, ev.SagaID}
		w.emitted[id] = append(w.emitted[id], ev)
	}
}

// open makes the row of a saga that a history starts.
func (s *Service[Tx]) open(ctx context.Context, def *choreo.Definition, ev *choreo.Event) error {
	id := outbox.SagaID{Saga: ev.Saga, ID: ev.SagaID}
	unit, err := s.store.Begin(ctx, id)
	if err != nil {
		return err
	}
	return unit.Commit(ctx, outbox.Changes{Sagas: []outbox.SagaRow{{
		SagaID: id, Version: def.Version(), DueIn: def.Deadline(),
		Row: choreo.Row{State: choreo.RowOpen, Home: choreo.AnyPartition},
	}}})
}

// answer ends a step that is pending in the way in which the history ended it, and
// reports whether there was one.
func (s *Service[Tx]) answer(ctx context.Context, def *choreo.Definition, ev *choreo.Event) (bool, error) {
	id := outbox.SagaID{Saga: ev.Saga, ID: ev.SagaID}
	unit, err := s.store.Begin(ctx, id)
	if err != nil {
		return false, err
	}
	row := unit.Rows(id).Steps[ev.Step]
	if row.State != choreo.RowPending {
		return false, unit.Rollback(ctx)
	}
	res := choreo.Result{Output: choreo.Output{Step: ev.Step, ContentType: ev.ContentType, Data: ev.Payload}}
	if f := ev.Failure; f != nil {
		res.Err = &choreo.Error{Class: f.Class, Code: f.Code, Err: errors.New(f.Message)}
	}
	d := choreo.Answer(def, ev.Step, row, res)
	return true, unit.Commit(ctx, outbox.Changes{Steps: []outbox.StepRow{{
		SagaID: id, Step: ev.Step, Version: def.Version(), Row: d.Row,
	}}})
}
