package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"

	"github.com/choreo-go/choreo/topics"
)

// restless returns up to n sagas that are not at rest and not excused, with why, and what else is
// left to do.
func (a *auditor) restless(n int, excused func(*story) bool) []string {
	var list []string
	some := excused != nil
	if !some {
		excused = func(*story) bool { return false }
	}
	for _, st := range a.w.starts {
		if s := a.sagas[st.id]; (s == nil || s.shape == nil) && !excused(s) {
			list = append(list, st.id+" has not begun")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.sagas)) {
		if s := a.sagas[id]; len(list) < n && s.shape != nil && !excused(s) {
			if why := s.restless(); why != "" {
				list = append(list, fmt.Sprintf("%s (%s/%d, %s): %s", id, s.shape.name, s.shape.version, s.shape.strategy, why))
			}
		}
	}
	for at, left := range a.left {
		away := some && a.w.serviceOf(at.service).gone > a.w.now()
		if len(left) > 0 && !away && !excused(a.sagas[at.saga]) {
			list = append(list, fmt.Sprintf("%s has %d events of %s in its outbox", at.service, len(left), at.saga))
		}
	}
	return list[:min(len(list), n)]
}

// restless returns why the saga is not at rest, or nothing.
func (s *story) restless() string {
	for i := range s.shape.steps {
		m, name := &s.marks[i], s.shape.steps[i].name
		answered := m.done || m.failed || m.skipped
		switch {
		case s.turned == "" && !m.done:
			return name + " has not completed"
		case s.turned != "" && !answered && s.triggered(i):
			return name + " was triggered and has not answered"
		case s.turned != "" && !s.kept && m.done && !m.undone && !m.undoFailed && !s.blocked(i):
			return name + " is not undone"
		}
	}
	return ""
}

// triggered reports whether everything that the step waits for has completed.
func (s *story) triggered(i int) bool {
	return s.begun > 0 && !slices.ContainsFunc(s.shape.steps[i].after, func(k int) bool { return !s.marks[k].done })
}

// blocked reports whether the step waits, directly or not, for a step whose compensation failed
// and that somebody has to look after.
func (s *story) blocked(i int) bool {
	return slices.ContainsFunc(s.mustSettle(i), func(k int) bool {
		m := &s.marks[k]
		return m.undoFailed && s.shape.strategy != bestEffort || m.done && !m.undone && s.blocked(k)
	})
}

