package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// database is what all processes of a service share.
type database struct {
	away  time.Duration // until when it does not answer
	epoch int           // how often it went away: what was open then is lost
	skew  time.Duration // of its clock
	// exclusive is set where one unit of work holds the whole database, as in SQLite.
	exclusive bool
	held      bool
}

// opened is a transaction of a client's own.
type opened struct {
	tx       *tx
	commit   func(ctx context.Context) error
	rollback func()
}

// connection is a store as one process sees it: where effects happen, and what can befall
// them. Tx is the transaction of the store behind it.
type connection[Tx any] struct {
	p     *process
	inner outbox.Store[Tx]
	wrap  func(Tx) *tx
	begin func(ctx context.Context) (t Tx, commit func(context.Context) error, rollback func(), err error)
}

// ender is what is open at the database and goes when its process dies.
type ender interface{ abandon() }

// effect is one effect of a process: the process may crash there, and others have a turn.
func (p *process) effect(op, about string) error {
	p.alive()
	w := p.w
	w.note(p.name, op, about)
	if w.strikes(Crash, 1500) {
		w.note(p.name, "crashes", "")
		p.dying = true
		panic(crashed{})
	}
	w.pause()
	p.alive()
	return nil
}

// alive ends the routine of a process that is no more.
func (p *process) alive() {
	if p.dying || p.dead {
		panic(crashed{})
	}
}

// reach is an effect at the database.
func (p *process) reach(op, about string) error {
	if err := p.effect(op, about); err != nil {
		return err
	}
	if p.w.now() < p.svc.db.away {
		return fmt.Errorf("%s: database: %w", op, errAway)
	}
	if p.w.strikes(StatementFailed, 700) {
		return fmt.Errorf("%s: %w", op, errFault)
	}
	return nil
}

func about(sagas []outbox.SagaID) string {
	if len(sagas) == 0 {
		return ""
	}
	if len(sagas) > 1 {
		return fmt.Sprintf("%s and %d more", sagas[0].ID, len(sagas)-1)
	}
	return sagas[0].ID
}

// Migrate implements outbox.Store.
func (c *connection[Tx]) Migrate(ctx context.Context) error { return c.inner.Migrate(ctx) }

// Begin implements outbox.Store.
func (c *connection[Tx]) Begin(ctx context.Context, sagas ...outbox.SagaID) (outbox.Unit[*tx], error) {
	return c.beginWith(ctx, c.inner.Begin, sagas)
}

// BeginGroup implements outbox.Store.
func (c *connection[Tx]) BeginGroup(ctx context.Context, group outbox.Group, sagas ...outbox.SagaID) (outbox.Unit[*tx], error) {
	if c.p.w.strikes(Contended, 40) {
		return nil, fmt.Errorf("begin a group: %w", errFault)
	}
	begin := func(ctx context.Context, sagas ...outbox.SagaID) (outbox.Unit[Tx], error) {
		return c.inner.BeginGroup(ctx, group, sagas...)
	}
	return c.beginWith(ctx, begin, sagas)
}

func (c *connection[Tx]) beginWith(
	ctx context.Context, begin func(context.Context, ...outbox.SagaID) (outbox.Unit[Tx], error), sagas []outbox.SagaID,
) (outbox.Unit[*tx], error) {
	if err := c.p.reach("begin", about(sagas)); err != nil {
		return nil, err
	}
	u := &unit[Tx]{c: c, epoch: c.p.svc.db.epoch, sagas: sagas, own: true}
	c.p.opens(u)
	if c.p.w.bug.noLock {
		u.unlocked = make(map[outbox.SagaID]outbox.Rows)
		for _, id := range sagas {
			u.unlocked[id] = c.p.svc.unlocked.rows(id)
		}
		c.p.w.pause()
	}
	u.entered = c.p.enter()
	inner, err := begin(ctx, sagas...)
	if err != nil {
		u.end()
		return nil, err
	}
	u.Unit, u.tx = inner, c.wrap(inner.Tx())
	if err := c.p.reach("begun", about(sagas)); err != nil {
		u.abandon()
		return nil, err
	}
	return u, nil
}

// Join implements outbox.Store.
func (c *connection[Tx]) Join(ctx context.Context, t *tx, sagas ...outbox.SagaID) (outbox.Unit[*tx], error) {
	if err := c.p.reach("join", about(sagas)); err != nil {
		return nil, err
	}
	inner, err := c.inner.Join(ctx, t.inner.(Tx), sagas...)
	if err != nil {
		return nil, err
	}
	return &unit[Tx]{Unit: inner, c: c, tx: t, epoch: c.p.svc.db.epoch, sagas: sagas}, nil
}

