package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// Core opens units of work.
type Core struct {
	Statements *Statements
	Committed  table.Signal
	Handing    *table.Handing
	// BeforeOlder, if set, is a statement to run before older entries are looked for.
	BeforeOlder string
	// AfterLoad is a statement to run after a list of sagas was loaded ([table.Texts.LoadsList]).
	AfterLoad string
	// Lock locks the sagas until the end of the transaction. What it waited for is
	// visible to the statements after it.
	Lock func(ctx context.Context, tx *sql.Tx, sagas []outbox.SagaID) error
	// Unknown reports whether a failed commit may have happened all the same.
	Unknown func(err error) bool
	// Explain makes an error of a commit clearer. Nil leaves all as they are.
	Explain func(err error) error

	texts *table.Texts
	// several are the open units of several sagas, by their transactions.
	several sync.Map
}

// New returns a core over tables. Its exported fields are for the caller to set.
func New(tables table.Tables, dialect table.Dialect) *Core {
	return &Core{Committed: table.NewSignal(), Handing: table.NewHanding(), texts: tables.Texts(dialect)}
}

// Queries returns the texts of the statements that units run often, for [Statements.Prepare].
func (c *Core) Queries() []string {
	return slices.Concat(c.texts.Load[:], c.texts.Steps[:], c.texts.Sagas[:], c.texts.Entries[:], c.texts.Older[:], c.texts.Handed[:],
		[]string{c.texts.CountOpen, makeSavepoint, dropSavepoint, backToPart})
}

// Begin begins a transaction through begin and opens a unit in it. ctx bounds the
// beginning alone. end is called when the transaction is over.
func (c *Core) Begin(ctx context.Context, begin func(context.Context) (*sql.Tx, error), end func(), sagas []outbox.SagaID) (outbox.Unit[*sql.Tx], error) {
	sagas, err := table.Sagas(sagas)
	if err != nil {
		end()
		return nil, err
	}
	// database/sql rolls a transaction back when the context ends that it began with.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	tx, err := begin(life)
	if err != nil {
		stop()
		cancel()
		end()
		return nil, orCause(ctx, err)
	}
	u := &unit{core: c, tx: tx, own: true, cancel: cancel, end: end}
	if len(sagas) > 1 {
		c.several.Store(tx, u)
	}
	err = u.load(life, sagas)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, orCause(ctx, errors.Join(err, u.Rollback(ctx)))
	}
	return u, nil
}

// orCause adds why ctx ended to an error that came of it.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// Join opens a unit in the caller's transaction.
func (c *Core) Join(ctx context.Context, tx *sql.Tx, sagas []outbox.SagaID) (outbox.Unit[*sql.Tx], error) {
	sagas, err := table.Sagas(sagas)
	if err != nil {
		return nil, err
	}
	if open, ok := c.several.Load(tx); ok {
		for _, id := range sagas {
			outer := open.(*unit) // nothing else is stored
			outer.joined = outer.joined || outer.rows.Named(id) == nil
		}
	}
	u := &unit{core: c, tx: tx}
	if err := u.load(ctx, sagas); err != nil {
		return nil, err
	}
	return u, nil
}

func (c *Core) explain(err error) error {
	if c.Explain == nil {
		return err
	}
	return c.Explain(err)
}

// unit is a unit of work.
type unit struct {
	core     *Core
	tx       *sql.Tx
	rows     table.Loaded
	own      bool // the transaction ends with the unit
	ended    bool
	cancel   context.CancelFunc
	end      func()
	saved    bool // a savepoint is there, of this part or of one before
	undoable bool // it is of this part
	joined   bool // a saga of a unit of several was joined since
}

func (u *unit) load(ctx context.Context, sagas []outbox.SagaID) error {
	u.rows = table.Load(sagas)
	if err := u.core.Lock(ctx, u.tx, sagas); err != nil {
		return fmt.Errorf("lock the sagas: %w", err)
	}
	for _, part := range u.core.texts.Loads(sagas) {
		if err := u.loadPart(ctx, part); err != nil {
			return fmt.Errorf("load the rows of the sagas: %w", err)
		}
	}
	if u.core.texts.LoadsList(len(sagas)) {
		if err := u.core.Statements.Exec(ctx, u.tx, u.core.AfterLoad); err != nil {
			return fmt.Errorf("load the rows of the sagas: %w", err)
		}
	}
	return nil
}

