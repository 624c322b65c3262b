package outbox

import (
	"context"
	"slices"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Store keeps a service's rows and its outbox in the service's own database. Tx is
// the transaction type that handlers get, such as pgx.Tx or *sql.Tx. A Store is safe
// for concurrent use.
type Store[Tx any] interface {
	// Migrate brings the store's tables to this build's version. It may be called by
	// several processes at once and again at every start.
	Migrate(ctx context.Context) error

	// Begin opens a transaction, locks the sagas until its end, in an order that
	// cannot deadlock with other units, and loads this service's rows of them.
	Begin(ctx context.Context, sagas ...SagaID) (Unit[Tx], error)

	// BeginGroup is Begin for sagas whose handlers write rows of their own, one saga after
	// the other, so that two such units may come to hold each other's rows crosswise.
	BeginGroup(ctx context.Context, group Group, sagas ...SagaID) (Unit[Tx], error)

	// Join is Begin inside the caller's transaction: Unit.Commit then writes what is
	// left to write but leaves the commit to the caller, and Unit.Rollback does nothing.
	Join(ctx context.Context, tx Tx, sagas ...SagaID) (Unit[Tx], error)

	// Transient reports whether err, of the store or of a handler's statement, is a
	// fault of the connection or of concurrency (a lost connection, a restart, a
	// deadlock, a serialisation failure), so that the whole unit may succeed when it is
	// run again. Such a fault is never a step's failure.
	Transient(err error) bool

	// Due returns rows whose time has come on the database's clock, the longest due
	// first. It locks nothing: whoever acts on one looks at the row again.
	Due(ctx context.Context, query DueQuery) ([]Due, error)

	// Hasten makes the rows of a kind that are due later due now, and returns how many. It
	// waits for no unit, but for those that write such a row at the same moment.
	Hasten(ctx context.Context, kind DueKind) (int, error)

	// Prune deletes up to limit rows of sagas that have ended for this service, and returns
	// how many. A saga's rows go together, and only when every one of them is at rest
	// ([AtRest]) and was last written longer than olderThan ago on the database's clock.
	// Records that are parked of such a saga go with its rows, and do not count. A
	// saga that a unit works on is left for the next call. A saga that has more rows than
	// limit goes alone. Any number of processes may prune at once.
	Prune(ctx context.Context, olderThan time.Duration, limit int) (int, error)

	// Waiting tells what waits here for something else than the next event, for people to look
	// at: up to limit rows, and how many sagas stand where. It locks nothing.
	Waiting(ctx context.Context, limit int) (Waiting, error)

	// Ping reports whether the database answers.
	Ping(ctx context.Context) error

	Queue
}

// Group says how a unit of several sagas gets along with others. A store whose transactions
// wait for nobody once they are begun may ignore it.
type Group struct {
	// LockTimeout bounds each wait for a lock, so that units that wait for each other are
	// told soon; 0: no bound. The error is transient.
	LockTimeout time.Duration
	// Alone has the unit wait until no other group is open, of all processes of the service,
	// and others wait for it. LockTimeout does not bound this wait.
	Alone bool
}

// SagaID names a saga instance: two definitions may use the same id.
type SagaID struct {
	Saga string // name of the definition
	ID   string
}

// Unit is a unit of work: one transaction over the rows of one or many sagas. It is
// not safe for concurrent use. Exactly one of Commit and Rollback ends it; Rollback
// after Commit does nothing.
type Unit[Tx any] interface {
	// Tx returns the transaction for the handler's own statements.
	Tx() Tx
	// Rows returns the service's rows of a saga named at Begin, as they were then.
	Rows(saga SagaID) Rows
	// Parked returns up to limit of the records that are parked of a saga named at Begin, the
	// oldest first, as the transaction sees them. It returns fewer only where there are no
	// more. A record may be as large as the log takes them.
	Parked(ctx context.Context, saga SagaID, limit int) ([]Parked, error)
	// CountOpen returns how many saga rows of a definition are open ([choreo.RowOpen]),
	// counted up to limit: those committed by now, also since Begin, and what the
	// transaction wrote. A joined transaction that is stricter than read committed
	// counts those that it sees.
	CountOpen(ctx context.Context, saga string, limit int) (int, error)
	// Part begins a part of the transaction, which takes the place of the one before. If it is
	// undoable, UndoPart can undo it, which may cost a savepoint; if not, UndoPart can
	// only if the store knows that there is nothing to undo. A joined unit has no parts.
	Part(ctx context.Context, undoable bool) error
	// UndoPart undoes what was done in the transaction since Part, also after a statement has
	// failed in it. After an error the unit can only be rolled back.
	UndoPart(ctx context.Context) error
	// Commit writes the changes and commits. After an error nothing was committed,
	// unless the error wraps ErrUnknownOutcome.
	Commit(ctx context.Context, changes Changes) error
	// Rollback undoes the transaction.
	Rollback(ctx context.Context) error
}

// Rows are a service's rows of one saga. A step without a row is missing in Steps.
type Rows struct {
	// Version is that of the definition with which the saga began; 0 without any row. Rows
	// written with version 0 do not know it, and leave it to others.
	Version int
	Saga    *SagaRow // the initiator's saga row, or nil
	Steps   map[string]choreo.Row
	// Due is what was left until the steps that are due at some time, at least 1 µs.
	Due map[string]time.Duration
}

// Changes are what a unit of work writes besides the handlers' statements.
type Changes struct {
	Steps []StepRow
	Sagas []SagaRow
	// Entries get their order from their place here. Their records belong to the store from the
	// commit on: nobody changes their memory any more.
	Entries []Entry
	// Unpark takes parked records away, by Seq, before Park adds others. What is not
	// there, or belongs to a saga that was not named at Begin, is ignored.
	Unpark []int64
	// Park adds records behind those that are parked of the same saga, in this order. One that
	// stands there already, told by saga, topic, partition and offset, is left out.
	Park []Parked
}

// Empty reports whether there is nothing to write.
func (c *Changes) Empty() bool {
	return len(c.Steps)+len(c.Sagas)+len(c.Entries)+len(c.Unpark)+len(c.Park) == 0
}

// StepRow is a row of choreo_step, keyed by (saga, saga_id, step).
type StepRow struct {
	SagaID  SagaID
	Step    string
	Version int // of the definition
	choreo.Row
	// DueIn is how long after it is written the row is due, on the database's clock; 0:
	// it is not due at all.
	DueIn time.Duration
}

// SagaRow is a row of choreo_saga, keyed by (saga, saga_id).
type SagaRow struct {
	SagaID  SagaID
	Version int
	choreo.Row
	// DueIn is the saga's deadline, as in StepRow. In a row that was read it is what was
	// left of it then, at least 1 µs.
	DueIn time.Duration
}

// Parked is a row of choreo_parked: a record that is to be handled once its saga can go on
// here.
type Parked struct {
	Seq    int64 // the order of a saga's records is that of their commits; set by the store
	SagaID SagaID
	// Record is the record as it was read, its time to the millisecond, as Kafka has it.
	Record choreo.Record
}

// AtRest reports whether a row in this state needs nothing more from its own service, so
// that it may be pruned in time: a step that is over, or a closed saga. One that waits
// for an event, a moment or an operator is not.
func AtRest(state choreo.RowState) bool { return slices.Contains(restStates, state) }

// restStates are the states of AtRest.
var restStates = []choreo.RowState{
	choreo.RowNone, // it only keeps which command was rejected
	choreo.RowCompleted, choreo.RowFailed, choreo.RowSkipped, choreo.RowUndone, choreo.RowClosed,
}

// RestStates returns the states of [AtRest].
func RestStates() []choreo.RowState { return slices.Clone(restStates) }

// DueQuery says which due rows are asked for.
type DueQuery struct {
	Limit int // of rows
	// Except leaves out the rows of these kinds, so that what nobody can act on now does not
	// keep others from their turn.
	Except []DueKind
}

// DueKind is what due rows can have in common. The rows of a kind are equal to it in all three.
type DueKind struct {
	Saga  string // name of the definition
	Step  string // empty: the saga row
	State choreo.RowState
}

// Due names a row whose time has come: a step to try again or to give up waiting for,
// or, with an empty Step, a saga past its deadline.
type Due struct {
	SagaID  SagaID
	Version int // of the definition
	Step    string
	State   choreo.RowState
	// Attempt is that of the row. A row with another one has been acted on since.
	Attempt int
}

// Waiting is what waits in a service's database. Counts go up to [WaitingMax].
type Waiting struct {
	// Rows come in this order: what waits without a time, such as for an operator, the oldest
	// first, and then what is due, the soonest first.
	Rows []WaitingRow
	// Parked is how many sagas the service has parked, of the rows that are due soonest.
	Parked int
	Open   int // sagas that it has started and that have not closed
	Queued int // sagas that wait for their start
}

// WaitingMax is up to where Waiting counts.
const WaitingMax = 10_000

// WaitingRow is a step that waits for its next attempt, an answer from outside or an operator,
// or under [choreo.ParkedRow] a saga that is parked.
type WaitingRow struct {
	SagaID  SagaID
	Version int // of the definition; 0: not known
	Step    string
	State   choreo.RowState
	Stuck   bool
	Attempt int
	DueIn   time.Duration // as in StepRow, at least 1 µs; 0: without a time
	// Age is how long ago the row was written, or another one of its saga, at least 1 µs.
	Age     time.Duration
	Failure *choreo.Failure
}

// WithoutTime reports whether a row that is not due waits all the same: for an operator, or for
// an answer from outside.
func WithoutTime(state choreo.RowState) bool {
	return state == choreo.RowUndoFailed || state == choreo.RowPending
}

// Entry is a row of choreo_outbox: a record that is to reach the log.
type Entry struct {
	Seq       int64     // set by the store
	ID        string    // a UUID: the event's id
	Type      string    // the event's type
	CreatedAt time.Time // on the database's clock; set by the store
	Record    choreo.Record
}

// Key returns the key by which entries keep their order.
func (e *Entry) Key() string { return string(e.Record.Key) }

// Queue is the relay's side of a store.
type Queue interface {
	// Claim returns up to limit entries, the oldest first, leaving out the keys in
	// except (see Entry.Key) and those that another relay works on, or to which one was handed
	// something. The entries of a key come in order and begin with its oldest. The claim
	// must be released.
	Claim(ctx context.Context, limit int, except []string) (Claim, error)
	// HandTo has the units of this process offer to h what they commit in transactions of
	// their own, in place of what was set before; nil ends it. For some seconds after
	// their commit, claims of other processes leave such entries out, with all later ones of
	// their keys: see HandedFor.
	HandTo(h Handover)
	// Delete deletes entries that were handed over and published.
	Delete(ctx context.Context, seqs []int64) error
	// Backlog returns how many entries wait (counted up to 100,000) and how old the
	// oldest is.
	Backlog(ctx context.Context) (Backlog, error)
	// Committed returns a channel that gets a value after commits of this process that added
	// entries which were not handed over. One value may stand for many commits.
	Committed() <-chan struct{}
}

// HandedFor is how long after its commit an entry that was handed to a relay is left to it,
// on the database's clock. It is how long the entries of a process wait that was killed.
const HandedFor = 3 * time.Second

// Claim is a set of entries that one relay works on.
type Claim interface {
	// Entries returns what was claimed; none means that there is nothing to do.
	Entries() []Entry
	// Contended reports whether entries were left out because another relay works on their
	// sagas, or something was handed over that comes before them, so that asking again soon
	// is worth it.
	Contended() bool
	// Done deletes published entries. It may be called once, with part of Entries, or of what
	// Pages.Next returned and did not delete; of a claim of which it deleted some, also with none.
	Done(ctx context.Context, seqs []int64) error
	// Release gives up what is left of the claim.
	Release(ctx context.Context) error
}

// Pages is a claim that can go on beyond the entries that it began with. A store need not have
// such: who has published a claim's entries may as well make another one.
type Pages interface {
	Claim
	// Next deletes published entries of earlier pages and returns up to limit entries that come
	// after those of the last page, as they were when the claim was made: what was committed
	// since is left to the next claim, so that the entries of a key come in order and without a
	// gap. What it deletes is there again if Done does not follow. It may be called while
	// the entries of the last page are in use. None means that there are no more, or that
	// those are to be claimed anew.
	Next(ctx context.Context, published []int64, limit int) ([]Entry, error)
}

// Backlog is what waits in an outbox.
type Backlog struct {
	Entries int
	Oldest  time.Duration // age of the oldest entry on the database's clock; 0 without one
}

// Publisher writes records to the log: the relay's other side.
type Publisher interface {
	// Publish writes the records and returns once each is acknowledged or has failed:
	// nil when all are acknowledged, else one error a record (nil for acknowledged
	// ones). Records of one key keep their order: when one fails, no later one of the
	// same key and call is written.
	Publish(ctx context.Context, records []choreo.Record) []error
}