// openTx opens a transaction of a client's own.
func (c *connection[Tx]) openTx(ctx context.Context) (*opened, error) {
	if err := c.p.reach("begin", "a client's"); err != nil {
		return nil, err
	}
	entered := c.p.enter()
	inner, commit, rollback, err := c.begin(ctx)
	if err != nil {
		c.p.leave(entered)
		return nil, err
	}
	t := c.wrap(inner)
	o := &opened{tx: t}
	c.p.opens(o)
	ended := false
	end := func() {
		if !ended {
			ended = true
			c.p.closes(o)
			c.p.leave(entered)
		}
	}
	o.rollback = func() {
		if !ended {
			rollback()
			end()
		}
	}
	o.commit = func(ctx context.Context) error {
		err := c.p.reach("commit", "a client's")
		if err == nil && c.p.w.strikes(CommitFailed, 150) {
			err = errFault
		}
		if err != nil {
			o.rollback()
			return err
		}
		err = commit(ctx)
		end()
		if err != nil {
			return err
		}
		return c.p.committed(t, "a client's")
	}
	return o, nil
}

func (o *opened) abandon() { o.rollback() }

// Transient implements outbox.Store.
func (c *connection[Tx]) Transient(err error) bool {
	return !c.p.w.bug.blames && errors.Is(err, errFault) || errors.Is(err, errAway) || c.inner.Transient(err)
}

// Due implements outbox.Store.
func (c *connection[Tx]) Due(ctx context.Context, query outbox.DueQuery) ([]outbox.Due, error) {
	if err := c.p.reach("due", ""); err != nil {
		return nil, err
	}
	return c.inner.Due(ctx, query)
}

// Hasten implements outbox.Store.
func (c *connection[Tx]) Hasten(ctx context.Context, kind outbox.DueKind) (int, error) {
	if err := c.p.reach("hasten", kind.Saga); err != nil {
		return 0, err
	}
	defer c.p.leave(c.p.enter())
	return c.inner.Hasten(ctx, kind)
}

// Waiting implements outbox.Store.
func (c *connection[Tx]) Waiting(ctx context.Context, limit int) (outbox.Waiting, error) {
	if err := c.p.reach("waiting", ""); err != nil {
		return outbox.Waiting{}, err
	}
	return c.inner.Waiting(ctx, limit)
}

// Prune implements outbox.Store.
func (c *connection[Tx]) Prune(ctx context.Context, olderThan time.Duration, limit int) (int, error) {
	if err := c.p.reach("prune", ""); err != nil {
		return 0, err
	}
	defer c.p.leave(c.p.enter())
	if sooner := c.p.w.bug.prune; sooner != nil {
		olderThan = sooner(olderThan)
	}
	n, err := c.inner.Prune(ctx, olderThan, limit)
	c.p.w.auditor.pruned += n
	return n, err
}

// Ping implements outbox.Store.
func (c *connection[Tx]) Ping(ctx context.Context) error {
	if err := c.p.reach("ping", ""); err != nil {
		return err
	}
	return c.inner.Ping(ctx)
}

// Backlog implements outbox.Store.
func (c *connection[Tx]) Backlog(ctx context.Context) (outbox.Backlog, error) {
	return c.inner.Backlog(ctx)
}

// HandTo implements outbox.Store.
func (c *connection[Tx]) HandTo(h outbox.Handover) {
	if h != nil {
		h = &handover{Handover: h, p: c.p, sweep: c.inner.Delete}
	}
	c.inner.HandTo(h)
}

// Delete implements outbox.Store.
func (c *connection[Tx]) Delete(ctx context.Context, seqs []int64) error {
	if err := c.p.reach("sweep", fmt.Sprint(len(seqs))); err != nil {
		return err
	}
	entered := c.p.enter()
	err := c.inner.Delete(ctx, seqs)
	c.p.leave(entered)
	if err != nil {
		return err
	}
	return c.p.effect("swept", fmt.Sprint(len(seqs)))
}

// handover is how a process's units reach its relay.
type handover struct {
	outbox.Handover
	p     *process
	sweep func(context.Context, []int64) error
}

