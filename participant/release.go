package participant

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/topics"
)

// release is one try to go on with a parked saga: what stands first in its queue is handled
// as if it had just been read, and leaves the queue in the same transaction; so on until
// nothing is left, or until something cannot be handled still. Each takes a unit of work of its
// own, so that any number of processes may try, and any may die, at the same time. What is
// read meanwhile joins the queue, which is over only in the transaction in which the marker
// goes.
//
// Steps that the marker notes have no place in the order of events. They are tried when the
// queue is empty or cannot go on, for what is read may end them.
type release[Tx any] struct {
	p       *Participant[Tx]
	id      outbox.SagaID
	due     *outbox.Due   // the marker's, whose time has come; or nil
	command *choreo.Event // with which an operator asked; or nil
	task    *task[Tx]

	begun bool
	over  bool
	// What the unit of work is about: a record, or a step.
	seq  int64
	step string
	last bool // with it the queue is empty
	// What cannot be handled: the record that stands first, and steps. why is the first reason.
	stands bool
	steps  []string
	why    *choreo.Error
}

// release tries to go on with a saga. It returns an error only where ctx ended before.
func (p *Participant[Tx]) release(ctx context.Context, id outbox.SagaID, due *outbox.Due, command *choreo.Event) error {
	r := &release[Tx]{p: p, id: id, due: due, command: command}
	for !r.over {
		r.seq, r.step = 0, ""
		r.task = &task[Tx]{id: id, ev: &choreo.Event{}, decide: r.decide, blocked: r.blocked, done: r.done}
		if err := p.do(ctx, r.task); err != nil {
			return err
		}
	}
	return nil
}

func (r *release[Tx]) decide(ctx context.Context, v *view[Tx]) (*call, error) {
	marker := v.steps[choreo.ParkedRow]
	before := r.seq
	// What the last unit was about is not handled by this one, nor is anything over that it did
	// not commit.
	r.seq, r.step, r.last, r.over = 0, "", false, false
	switch {
	case r.command != nil && marker.Origin.Answered(r.command.ID):
		r.over = true // it was answered before
		return nil, nil
	case !v.parked():
		r.over = true
		r.reject(v, marker, &choreo.Error{
			Class: choreo.ClassRefused, Code: codeNotParked, Err: fmt.Errorf("service %s has not parked the saga", r.p.cfg.Service),
		})
		return nil, nil
	case r.due != nil && !r.begun && marker.Attempt != r.due.Attempt:
		r.over = true // another process has tried
		return nil, nil
	}
	r.begun = true
	if !r.stands {
		queue, err := v.unit.Parked(ctx, r.id, 2)
		if err != nil {
			return nil, err
		}
		r.last = len(queue) < 2
		if len(queue) > 0 {
			if c, goesOn := r.first(v, &queue[0], before); goesOn {
				return c, nil
			}
		}
	}
	return r.noted(v, marker), nil
}

// codeNotParked is the code of what a command is rejected with that has nothing to release.
const codeNotParked = "not-parked"

// first handles the record that stands first, or reports that this build cannot. before is the
// one that the last unit of this task was about.
func (r *release[Tx]) first(v *view[Tx], parked *outbox.Parked, before int64) (c *call, goesOn bool) {
	if before != 0 && before != parked.Seq {
		return nil, true // another process has handled it: what is known of attempts is not about this one
	}
	r.seq = parked.Seq
	rec := &parked.Record
	ev, err := topics.Decode(rec)
	if err != nil {
		v.deadLetter(rec, err)
		return nil, true
	}
	r.task.ev = ev
	if v.play(ev); v.role == nil {
		r.seq, r.stands, r.last = 0, true, false
		r.obstruct(unknownVersion(version{ev.Saga, v.version}))
		return nil, false
	}
	if tooOld := r.p.stale(v.role, ev, rec.Time); tooOld != nil {
		v.deadLetter(rec, tooOld)
		return nil, true
	}
	if !r.p.reacts(v.role, ev.Initiator, ev.Type, ev.Step) {
		return nil, true // whoever parked it could not tell
	}
	return v.react(ev), true
}