// judge checks what must hold when all is at rest.
func (a *auditor) judge() {
	if a.w.failure != nil {
		return
	}
	if list := a.restless(3, nil); len(list) > 0 {
		a.w.fail("G3 all or undone", "", "at the end: "+strings.Join(list, "; "))
	}
	for id := range a.ids {
		if !a.seen[id] {
			a.w.fail("G7 no loss", a.ids[id], "a committed event is not in the log: "+id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.sagas)) {
		if a.w.failure == nil {
			a.judgeSaga(a.sagas[id])
		}
	}
	a.judgeFold()
	a.judgeRows()
	a.judgeDeadLetters()
	a.judgeOffsets()
}

func (a *auditor) judgeSaga(s *story) {
	for _, r := range s.aborts {
		if s.answers[r.id] == 0 {
			a.w.fail("G3 all or undone", s.id, "an abort was asked for and nobody answered: "+r.id)
		}
	}
	if d := s.shape.deadline; d > 0 && s.begun > 0 && s.asked == 0 && s.decided-s.begun > d+a.lateness(s) {
		a.w.fail("G3 all or undone", s.id, fmt.Sprintf("its deadline of %v never asked, and it was decided after %v", d, s.decided-s.begun))
	}
	for i := range s.shape.steps {
		st, does, m := &s.shape.steps[i], &s.acts[i], &s.marks[i]
		says := func(format string, args ...any) {
			a.w.fail("G3 all or undone", s.id, st.name+" "+fmt.Sprintf(format, args...))
		}
		switch held := does.executed > 0 && does.undone == 0; {
		case m.done && !m.bypassed && does.executed == 0 && !does.byHand:
			says("completed in the log alone")
		case does.executed > 0 && (!m.done || m.bypassed) && !does.byHand:
			says("has an effect and did not complete in the log")
		case s.turned == "" || s.kept:
			if does.undone > 0 {
				says("was undone in a saga that did not turn back")
			}
		case st.pivot && m.done:
			a.w.fail("G5 pivot", s.id, st.name+" completed in a saga that turned back")
		case held && st.undoable() && !does.byHand && !m.undoFailed && !s.blocked(i):
			says("still has its effect in a saga that turned back")
		}
	}
}

// lateness is by how much a deadline may be late: its service may be away, its clock wrong.
func (a *auditor) lateness(s *story) time.Duration {
	late := 12*time.Minute + a.w.serviceOf(s.initiator).away
	if a.w.faults[ClockJump] {
		late += 20 * time.Minute
	}
	return late
}

// outcome is how the saga ended, in the auditor's words.
func (s *story) outcome() string {
	failed := slices.ContainsFunc(s.marks, func(m mark) bool { return m.undoFailed })
	switch {
	case failed:
		return "stuck"
	case s.turned == "":
		return "completed"
	case s.kept:
		return "failed"
	}
	return "compensated"
}

func (a *auditor) outcomes() map[string]int {
	counts := make(map[string]int)
	for _, s := range a.sagas {
		counts[s.outcome()]++
	}
	return counts
}

// judgeFold compares the fold that trackers use with the auditor's own verdict. The fold is
// what is checked here, not what checks.
func (a *auditor) judgeFold() {
	folds := make(map[string]*choreo.Instance)
	for _, topic := range a.w.topicSet {
		records := a.w.log.Records(topic)
		for i := range records {
			ev, err := topics.Decode(&records[i])
			if err != nil {
				continue
			}
			if folds[ev.SagaID] == nil {
				folds[ev.SagaID] = choreo.NewInstance(a.sagas[ev.SagaID].shape.saga.Definition)
			}
			folds[ev.SagaID].Apply(ev)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.sagas)) {
		want := a.sagas[id].outcome()
		if a.sagas[id].begun == 0 { // it was cancelled while it was queued
			want = ""
		}
		if in := folds[id]; in == nil || string(in.Status) != want {
			got := "nothing"
			if in != nil {
				got = string(in.Status)
			}
			a.w.fail("G6 agreement", id, fmt.Sprintf("the fold of the log says %s, its steps say %s", got, want))
			return
		}
	}
}

// judgeRows compares the services' rows with what the log says. Rows may have been pruned.
func (a *auditor) judgeRows() {
	for _, id := range slices.Sorted(maps.Keys(a.sagas)) {
		s := a.sagas[id]
		for _, svc := range a.w.services {
			rows, err := svc.rows(outbox.SagaID{Saga: s.shape.name, ID: id})
			if err != nil {
				a.w.fail("rows", id, err.Error())
				return
			}
			if rows.Saga != nil && rows.Saga.State != choreo.RowClosed {
				a.w.fail("G6 agreement", id, fmt.Sprintf("%s, who started it, takes it for %s", svc.name, rows.Saga.State))
			}
			for name, row := range rows.Steps {
				i := s.shape.index(name)
				if i < 0 {
					continue
				}
				want := s.rowState(i)
				if a.late { // what comes again after the row was pruned finds none
					want = append(want, choreo.RowSkipped)
				}
				if row.State != choreo.RowNone && !slices.Contains(want, row.State) {
					a.w.fail("G6 agreement", id, fmt.Sprintf("the row of %s is %s, the log says %s", name, row.State, want))
				}
			}
		}
	}
}

// rowState returns the states that a step's row may have at rest.
func (s *story) rowState(i int) []choreo.RowState {
	switch m := &s.marks[i]; {
	case m.undone:
		return []choreo.RowState{choreo.RowUndone}
	case m.undoFailed:
		return []choreo.RowState{choreo.RowUndoFailed}
	case m.done && s.turned != "" && !s.kept:
		return []choreo.RowState{choreo.RowUndoing}
	case m.done:
		return []choreo.RowState{choreo.RowCompleted}
	case m.failed:
		return []choreo.RowState{choreo.RowFailed}
	}
	return []choreo.RowState{choreo.RowSkipped}
}

// judgeDeadLetters: only what is no event, or comes much too late, is dead-lettered.
func (a *auditor) judgeDeadLetters() {
	garbage := 0
	records := a.w.log.Records(a.w.names.DeadLetters())
	for i := range records {
		e := parse(&records[i])
		cause, _ := records[i].Header("kafka_dlt-exception-message")
		switch {
		case e.id == "":
			garbage++
		case strings.Contains(string(cause), "older than Config.Horizon"):
		default:
			a.w.fail("G7 no loss", e.sagaID, fmt.Sprintf("%s %s was dead-lettered: %s", e.typ, e.step, cause))
			return
		}
	}
	if garbage < a.garbage {
		a.w.fail("G7 no loss", "", fmt.Sprintf("%d records that are no events, and %d of them dead-lettered", a.garbage, garbage))
	}
}

// judgeOffsets: every service has handled all that there is.
func (a *auditor) judgeOffsets() {
	for _, s := range a.w.services {
		for _, at := range a.w.places() {
			if end := a.w.log.End(at.topic, at.partition); s.committed[at] != end {
				a.w.fail("G7 no loss", "", fmt.Sprintf("%s has handled %s/%d up to %d of %d", s.name, at.topic, at.partition, s.committed[at], end))
				return
			}
		}
	}
}