// Offer hands over what a unit has committed.
func (h *handover) Offer(entries []outbox.Entry, older map[string][]int64) bool {
	if h.p.dying || h.p.dead {
		return false
	}
	if change := h.p.w.bug.handed; change != nil {
		entries, older = change(h.p, entries, older)
	}
	if h.p.w.bug.sweepFirst {
		var seqs []int64
		for i := range entries {
			seqs = append(seqs, entries[i].Seq)
		}
		if h.sweep(context.Background(), seqs) != nil {
			return false
		}
	}
	return h.Handover.Offer(entries, older)
}

// Committed implements outbox.Store.
func (c *connection[Tx]) Committed() <-chan struct{} { return c.inner.Committed() }

// Claim implements outbox.Store.
func (c *connection[Tx]) Claim(ctx context.Context, limit int, except []string) (outbox.Claim, error) {
	if err := c.p.reach("claim", ""); err != nil {
		return nil, err
	}
	inner, err := c.inner.Claim(ctx, limit, except)
	if err != nil {
		return nil, err
	}
	cl := &claim{Claim: inner, p: c.p, epoch: c.p.svc.db.epoch, entries: inner.Entries()}
	if change := c.p.w.bug.entries; change != nil {
		cl.entries = change(c.p, cl.entries)
	}
	if c.p.w.bug.doneFirst {
		var seqs []int64
		for i := range cl.entries {
			seqs = append(seqs, cl.entries[i].Seq)
		}
		if err := inner.Done(ctx, seqs); err != nil {
			return nil, err
		}
	}
	c.p.opens(cl)
	if err := c.p.reach("claimed", fmt.Sprint(len(inner.Entries()))); err != nil {
		cl.abandon()
		return nil, err
	}
	return cl, nil
}

// claim is a claim of a process.
type claim struct {
	outbox.Claim
	p       *process
	epoch   int
	entries []outbox.Entry
}

// Entries returns what was claimed.
func (cl *claim) Entries() []outbox.Entry { return cl.entries }

// Done deletes what was published.
func (cl *claim) Done(ctx context.Context, seqs []int64) error {
	if err := cl.p.reach("done", fmt.Sprint(len(seqs))); err != nil {
		return err
	}
	switch {
	case cl.epoch != cl.p.svc.db.epoch:
		return errAway
	case cl.p.w.bug.doneFirst:
		return nil
	}
	entered := cl.p.enter()
	err := cl.Claim.Done(ctx, seqs)
	cl.p.leave(entered)
	if err != nil {
		return err
	}
	return cl.p.effect("deleted", fmt.Sprint(len(seqs)))
}

// Release gives up what is left.
func (cl *claim) Release(ctx context.Context) error {
	cl.p.closes(cl)
	return cl.Claim.Release(ctx)
}

func (cl *claim) abandon() { _ = cl.Release(context.Background()) } // the connection is gone

// unit is a unit of work of a process.
type unit[Tx any] struct {
	outbox.Unit[Tx]
	c        *connection[Tx]
	tx       *tx
	epoch    int
	sagas    []outbox.SagaID
	own      bool // its commit is that of the transaction
	ended    bool
	entered  bool
	part     int                           // how many effects there were when the present part began
	unlocked map[outbox.SagaID]outbox.Rows // a planted bug: rows from before the lock
}

// Tx returns the transaction.
func (u *unit[Tx]) Tx() *tx { return u.tx }

// Rows returns the rows as they were at Begin.
func (u *unit[Tx]) Rows(id outbox.SagaID) outbox.Rows {
	rows := u.Unit.Rows(id)
	if u.unlocked != nil {
		rows = u.unlocked[id]
	}
	if change := u.c.p.w.bug.rows; change != nil {
		change(u.c.p, id, &rows)
	}
	return rows
}

// Parked returns what is parked of a saga.
func (u *unit[Tx]) Parked(ctx context.Context, id outbox.SagaID, limit int) ([]outbox.Parked, error) {
	if err := u.c.p.reach("parked", id.ID); err != nil {
		return nil, err
	}
	change := u.c.p.w.bug.parked
	if change == nil {
		return u.Unit.Parked(ctx, id, limit)
	}
	list, err := u.Unit.Parked(ctx, id, 1000)
	change(list)
	return list[:min(limit, len(list))], err
}

// Part begins a part of the transaction.
func (u *unit[Tx]) Part(ctx context.Context, undoable bool) error {
	if err := u.c.p.reach("part", ""); err != nil {
		return err
	}
	u.part = len(u.tx.effects)
	return u.Unit.Part(ctx, undoable)
}

