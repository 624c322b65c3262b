package outboxtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Harness is a fresh database, and what the suite needs to know of it. All
// functions may be called from several goroutines.
type Harness[Tx any] struct {
	// Store is one process's store. The suite migrates it.
	Store outbox.Store[Tx]
	// Another opens another store on the same database, which shares no connection and no
	// memory with the first: another process's view.
	Another func(t *testing.T) outbox.Store[Tx]
	// Transact runs fn in a transaction of the caller's own, on a connection of Store, and
	// commits it, or rolls it back when fn returns an error, and returns that error.
	Transact func(ctx context.Context, fn func(tx Tx) error) error
	// Put is a handler's statement: it sets the value of a key in a table of the user's.
	Put func(ctx context.Context, tx Tx, key, value string) error
	// Get returns what is committed under a key, "" without one. It uses no connection
	// of Store.
	Get func(ctx context.Context, key string) (string, error)

	// OneWriter says that the database has one writing transaction at a time, so that
	// units of different sagas cannot run side by side.
	OneWriter bool
	// ClaimsPerProcess says that a store knows only the claims of its own process: relays
	// of two processes may publish the same entries.
	ClaimsPerProcess bool
	// Cut, if set, breaks a connection of Store at the n-th exchange with the database
	// from now on, counted from 0: before it reaches the database or, with after, when
	// it was carried out and its answer is on its way. What goes on later uses new
	// connections. The returned function ends this and reports whether it came to the cut.
	Cut func(n int, after bool) (end func() (cut bool))
	// Disconnect, if set, breaks all connections of Store, as the death of its
	// process does. The next use makes new ones.
	Disconnect func()
}

// test is a subtest.
type test[Tx any] struct {
	name string
	run  func(*exercise[Tx])
}

