package integration

import (
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/tracker"
)

// order makes an order saga with so many steps done, started so long ago.
func (d *desk) order(id string, status choreo.Status, done int, ago time.Duration, more func(*tracker.Snapshot)) *tracker.Snapshot {
	start := time.Now().Add(-ago).UTC()
	s := &tracker.Snapshot{ID: id, Saga: "order", Version: 2, Status: status, Initiator: "orders", StartedAt: start, UpdatedAt: start,
		Tags: map[string]string{"customer": "c-118", "country": "PT"}, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Partition: 3, Offset: 20931, Events: int64(done) + 1}
	at := start
	for i, x := range contract.OrderV2.Def().Steps() {
		step := tracker.Step{Name: x.Name, Service: x.Owner, Status: choreo.StepIdle}
		if i <= done {
			ready := at
			step.ReadyAt, step.Status, step.Attempts = &ready, choreo.StepReady, 1
		}
		if i < done {
			end := at.Add(time.Duration(150+i*210) * time.Millisecond)
			step.EndedAt, step.Status, step.Seconds = &end, choreo.StepDone, end.Sub(at).Seconds()
			at = end
		}
		if i >= done {
			n := tracker.Next{Step: x.Name, Service: x.Owner, Run: choreo.RunExecute, Ready: i == done}
			if i > done {
				n.WaitsFor = []string{s.Steps[i-1].Name}
			}
			s.Next = append(s.Next, n)
		}
		s.Steps = append(s.Steps, step)
	}
	s.UpdatedAt = at
	if status.Ended() {
		s.EndedAt, s.Next = &at, nil
	} else {
		deadline := start.Add(30 * time.Minute)
		s.Deadline = &deadline
	}
	if more != nil {
		more(s)
	}
	return s
}

// undo turns a saga back at a step.
func undo(s *tracker.Snapshot, at int, open bool) {
	x := &s.Steps[at]
	failed := x.ReadyAt.Add(700 * time.Millisecond)
	end := failed
	x.EndedAt, x.Status = &failed, choreo.StepFailing
	x.Error = &tracker.Error{Class: choreo.ClassRefused, Code: "country-not-served", Message: "we do not ship to AQ"}
	s.Cause = &tracker.Cause{Step: x.Name, Class: choreo.ClassRefused, Code: x.Error.Code, Message: x.Error.Message}
	s.Next = nil
	for i := at - 1; i >= 0; i-- {
		if open && i == 0 {
			s.Steps[i].Status = choreo.StepUndoing
			s.Next = []tracker.Next{{Step: s.Steps[i].Name, Service: s.Steps[i].Service, Run: choreo.RunCompensate, Ready: true}}
			continue
		}
		end = end.Add(420 * time.Millisecond)
		undone := end
		s.Steps[i].UndoneAt, s.Steps[i].Status = &undone, choreo.StepUndone
	}
	s.UpdatedAt = end
	if s.EndedAt != nil {
		s.EndedAt = &end
	}
}

// cast is who appears: sagas in every status, one of 300 events, one that is hostile all over.
func (d *desk) cast() []*tracker.Snapshot {
	timeout := &tracker.Error{Class: choreo.ClassRetryable, Code: "gateway-timeout", Message: "card gateway timeout"}
	stick := func(s *tracker.Snapshot) {
		s.Steps[3].Status, s.Steps[3].Attempts, s.Steps[3].Error = choreo.StepRetried, 7, timeout
	}
	list := []*tracker.Snapshot{
		d.order("o-20931", choreo.StatusStuck, 3, 14*time.Minute, stick),
		d.order("o-20930", choreo.StatusRunning, 2, 14*time.Second, nil),
		d.order("o-20929", choreo.StatusCompensating, 4, 21*time.Second, func(s *tracker.Snapshot) { undo(s, 4, true) }),
		d.order("o-20928", choreo.StatusCancelling, 2, 35*time.Second, nil),
		d.order("o-20927", choreo.StatusCompleted, 6, 50*time.Second, nil),
		d.order("o-20926", choreo.StatusCompensated, 4, 70*time.Second, func(s *tracker.Snapshot) { undo(s, 4, false) }),
		d.order("o-20925", choreo.StatusFailed, 4, 3*time.Minute, func(s *tracker.Snapshot) {
			undo(s, 4, true)
			for i := range 4 { // they were kept
				s.Steps[i].Status, s.Steps[i].UndoneAt = choreo.StepDone, nil
			}
			s.Next = nil
		}),
		d.order("o-20922", choreo.StatusParked, 4, 3*time.Hour, func(s *tracker.Snapshot) {
			s.Parked = []tracker.Parked{{Service: "shipping", Since: s.UpdatedAt, Error: &tracker.Error{Class: choreo.ClassPermanent, Code: "schema-unknown", Message: "schema 41 is not in the registry"}}}
		}),
		d.order(hostile, choreo.StatusParked, 1, 5*time.Hour, poison),
		d.migration(),
	}
	for i := range 60 {
		list = append(list, d.order(fmt.Sprintf("o-%05d", 20800-i), choreo.StatusRunning, 1+i%5, time.Duration(6+i)*time.Minute, nil))
	}
	return list
}

// poison writes hostile text into every field that a service can set.
func poison(s *tracker.Snapshot) {
	bad := &tracker.Error{Class: choreo.Class(hostile), Code: hostile, Message: hostile}
	s.Initiator, s.TraceID, s.Unknown = hostile, hostile, true
	s.Tags = map[string]string{hostile: hostile}
	s.Cause = &tracker.Cause{Step: hostile, Code: hostile, Message: hostile, By: hostile, Note: hostile}
	s.Parked = []tracker.Parked{{Service: hostile, Since: s.StartedAt, Error: bad}}
	for i := range s.Steps {
		s.Steps[i].Service, s.Steps[i].Error = hostile, bad
	}
	s.Steps[0].Name, s.Steps[1].Name = hostile, hostile+"2"
	s.Next = []tracker.Next{{Step: hostile, Service: hostile, Run: choreo.RunExecute, Ready: true, WaitsFor: []string{hostile}}}
}

// migration is a saga of 300 events.
func (d *desk) migration() *tracker.Snapshot {
	s := d.order("m-1", choreo.StatusRunning, 2, 40*time.Minute, nil)
	s.Saga, s.Version, s.Steps, s.Next, s.Events = "migration", 1, nil, nil, 5*longSteps
	at := s.StartedAt
	for i := range longSteps {
		ready, end := at, at.Add(time.Duration(20+(i*17)%40)*time.Second)
		s.Steps = append(s.Steps, tracker.Step{Name: fmt.Sprintf("move-part-%02d", i), Service: longService(i), Status: choreo.StepDone, Attempts: 4, ReadyAt: &ready, EndedAt: &end, Seconds: end.Sub(ready).Seconds()})
		at = at.Add(25 * time.Second)
	}
	last := &s.Steps[longSteps-1]
	last.Status, last.EndedAt, last.Seconds = choreo.StepReady, nil, 0
	s.Next = []tracker.Next{{Step: last.Name, Service: last.Service, Run: choreo.RunExecute, Ready: true}}
	s.UpdatedAt = *last.ReadyAt
	return s
}
