package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// bug is a fault of Choreo's own that is planted at one of its seams, to see whether the
// auditor finds it. A field that is nil, or false, leaves things as they are.
type bug struct {
	name  string
	needs []Fault // without which it does not show

	rows    func(p *process, id outbox.SagaID, rows *outbox.Rows)   // what a unit reads
	changes func(p *process, before reader, c *outbox.Changes)      // what it writes
	records func(p *process, batch []choreo.Record)                 // what the lanes hand over
	keep    func(rec *choreo.Record) bool                           // false: the record is overlooked
	parked  func(records []outbox.Parked)                           // all that is parked of a saga
	entries func(p *process, entries []outbox.Entry) []outbox.Entry // what a relay claims
	handed  func(p *process, entries []outbox.Entry, older map[string][]int64) ([]outbox.Entry, map[string][]int64)
	prune   func(olderThan time.Duration) time.Duration

	noLock        bool // rows are read before the lock is held
	fetchedIsDone bool // offsets are committed of what is fetched
	atEnd         bool // a new owner begins at the end of the partition
	doneFirst     bool // the relay deletes, then publishes
	sweepFirst    bool // so it does with what was handed over
	goesOn        bool // the publisher goes on behind a record that failed
	early         bool // events are published before their commit
	outside       bool // effects stay when their transaction does not
	deaf          bool // a commit that failed is taken for done
	halfUndone    bool // what is undone of a unit stays
	blames        bool // an outage counts as the handler's failure
}

// reader returns the rows as a unit has read them.
type reader func(outbox.SagaID) outbox.Rows

// eachStep spoils each row of a step that is written, eachSaga that of a saga.
func eachStep(spoil func(*outbox.StepRow)) func(*process, reader, *outbox.Changes) {
	return func(_ *process, _ reader, c *outbox.Changes) {
		c.Steps = slices.Clone(c.Steps)
		for i := range c.Steps {
			spoil(&c.Steps[i])
		}
	}
}

func eachSaga(spoil func(*outbox.SagaRow)) func(*process, reader, *outbox.Changes) {
	return func(_ *process, _ reader, c *outbox.Changes) {
		c.Sagas = slices.Clone(c.Sagas)
		for i := range c.Sagas {
			spoil(&c.Sagas[i])
		}
	}
}

// dropEntries leaves out events.
func dropEntries(c *outbox.Changes, drop func(e record) bool) {
	c.Entries = slices.DeleteFunc(slices.Clone(c.Entries), func(e outbox.Entry) bool { return drop(parse(&e.Record)) })
}

// retype makes readers take events of one type for another.
func retype(from, to string) func(*process, []choreo.Record) {
	return func(_ *process, batch []choreo.Record) {
		for i := range batch {
			setHeader(&batch[i], "ce_type", func(v string) string {
				if v == from {
					return to
				}
				return v
			})
		}
	}
}

// setHeader changes a header of a record that others have, too.
func setHeader(rec *choreo.Record, key string, to func(string) string) {
	rec.Headers = slices.Clone(rec.Headers)
	for i := range rec.Headers {
		if rec.Headers[i].Key == key {
			rec.Headers[i].Value = []byte(to(string(rec.Headers[i].Value)))
		}
	}
}

func overlook(typ string) func(*choreo.Record) bool {
	return func(rec *choreo.Record) bool { return parse(rec).typ != typ }
}

// shapeOf returns the shape by which the rows of a saga go.
func (w *world) shapeOf(saga string, version int) *shape {
	i := slices.IndexFunc(w.shapes, func(s *shape) bool { return s.name == saga && s.version == version })
	if i < 0 {
		return nil
	}
	return w.shapes[i]
}

// stepNames returns the names of some steps.
func (s *shape) stepNames(of []int) []string {
	var names []string
	for _, i := range of {
		names = append(names, s.steps[i].name)
	}
	return names
}

// plantedBugs are the bugs, by what is wrong with them.
func plantedBugs() []*bug {
	return slices.Concat(bugsOfRules(), bugsOfEvents(), bugsOfStores(), bugsOfTheLog(), bugsOfTime(), bugsOfWaiting())
}