// Exercise checks that a store keeps the promises of outbox.Store. open returns an empty
// database that no other subtest uses, and closes it by t.Cleanup.
func Exercise[Tx any](t *testing.T, open func(t *testing.T) Harness[Tx]) {
	tests := []test[Tx]{
		{"Migrate/TwiceAndAtOnce", (*exercise[Tx]).migrate},
		{"Rows/RoundTrip", (*exercise[Tx]).rowsRoundTrip},
		{"Rows/Overwrite", (*exercise[Tx]).rowsOverwrite},
		{"Rows/VersionUnknown", (*exercise[Tx]).versionUnknown},
		{"Rows/SameIDInTwoDefinitions", (*exercise[Tx]).rowsOfTwoDefinitions},
		{"Rows/HostileText", (*exercise[Tx]).hostileText},
		{"Entries/RoundTrip", (*exercise[Tx]).entriesRoundTrip},
		{"Entries/AnyKeyAndValue", (*exercise[Tx]).keysRoundTrip},
		{"Unit/ManySagas", (*exercise[Tx]).manySagas},
		{"Unit/Rollback", (*exercise[Tx]).rollback},
		{"Unit/CommitWithEndedContext", (*exercise[Tx]).commitWithEndedContext},
		{"Unit/OneSagaSerialises", (*exercise[Tx]).oneSagaSerialises},
		{"Unit/NoLostUpdate", (*exercise[Tx]).noLostUpdate},
		{"Unit/OtherSagasRunBeside", (*exercise[Tx]).otherSagasRunBeside},
		{"Unit/OppositeOrdersDoNotDeadlock", (*exercise[Tx]).oppositeOrders},
		{"Unit/WaitForLockEndsWithContext", (*exercise[Tx]).waitEndsWithContext},
		{"Unit/Transient", (*exercise[Tx]).transient},
		{"Join/CommitAndRollbackAreTheCallers", (*exercise[Tx]).joinEnds},
		{"Join/SeesAndLocks", (*exercise[Tx]).joinSeesAndLocks},
		{"Join/InsideAUnitsOwnTransaction", (*exercise[Tx]).joinInsideUnit},
		{"G1Atomic/Unit", (*exercise[Tx]).atomicUnit},
		{"G1Atomic/Join", (*exercise[Tx]).atomicJoin},
		{"G1Atomic/JoinRolledBackAtEveryPoint", (*exercise[Tx]).atomicJoinRolledBack},
		{"Claim/Empty", (*exercise[Tx]).claimEmpty},
		{"Claim/OldestFirstUpToLimit", (*exercise[Tx]).claimOldestFirst},
		{"Claim/Except", (*exercise[Tx]).claimExcept},
		{"Claim/DoneOfAPart", (*exercise[Tx]).claimDoneOfAPart},
		{"Claim/KeysAreExclusive", (*exercise[Tx]).claimKeysAreExclusive},
		{"Claim/BlocksNoWriter", (*exercise[Tx]).claimBlocksNoWriter},
		{"Claim/LargeBacklog", (*exercise[Tx]).claimLargeBacklog},
		{"Claim/Pages", (*exercise[Tx]).claimPages},
		{"Claim/EndsWithItsConnection", (*exercise[Tx]).claimEndsWithItsConnection},
		{"Backlog", (*exercise[Tx]).backlog},
		{"Waiting", (*exercise[Tx]).waiting},
		{"Parked/RoundTrip", (*exercise[Tx]).parkedRoundTrip},
		{"Parked/OnceEach", (*exercise[Tx]).parkedOnceEach},
		{"Parked/Unpark", (*exercise[Tx]).unpark},
		{"Parked/WithinATransaction", (*exercise[Tx]).parkedWithinATransaction},
		{"Parked/CommitOrder", (*exercise[Tx]).parkedInCommitOrder},
		{"CountOpen", (*exercise[Tx]).countOpen},
		{"Due", (*exercise[Tx]).due},
		{"Due/Except", (*exercise[Tx]).dueExcept},
		{"Due/Hasten", (*exercise[Tx]).hasten},
		{"Prune/SagasThatRest", (*exercise[Tx]).pruneRest},
		{"Prune/Parked", (*exercise[Tx]).pruneParked},
		{"Prune/Limit", (*exercise[Tx]).pruneLimit},
		{"Prune/LeavesWhatUnitsHold", (*exercise[Tx]).pruneHeld},
		{"Prune/WritersAndTwoProcesses", (*exercise[Tx]).pruneBesideWriters},
		{"Committed", (*exercise[Tx]).committed},
		{"Handed/InCommitOrder", (*exercise[Tx]).handedOver},
		{"Handed/NotWithoutCommit", (*exercise[Tx]).handedAndNotCommitted},
		{"Handed/AnyKey", (*exercise[Tx]).handedKeysOfAllKinds},
		{"Handed/IsLeftAlone", (*exercise[Tx]).handedIsLeftAlone},
		{"Handed/Delete", (*exercise[Tx]).handedAndDeleted},
		{"G9Order/ConcurrentWriters", (*exercise[Tx]).orderOfConcurrentWriters},
		{"G9Order/CommitOrderIsNotIDOrder", (*exercise[Tx]).commitOrderIsNotIDOrder},
		{"G7NoLoss/TwoRelaysAndWriters", (*exercise[Tx]).twoRelays},
		{"G7NoLoss/RelayDiesBeforeDelete", (*exercise[Tx]).relayDiesBeforeDelete},
		{"G7NoLoss/BrokerAnswersTwice", (*exercise[Tx]).brokerAnswersTwice},
		{"G7NoLoss/BrokerAnswersLate", (*exercise[Tx]).brokerAnswersLate},
		{"G7NoLoss/BrokerAwayAndBack", (*exercise[Tx]).brokerAwayAndBack},
		{"G7NoLoss/JoinedTransactionCommitsLater", (*exercise[Tx]).joinedCommitsLater},
		{"G8Isolation/PoisonedRecord", (*exercise[Tx]).poisonedRecord},
	}
	for _, test := range append(tests, groupTests[Tx]()...) {
		t.Run(test.name, func(t *testing.T) { onFreshDatabase(t, open, test.run) })
	}
}

func onFreshDatabase[Tx any](t *testing.T, open func(t *testing.T) Harness[Tx], run func(*exercise[Tx])) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	x := &exercise[Tx]{T: t, Harness: open(t), ctx: ctx}
	require.NoError(t, x.Store.Migrate(ctx))
	run(x)
}

// exercise is one subtest.
type exercise[Tx any] struct {
	*testing.T
	Harness[Tx]
	ctx context.Context
}

// saga returns an id that sorts like its number.
func saga(n int) outbox.SagaID {
	return outbox.SagaID{Saga: "order", ID: fmt.Sprintf("order-%04d", n)}
}