func (u *unit) loadPart(ctx context.Context, part table.Part) error {
	rows, err := u.core.Statements.Query(ctx, u.tx, part.Text, part.Values...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	return u.rows.Read(rows)
}

// Tx returns the transaction.
func (u *unit) Tx() *sql.Tx { return u.tx }

// Rows returns the rows of a saga as they were at Begin.
func (u *unit) Rows(saga outbox.SagaID) outbox.Rows { return u.rows[saga] }

// Parked returns the oldest records that are parked of a saga.
func (u *unit) Parked(ctx context.Context, saga outbox.SagaID, limit int) ([]outbox.Parked, error) {
	if err := u.rows.Named(saga); err != nil {
		return nil, fmt.Errorf("parked records of %w", err)
	}
	rows, err := u.core.Statements.Query(ctx, u.tx, u.core.texts.Parked, saga.ID, saga.Saga, limit)
	if err != nil {
		return nil, fmt.Errorf("parked records: %w", u.core.explain(err))
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	list, err := table.ReadParked(rows, saga)
	if err != nil {
		return nil, fmt.Errorf("parked records: %w", u.core.explain(err))
	}
	return list, nil
}

// CountOpen counts the open sagas of a definition.
func (u *unit) CountOpen(ctx context.Context, saga string, limit int) (int, error) {
	n, err := u.countOpen(ctx, saga, limit)
	if err != nil {
		return 0, fmt.Errorf("count open sagas: %w", u.core.explain(err))
	}
	return n, nil
}

func (u *unit) countOpen(ctx context.Context, saga string, limit int) (n int, err error) {
	rows, err := u.core.Statements.Query(ctx, u.tx, u.core.texts.CountOpen, saga, limit)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

// errEnded is what a unit answers that has ended.
var errEnded = errors.New("the unit of work has ended")

// Commit writes the changes, and commits if the transaction is the unit's own.
func (u *unit) Commit(ctx context.Context, changes outbox.Changes) error {
	if u.ended {
		return fmt.Errorf("commit: %w", errEnded)
	}
	err := ctx.Err()
	if err == nil && u.joined {
		err = outbox.ErrJoined
	}
	if err == nil {
		err = u.rows.Check(&changes)
	}
	var handed *table.Handed
	if err == nil {
		handed, err = u.write(ctx, &changes)
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() == nil {
		err = fmt.Errorf("a handler ended the transaction, which belongs to the unit of work: %w", err)
	}
	if err != nil {
		return fmt.Errorf("commit: %w", errors.Join(u.core.explain(err), u.Rollback(ctx)))
	}
	if u.own {
		if err := u.commit(ctx); err != nil {
			return err
		}
	}
	u.ended = true
	if len(changes.Entries) > 0 && !handed.Offer() {
		u.core.Committed.Give()
	}
	return nil
}

func (u *unit) commit(ctx context.Context) error {
	u.ended = true
	stop := context.AfterFunc(ctx, u.cancel)
	err := u.tx.Commit()
	stop()
	u.over()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrTxDone) && ctx.Err() == nil:
		return fmt.Errorf("commit: a handler ended the transaction, which belongs to the unit of work: %w", err)
	case u.core.Unknown(err):
		return fmt.Errorf("commit: %w: %w", outbox.ErrUnknownOutcome, orCause(ctx, err))
	}
	return fmt.Errorf("commit: %w", u.core.explain(orCause(ctx, err)))
}

// over gives back what the transaction held. The order matters to the next in line.
func (u *unit) over() {
	if len(u.rows) > 1 {
		u.core.several.Delete(u.tx)
	}
	u.cancel()
	u.end()
}

// Rollback undoes the unit's own transaction.
func (u *unit) Rollback(context.Context) error {
	if u.ended {
		return nil
	}
	u.ended = true
	if !u.own {
		return nil
	}
	err := u.tx.Rollback()
	u.over()
	if err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// write writes the changes. It returns the entries that are to be handed over.
func (u *unit) write(ctx context.Context, changes *outbox.Changes) (handed *table.Handed, err error) {
	if u.own {
		handed = u.core.Handing.Begin(changes.Entries)
	}
	sole := u.own && len(u.rows) > 1 // see joined
	if handed == nil {
		return nil, u.exec(ctx, u.core.texts.Write(u.rows, changes, sole)...)
	}
	parts, olders, seqs := u.core.texts.WriteHanded(u.rows, changes, handed, sole)
	if u.core.BeforeOlder != "" {
		err = u.exec(ctx, table.Part{Text: u.core.BeforeOlder})
	}
	if err == nil {
		err = u.read(ctx, handed.ReadOlder, parts[:olders])
	}
	if err == nil {
		err = u.exec(ctx, parts[olders:seqs]...)
	}
	if err == nil {
		err = u.read(ctx, handed.ReadSeqs, parts[seqs:])
	}
	return handed, err
}

func (u *unit) exec(ctx context.Context, parts ...table.Part) error {
	for _, part := range parts {
		if err := u.core.Statements.Exec(ctx, u.tx, part.Text, part.Values...); err != nil {
			return fmt.Errorf("write the unit's rows: %w", err)
		}
	}
	return nil
}

func (u *unit) read(ctx context.Context, into func(table.Result) error, parts []table.Part) error {
	for _, part := range parts {
		if err := u.readPart(ctx, into, part); err != nil {
			return fmt.Errorf("write the unit's entries: %w", err)
		}
	}
	return nil
}

func (u *unit) readPart(ctx context.Context, into func(table.Result) error, part table.Part) error {
	rows, err := u.core.Statements.Query(ctx, u.tx, part.Text, part.Values...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err has what matters
	return into(rows)
}