func findBug(name string) *bug {
	all := plantedBugs()
	if i := slices.IndexFunc(all, func(b *bug) bool { return b.name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// bugsOfRules break a rule of the design.
func bugsOfRules() []*bug {
	return []*bug{
		{name: "R1: a join does not wait for all", rows: func(p *process, id outbox.SagaID, rows *outbox.Rows) {
			s := p.w.shapeOf(id.Saga, max(rows.Version, 1))
			for i := range s.steps {
				st := &s.steps[i]
				if row := rows.Steps[st.name]; len(st.after) > 1 && row.State == choreo.RowNone {
					row.State, row.Noted = choreo.RowWaiting, s.stepNames(st.after[1:])
					rows.Steps[st.name] = row
				}
			}
		}},
		{name: "R2: a skipped step does not answer its trigger", changes: func(_ *process, before reader, c *outbox.Changes) {
			dropEntries(c, func(e record) bool {
				row := before(outbox.SagaID{Saga: e.saga, ID: e.sagaID}).Steps[e.step]
				return e.typ == evSkipped && row.State == choreo.RowSkipped
			})
		}},
		{name: "R4: an abort passes a waiting step by", changes: func(_ *process, before reader, c *outbox.Changes) {
			passed := func(saga outbox.SagaID, step string) bool {
				switch before(saga).Steps[step].State {
				case choreo.RowWaiting, choreo.RowRetrying, choreo.RowPending:
					return true
				}
				return false
			}
			c.Steps = slices.DeleteFunc(slices.Clone(c.Steps), func(r outbox.StepRow) bool {
				return r.State == choreo.RowSkipped && passed(r.SagaID, r.Step)
			})
			dropEntries(c, func(e record) bool {
				return e.typ == evSkipped && passed(outbox.SagaID{Saga: e.saga, ID: e.sagaID}, e.step)
			})
		}},
		{name: "R5: failures are overlooked", keep: overlook(evFailed)},
		{name: "R6: skipped steps are overlooked", keep: overlook(evSkipped)},
		{name: "R7: dependents are not waited for", rows: func(p *process, id outbox.SagaID, rows *outbox.Rows) {
			s := p.w.shapeOf(id.Saga, rows.Version)
			for name, row := range rows.Steps {
				if i := s.index(name); i >= 0 && row.State == choreo.RowCompleted {
					row.Settled = s.stepNames((&story{shape: s}).mustSettle(i))
					rows.Steps[name] = row
				}
			}
		}},
		{name: "R7: a failed compensation counts as done", records: retype(evUndoFailed, evCompensated)},
		{name: "R8: anybody takes a request for the abort", needs: []Fault{Cancelled}, records: retype(evRequested, evAborted)},
		{name: "R8: a closed saga is aborted", needs: []Fault{Cancelled}, rows: func(_ *process, _ outbox.SagaID, rows *outbox.Rows) {
			if rows.Saga != nil {
				rows.Saga.State = choreo.RowOpen
			}
		}},
		{name: "R8: requests are not answered", needs: []Fault{Cancelled}, keep: overlook(evRequested)},
		{name: "R9: a completed saga stays open", changes: func(_ *process, _ reader, c *outbox.Changes) {
			c.Sagas = slices.DeleteFunc(slices.Clone(c.Sagas), func(r outbox.SagaRow) bool { return r.State == choreo.RowClosed })
		}},
		{name: "R11: commands are not remembered", needs: []Fault{Commanded, Rewind}, changes: eachStep(func(r *outbox.StepRow) {
			forgetCommands(&r.Row)
		})},
	}
}

// bugsOfEvents spoil what events carry, and where they go.
func bugsOfEvents() []*bug {
	return []*bug{
		{name: "outputs are not carried along", changes: func(_ *process, _ reader, c *outbox.Changes) {
			c.Entries = slices.Clone(c.Entries)
			for i := range c.Entries {
				c.Entries[i].Record.Headers = slices.DeleteFunc(slices.Clone(c.Entries[i].Record.Headers), func(h choreo.Header) bool {
					return strings.HasPrefix(h.Key, "choreo-output-")
				})
			}
		}},
		{name: "events leave the home partition", needs: []Fault{PartitionsRaised}, changes: func(_ *process, _ reader, c *outbox.Changes) {
			c.Entries = slices.Clone(c.Entries)
			for i := range c.Entries {
				c.Entries[i].Record.Partition = choreo.AnyPartition
			}
		}},
	}
}

func forgetCommands(r *choreo.Row) { r.Origin.Commands = "" }

// bugsOfStores break what a transaction promises.
func bugsOfStores() []*bug {
	return []*bug{
		{name: "the row lock is left out", needs: []Fault{TwoOwners, Rebalance}, noLock: true},
		{name: "duplicates are known by memory", needs: []Fault{Crash, Rewind}, rows: func(p *process, id outbox.SagaID, rows *outbox.Rows) {
			for name, row := range rows.Steps {
				if row.State == choreo.RowCompleted && !p.memory[id.ID+name] {
					delete(rows.Steps, name)
				}
			}
		}, changes: func(p *process, _ reader, c *outbox.Changes) {
			for _, r := range c.Steps {
				p.memory[r.SagaID.ID+r.Step] = true
			}
		}},
		{name: "events are published before their commit", needs: []Fault{CommitFailed, StatementFailed}, early: true},
		{name: "effects stay when their transaction does not", needs: []Fault{CommitFailed, StatementFailed}, outside: true},
		{name: "a commit that failed is taken for done", needs: []Fault{CommitFailed}, deaf: true},
		{name: "what a handler did that failed stays in its group", halfUndone: true},
		{name: "of a group only the first saga is written", changes: func(_ *process, _ reader, c *outbox.Changes) {
			keepFirst(c)
		}},
		{name: "an outage counts as the handler's failure", needs: []Fault{StatementFailed, DatabaseAway}, blames: true},
		{name: "pruned too early", needs: []Fault{Rewind, PublishStale}, prune: func(time.Duration) time.Duration { return time.Second }},
		{name: "an event is left out of the outbox", changes: func(_ *process, _ reader, c *outbox.Changes) {
			if len(c.Entries) > 1 { // the last of several
				c.Entries = c.Entries[:len(c.Entries)-1]
			}
		}},
		{name: "the saga row is not written", needs: []Fault{Cancelled}, changes: func(_ *process, _ reader, c *outbox.Changes) {
			c.Sagas = nil
		}},
	}
}

// keepFirst leaves of the changes of several sagas those of one.
func keepFirst(c *outbox.Changes) {
	if len(c.Steps) == 0 {
		return
	}
	first := c.Steps[0].SagaID
	c.Steps = slices.DeleteFunc(slices.Clone(c.Steps), func(r outbox.StepRow) bool { return r.SagaID != first })
}

// bugsOfTheLog lose, double or reorder records.
func bugsOfTheLog() []*bug {
	return []*bug{
		{name: "offsets are committed early", needs: []Fault{Crash, Rebalance}, fetchedIsDone: true},
		{name: "a new owner begins at the end", needs: []Fault{Rebalance}, atEnd: true},
		{name: "events of one lane are handled in any order", records: func(_ *process, batch []choreo.Record) { slices.Reverse(batch) }},
		{name: "the relay deletes before the acknowledgement", needs: []Fault{Crash, PublishFailed}, doneFirst: true},
		{name: "the relay skips late commits", entries: func(p *process, entries []outbox.Entry) []outbox.Entry {
			entries = slices.DeleteFunc(slices.Clone(entries), func(e outbox.Entry) bool { return e.Seq <= p.cursor })
			for i := range entries {
				p.cursor = max(p.cursor, entries[i].Seq)
			}
			return entries
		}},
		{name: "the relay publishes in any order", entries: func(_ *process, entries []outbox.Entry) []outbox.Entry {
			entries = slices.Clone(entries)
			slices.Reverse(entries)
			return entries
		}},
		{name: "newer events are handed over before older ones", handed: func(p *process, entries []outbox.Entry, _ map[string][]int64) ([]outbox.Entry, map[string][]int64) {
			// Those of one commit wait for the next commit, and then come last.
			entries, p.kept = slices.Concat(entries, p.kept), nil
			if len(entries) == 1 {
				entries, p.kept = nil, entries
			}
			return entries, nil
		}},
		{name: "events are handed over without a look at older ones", needs: []Fault{PublishFailed, CommitLost}, handed: func(_ *process, entries []outbox.Entry, _ map[string][]int64) ([]outbox.Entry, map[string][]int64) {
			return entries, nil
		}},
		{name: "what was handed over is deleted before the acknowledgement", needs: []Fault{Crash, PublishFailed}, sweepFirst: true},
		{name: "the publisher goes on behind a failed record", needs: []Fault{PublishFailed}, goesOn: true},
	}
}

// bugsOfTime forget what is due, or do it twice.
func bugsOfTime() []*bug {
	return []*bug{
		{name: "retries are lost on restart", needs: []Fault{Crash}, changes: func(p *process, _ reader, c *outbox.Changes) {
			c.Steps = slices.Clone(c.Steps)
			for i := range c.Steps {
				r := &c.Steps[i]
				if r.State != choreo.RowRetrying || r.DueIn == 0 {
					continue
				}
				due := outbox.Due{SagaID: r.SagaID, Version: r.Version, Step: r.Step, Attempt: r.Attempt, State: r.State}
				p.w.after(r.DueIn, func() {
					if !p.dead && p.steps != nil {
						p.w.spawn(p, func() { p.steps.Act(p.ctx, due) })
					}
				})
				r.DueIn = 0
			}
		}},
		{name: "attempts are not counted", changes: eachStep(func(r *outbox.StepRow) {
			if r.State == choreo.RowRetrying {
				r.Attempt = 0
			}
		})},
		{name: "pending steps never time out", changes: eachStep(func(r *outbox.StepRow) {
			if r.State == choreo.RowPending {
				r.DueIn = 0
			}
		})},
		{name: "a deadline fires twice", needs: []Fault{CommitLost}, rows: func(p *process, id outbox.SagaID, rows *outbox.Rows) {
			if s := p.w.shapeOf(id.Saga, rows.Version); rows.Saga != nil && s.deadline > 0 && rows.Saga.DueIn == 0 {
				rows.Saga.DueIn = time.Microsecond
			}
		}},
		{name: "deadlines never fire", needs: []Fault{ServiceGone}, changes: eachSaga(func(r *outbox.SagaRow) {
			if r.State == choreo.RowOpen {
				r.DueIn = 0
			}
		})},
		{name: "the origin of due rows is lost", changes: eachStep(func(r *outbox.StepRow) {
			r.Origin = choreo.Origin{}
		})},
		{name: "triggers older than the horizon are acted on", needs: []Fault{LongPause}, records: func(_ *process, batch []choreo.Record) {
			now := time.Now()
			for i := range batch {
				batch[i].Time = now
				setHeader(&batch[i], "ce_time", func(string) string { return now.UTC().Format(time.RFC3339Nano) })
			}
		}},
	}
}

// bugsOfWaiting forget, or pass by, what is parked or queued.
func bugsOfWaiting() []*bug {
	return []*bug{
		{name: "a parked saga is overtaken", needs: []Fault{Redeployed}, rows: func(p *process, _ outbox.SagaID, rows *outbox.Rows) {
			if p.w.dice.IntN(2) == 0 {
				delete(rows.Steps, choreo.ParkedRow)
			}
		}},
		{name: "parked records are lost", needs: []Fault{Redeployed}, changes: func(_ *process, _ reader, c *outbox.Changes) {
			c.Park = nil
		}},
		{name: "parked records are released in any order", needs: []Fault{Redeployed, Cancelled}, parked: slices.Reverse[[]outbox.Parked]},
		{name: "parked sagas are not tried again", needs: []Fault{Redeployed}, changes: eachStep(func(r *outbox.StepRow) {
			if r.State == choreo.RowParked {
				r.DueIn = 0
			}
		})},
		{name: "queued sagas are forgotten", changes: eachSaga(func(r *outbox.SagaRow) {
			if r.State == choreo.RowQueued {
				r.DueIn = 0
			}
		})},
		{name: "what waits for a place is forgotten", changes: eachStep(func(r *outbox.StepRow) {
			if r.Attempt == 0 && (r.State == choreo.RowRetrying || r.State == choreo.RowUndoing) {
				r.DueIn = 0
			}
		})},
	}
}

// unlocked are the rows as they were last committed, for who reads them without a lock.
type unlocked map[outbox.SagaID]outbox.Rows

func (u unlocked) rows(id outbox.SagaID) outbox.Rows {
	rows := u[id]
	rows.Steps = maps.Clone(rows.Steps)
	return rows
}

func (u unlocked) write(c *outbox.Changes) {
	for i := range c.Steps {
		r := &c.Steps[i]
		rows := u.rows(r.SagaID)
		if rows.Steps == nil {
			rows.Steps = make(map[string]choreo.Row)
		}
		rows.Steps[r.Step], rows.Version = r.Row, r.Version
		u[r.SagaID] = rows
	}
	for i := range c.Sagas {
		r := c.Sagas[i]
		rows := u.rows(r.SagaID)
		rows.Saga, rows.Version = &r, r.Version
		u[r.SagaID] = rows
	}
}