// entry returns the n-th entry of a saga; Log finds key and number in the value.
func entry(saga outbox.SagaID, n int) outbox.Entry {
	return outbox.Entry{
		ID:   uuid.NewString(),
		Type: string(choreo.StepCompleted),
		Record: choreo.Record{
			Topic:     "choreo.order.events",
			Partition: choreo.AnyPartition,
			Key:       []byte(saga.ID),
			Value:     []byte(value(saga.ID, n)),
			Headers:   []choreo.Header{{Key: "ce_specversion", Value: []byte("1.0")}},
		},
	}
}

func value(key string, n int) string { return fmt.Sprintf("%s#%d", key, n) }

// entries returns entries 1 to n of a saga.
func entries(saga outbox.SagaID, n int) []outbox.Entry {
	list := make([]outbox.Entry, n)
	for i := range list {
		list[i] = entry(saga, i+1)
	}
	return list
}

// commit writes changes in a unit of the sagas.
func (x *exercise[Tx]) commit(store outbox.Store[Tx], changes outbox.Changes, sagas ...outbox.SagaID) {
	x.Helper()
	require.NoError(x, x.begin(store, sagas...).Commit(x.ctx, changes))
}

// emit commits one entry each, saga by saga.
func (x *exercise[Tx]) emit(sagas ...outbox.SagaID) {
	x.Helper()
	for _, id := range sagas {
		x.commit(x.Store, outbox.Changes{Entries: entries(id, 1)}, id)
	}
}

// next does a unit of work that counts: it reads the attempts of a saga's step, writes
// one more and emits an entry of that number. Since units of a saga run one after another, the
// numbers are the order of its commits.
func next[Tx any](ctx context.Context, store outbox.Store[Tx], sagas ...outbox.SagaID) error {
	u, err := store.Begin(ctx, sagas...)
	if err != nil {
		return err
	}
	var changes outbox.Changes
	for _, id := range sagas {
		row := u.Rows(id).Steps[countStep]
		row.State, row.Attempt = choreo.RowRetrying, row.Attempt+1
		changes.Steps = append(changes.Steps, outbox.StepRow{SagaID: id, Step: countStep, Version: 1, Row: row})
		changes.Entries = append(changes.Entries, entry(id, row.Attempt))
	}
	return u.Commit(ctx, changes)
}

const countStep = "count"

// rows loads a saga's rows as another process sees them.
func (x *exercise[Tx]) rows(store outbox.Store[Tx], id outbox.SagaID) outbox.Rows {
	x.Helper()
	u := x.begin(store, id)
	rows := u.Rows(id)
	require.NoError(x, u.Rollback(x.ctx))
	return rows
}

// begin begins a unit, which a failing test leaves no locks of.
func (x *exercise[Tx]) begin(store outbox.Store[Tx], sagas ...outbox.SagaID) outbox.Unit[Tx] {
	x.Helper()
	u, err := store.Begin(x.ctx, sagas...)
	require.NoError(x, err)
	x.Cleanup(func() {
		if x.Failed() {
			_ = u.Rollback(context.Background()) // it may have ended: the test has failed already
		}
	})
	return u
}

// claim claims; a failing test leaves no claim behind.
func (x *exercise[Tx]) claim(store outbox.Store[Tx], limit int, except ...string) outbox.Claim {
	x.Helper()
	c, err := store.Claim(x.ctx, limit, except)
	require.NoError(x, err)
	x.Cleanup(func() {
		if x.Failed() {
			_ = c.Release(context.Background()) // it may be released: the test has failed already
		}
	})
	return c
}

// peek returns the values of what a claim gets, and gives it back.
func (x *exercise[Tx]) peek(store outbox.Store[Tx], limit int, except ...string) []string {
	x.Helper()
	c := x.claim(store, limit, except...)
	defer func() { require.NoError(x, c.Release(x.ctx)) }()
	return values(c.Entries())
}

func values(entries []outbox.Entry) []string {
	list := make([]string, len(entries))
	for i := range entries {
		list[i] = string(entries[i].Record.Value)
	}
	return list
}

func seqs(entries []outbox.Entry) []int64 {
	list := make([]int64, len(entries))
	for i := range entries {
		list[i] = entries[i].Seq
	}
	return list
}

// waits is how long something is given that must not happen while a lock is held.
const waits = 100 * time.Millisecond