// UndoPart undoes what was done since Part.
func (u *unit[Tx]) UndoPart(ctx context.Context) error {
	if err := u.c.p.reach("undo part", ""); err != nil {
		return err
	}
	if u.c.p.w.bug.halfUndone {
		return nil
	}
	if err := u.Unit.UndoPart(ctx); err != nil {
		return err
	}
	if len(u.tx.effects) > u.part {
		u.c.p.w.undone++
	}
	u.tx.effects = u.tx.effects[:u.part]
	return nil
}

func (u *unit[Tx]) end() {
	if u.own && !u.ended {
		u.ended = true
		u.c.p.closes(u)
		u.c.p.leave(u.entered)
	}
}

// abandon is what the database does about a connection that is gone.
func (u *unit[Tx]) abandon() {
	if u.own && !u.ended && u.Unit != nil {
		_ = u.Unit.Rollback(context.Background()) // the connection is gone
		if u.c.p.w.bug.outside && len(u.tx.effects) > 0 {
			u.c.p.w.auditor.commit(u.c.p, &tx{effects: u.tx.effects})
		}
	}
	u.end()
}

// Rollback undoes the transaction.
func (u *unit[Tx]) Rollback(context.Context) error {
	u.abandon()
	return nil
}

// Commit writes the changes and commits.
func (u *unit[Tx]) Commit(ctx context.Context, changes outbox.Changes) error {
	p := u.c.p
	err := p.reach("commit", about(u.sagas))
	switch {
	case err != nil:
	case u.epoch != p.svc.db.epoch:
		err = errAway
	case u.own && p.w.strikes(CommitFailed, 150):
		err = errFault
	}
	bug := p.w.bug
	if bug.early {
		for i := range changes.Entries {
			p.w.log.Publish(ctx, []choreo.Record{changes.Entries[i].Record})
		}
	}
	if err != nil {
		u.abandon()
		if bug.deaf {
			return nil
		}
		return err
	}
	if bug.changes != nil {
		bug.changes(p, u.Rows, &changes)
	}
	if err := u.Unit.Commit(ctx, changes); err != nil {
		u.end()
		return err
	}
	if bug.noLock {
		p.svc.unlocked.write(&changes)
	}
	for i := range changes.Steps {
		r := &changes.Steps[i]
		p.w.detail(p.name, "row", "%s %s → %s attempt %d due in %v", r.SagaID.ID, r.Step, r.State, r.Attempt, r.DueIn)
	}
	for i := range changes.Sagas {
		r := &changes.Sagas[i]
		p.w.detail(p.name, "saga row", "%s → %s due in %v", r.SagaID.ID, r.State, r.DueIn)
		p.svc.opened(r)
	}
	if several(&changes) {
		p.w.shared++
	}
	u.tx.entries = append(u.tx.entries, changes.Entries...)
	u.tx.rings = append(u.tx.rings, rings(&changes)...)
	u.end()
	if !u.own {
		return nil
	}
	return p.committed(u.tx, about(u.sagas))
}

// several reports whether the changes are of more than one saga.
func several(changes *outbox.Changes) bool {
	return slices.ContainsFunc(changes.Steps, func(r outbox.StepRow) bool { return r.SagaID != changes.Steps[0].SagaID })
}

func rings(changes *outbox.Changes) []time.Duration {
	var in []time.Duration
	for i := range changes.Steps {
		in = append(in, changes.Steps[i].DueIn)
	}
	for i := range changes.Sagas {
		in = append(in, changes.Sagas[i].DueIn)
	}
	return in
}

// committed is told of every transaction that has committed, whatever its process gets to know.
func (p *process) committed(t *tx, about string) error {
	w := p.w
	w.auditor.commit(p, t)
	if len(t.entries) > 0 {
		p.wakeRelay()
	}
	for _, in := range t.rings {
		if in > 0 {
			p.ring(in)
		}
	}
	if w.strikes(CommitLost, 150) {
		return fmt.Errorf("%w: %w", outbox.ErrUnknownOutcome, errFault)
	}
	return p.effect("committed", about)
}

// enter waits until no other unit holds a database that one at a time can hold, and reports whether
// it is such a one.
func (p *process) enter() bool {
	db := p.svc.db
	if db.exclusive {
		for db.held { // again: another one may have been first
			p.w.wait(func() bool { return !db.held })
		}
		db.held = true
	}
	return db.exclusive
}

func (p *process) leave(entered bool) {
	if entered {
		p.svc.db.held = false
	}
}

func (p *process) opens(e ender) { p.open = append(p.open, e) }

func (p *process) closes(e ender) {
	p.open = slices.DeleteFunc(p.open, func(o ender) bool { return o == e })
}