// noted resumes the next of the steps that the marker notes, and ends the try where there is
// none.
func (r *release[Tx]) noted(v *view[Tx], marker choreo.Row) *call {
	r.seq, r.step = 0, ""
	for _, step := range marker.Noted {
		if slices.Contains(r.steps, step) {
			continue
		}
		if v.role = r.p.roles[version{r.id.Saga, v.runs}]; v.role == nil {
			r.steps = append(r.steps, step)
			r.obstruct(unknownVersion(version{r.id.Saga, v.runs}))
			continue
		}
		r.step = step
		ev := *r.task.ev
		recall(&ev, v.steps[step])
		r.task.ev = &ev
		return v.again(step, &ev)
	}
	r.over = true
	if r.why == nil {
		r.end(v, marker)
		return nil
	}
	marker.Attempt++
	marker.Failure = r.why.Failure()
	r.p.cfg.Logger.Warn("saga stays parked", zap.String("saga", r.id.Saga), zap.String("saga_id", r.id.ID),
		zap.Int("tries", marker.Attempt), zap.Error(r.why))
	v.mark(marker, nextRelease(marker.Attempt))
	r.reject(v, marker, r.why)
	return nil
}

// obstruct notes why the saga stays parked.
func (r *release[Tx]) obstruct(why *choreo.Error) {
	if r.why == nil {
		r.why = why
	}
}

// blocked goes on with what does not wait for the call.
func (r *release[Tx]) blocked(_ *view[Tx], _ *call, why *choreo.Error) *repeat {
	if r.step != "" {
		r.steps = append(r.steps, r.step)
	} else {
		r.stands = true
	}
	r.obstruct(why)
	return &repeat{}
}

// done takes away what was handled, and with the last of it the marker.
func (r *release[Tx]) done(v *view[Tx]) {
	marker := v.steps[choreo.ParkedRow]
	switch {
	case r.seq != 0:
		v.unpark = append(v.unpark, r.seq)
	case r.step != "":
		marker.Noted = slices.DeleteFunc(slices.Clone(marker.Noted), func(step string) bool { return step == r.step })
		v.steps[choreo.ParkedRow] = marker
		v.change(choreo.ParkedRow)
	default:
		return
	}
	if r.last && len(marker.Noted) == 0 {
		r.over = true
		r.end(v, marker)
	}
}

// end lets the saga go on.
func (r *release[Tx]) end(v *view[Tx], marker choreo.Row) {
	r.p.cfg.Logger.Info("saga is released", zap.String("saga", r.id.Saga), zap.String("saga_id", r.id.ID))
	row := choreo.Row{Home: marker.Home, Origin: choreo.Origin{Commands: marker.Origin.Commands}}
	released := choreo.Emission{Type: choreo.SagaReleased}
	cause := r.task.ev
	if r.command != nil {
		row.Origin = row.Origin.WithAnswered(r.command.ID)
		released.By, released.Note = r.command.By, r.command.Note
		cause = r.command
	}
	v.mark(row, 0)
	v.emit(row.Home, []choreo.Emission{released}, cause)
}

// reject answers the operator, if one asked.
func (r *release[Tx]) reject(v *view[Tx], marker choreo.Row, why *choreo.Error) {
	if r.command == nil {
		return
	}
	if v.version == 0 { // there is no other row
		v.version = r.command.Version
	}
	if marker.Origin.Commands == "" && marker.State == choreo.RowNone {
		marker.Home = r.command.Partition
	}
	marker.Origin = marker.Origin.WithAnswered(r.command.ID)
	v.steps[choreo.ParkedRow] = marker
	v.change(choreo.ParkedRow)
	v.emit(marker.Home, []choreo.Emission{{
		Type: choreo.ReleaseRejected, Failure: why.Failure(), By: r.command.By, Note: r.command.Note,
	}}, r.command)
}

// deadLetter gives a record to the dead-letter topic, by way of the outbox: in the
// transaction in which it leaves the queue.
func (v *view[Tx]) deadLetter(rec *choreo.Record, cause error) {
	p := v.p
	p.cfg.Logger.Warn("record dead-lettered", zap.String("topic", rec.Topic), zap.Int32("partition", rec.Partition),
		zap.Int64("offset", rec.Offset), zap.Error(cause))
	letter := topics.DeadLetter(rec, p.names.DeadLetters(), p.names.Group(p.cfg.Service), cause)
	v.entries = append(v.entries, outbox.Entry{ID: p.world.NewID(), Type: typeOf(rec), Record: letter})
}
