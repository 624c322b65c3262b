package memory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func begin(t *testing.T, s *memory.Store) *memory.Tx {
	t.Helper()
	tx, err := s.BeginTx(t.Context())
	require.NoError(t, err)
	return tx
}

func get(t *testing.T, tx *memory.Tx, key string) string {
	t.Helper()
	v, _, err := tx.Get(table, key)
	require.NoError(t, err)
	return v
}

func id(name string) outbox.SagaID { return outbox.SagaID{Saga: "order", ID: name} }

// changes are a step row, a saga row, a parked record and an entry.
func changes(saga outbox.SagaID) outbox.Changes {
	row := choreo.Row{State: choreo.RowCompleted, Noted: []string{"first"}}
	return outbox.Changes{
		Steps: []outbox.StepRow{{SagaID: saga, Step: "charge", Version: 1, Row: row}},
		Sagas: []outbox.SagaRow{{SagaID: saga, Version: 1, Row: row}},
		Park:  []outbox.Parked{{SagaID: saga, Record: choreo.Record{Topic: "events", Value: []byte("value")}}},
		Entries: []outbox.Entry{{
			ID: uuid.NewString(), Type: string(choreo.StepCompleted),
			Record: choreo.Record{Topic: "events", Key: []byte(saga.ID), Value: []byte("value")},
		}},
	}
}

func TestTxSeesItsOwnWritesAndOthersDoNot(t *testing.T) {
	store := memory.New(memory.NewDatabase())
	tx := begin(t, store)
	require.NoError(t, tx.Put(table, "a", "1"))
	require.NoError(t, tx.Put(table, "b", "1"))
	require.NoError(t, tx.Delete(table, "b"))
	require.Equal(t, "1", get(t, tx, "a"))
	_, found, err := tx.Get(table, "b")
	require.NoError(t, err)
	require.False(t, found)
	require.Empty(t, get(t, begin(t, store), "a"))
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, "1", get(t, begin(t, store), "a"))

	require.ErrorIs(t, tx.Put(table, "a", "2"), memory.ErrTxDone)
	require.ErrorIs(t, tx.Commit(t.Context()), memory.ErrTxDone)
	require.NoError(t, tx.Rollback(t.Context()))

	tx = begin(t, store)
	require.NoError(t, tx.Delete(table, "a"))
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, "1", get(t, begin(t, store), "a"))
}

func TestTxConflicts(t *testing.T) {
	for name, test := range map[string]struct {
		first, second func(t *testing.T, tx *memory.Tx)
		conflict      bool
	}{
		"both read and write": {first: increment, second: increment, conflict: true},
		"reader of what is inserted": {
			first:    func(t *testing.T, tx *memory.Tx) { require.NoError(t, tx.Put(table, "new", "1")) },
			second:   func(t *testing.T, tx *memory.Tx) { require.Empty(t, get(t, tx, "new")) },
			conflict: true,
		},
		"reader of what is deleted": {
			first:    func(t *testing.T, tx *memory.Tx) { require.NoError(t, tx.Delete(table, "n")) },
			second:   func(t *testing.T, tx *memory.Tx) { get(t, tx, "n") },
			conflict: true,
		},
		"blind writes": {
			first:  func(t *testing.T, tx *memory.Tx) { require.NoError(t, tx.Put(table, "n", "8")) },
			second: func(t *testing.T, tx *memory.Tx) { require.NoError(t, tx.Put(table, "n", "9")) },
		},
		"different keys": {
			first:  increment,
			second: func(t *testing.T, tx *memory.Tx) { get(t, tx, "other") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory.New(memory.NewDatabase())
			tx := begin(t, store)
			require.NoError(t, tx.Put(table, "n", "1"))
			require.NoError(t, tx.Commit(t.Context()))

			first, second := begin(t, store), begin(t, store)
			test.second(t, second)
			test.first(t, first)
			require.NoError(t, first.Commit(t.Context()))
			err := second.Commit(t.Context())
			if !test.conflict {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, memory.ErrConflict)
			require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
			require.True(t, store.Transient(err))
		})
	}
}

func increment(t *testing.T, tx *memory.Tx) {
	n, err := strconv.Atoi(get(t, tx, "n"))
	require.NoError(t, err)
	require.NoError(t, tx.Put(table, "n", strconv.Itoa(n+1)))
}

// A transaction that will not be able to commit must not show its handler what never was.
func TestTxNeverReadsTwoMoments(t *testing.T) {
	store := memory.New(memory.NewDatabase())
	reader := begin(t, store)
	require.Empty(t, get(t, reader, "a"))
	writer := begin(t, store)
	require.NoError(t, writer.Put(table, "a", "1"))
	require.NoError(t, writer.Put(table, "b", "1"))
	require.NoError(t, writer.Commit(t.Context()))
	_, _, err := reader.Get(table, "b")
	require.ErrorIs(t, err, memory.ErrConflict)
}

func TestTxLosesNoUpdate(t *testing.T) {
	const workers, each = 8, 50
	db := memory.NewDatabase()
	var wg sync.WaitGroup
	for worker := range workers {
		store := memory.New(db)
		wg.Go(func() {
			for i := 0; i < each; {
				tx, err := store.BeginTx(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				v, _, err := tx.Get(table, "n")
				if err == nil {
					n, _ := strconv.Atoi(v) // "" is 0
					err = errors.Join(tx.Put(table, "n", strconv.Itoa(n+1)), tx.Put(table, fmt.Sprint(worker), v))
				}
				if err == nil {
					err = tx.Commit(t.Context())
				}
				switch {
				case err == nil:
					i++
				case !store.Transient(err):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, strconv.Itoa(workers*each), db.Snapshot().Tables[table]["n"])
}

// Two joined transactions take two sagas in opposite orders: a database finds the
// circle and fails one of them.
func TestJoinDeadlockIsFound(t *testing.T) {
	store := memory.New(memory.NewDatabase())
	one, two := begin(t, store), begin(t, store)
	// join takes a saga, and gives way when that would close the circle.
	join := func(tx *memory.Tx, name string) error {
		_, err := store.Join(t.Context(), tx, id(name))
		if err != nil {
			return errors.Join(err, tx.Rollback(t.Context()))
		}
		return nil
	}
	require.NoError(t, join(one, "a"))
	require.NoError(t, join(two, "b"))
	other := make(chan error, 1)
	go func() { other <- join(one, "b") }()
	errs := []error{join(two, "a"), <-other}
	if errs[0] == nil {
		slices.Reverse(errs)
	}
	require.ErrorIs(t, errs[0], memory.ErrConflict, "one of them, whichever came second")
	require.NoError(t, errs[1])
}

func TestUnitRefusesRowsOfOtherSagas(t *testing.T) {
	store := memory.New(memory.NewDatabase())
	for _, c := range []outbox.Changes{{Steps: changes(id("b")).Steps}, {Sagas: changes(id("b")).Sagas}, {Park: changes(id("b")).Park}} {
		u, err := store.Begin(t.Context(), id("a"))
		require.NoError(t, err)
		require.ErrorContains(t, u.Commit(t.Context(), c), "order/b")
	}
}

// A joined unit that failed half-way dooms the transaction, as a failed statement does.
func TestJoinedUnitThatFailedCannotBeCommitted(t *testing.T) {
	db := memory.NewDatabase()
	store := memory.New(db)
	tx := begin(t, store)
	require.NoError(t, tx.Put(table, "k", "v"))
	u, err := store.Join(t.Context(), tx, id("a"))
	require.NoError(t, err)
	store.SetHook(failAt(memory.OpWriteEntries, false, errors.New("disk full")))
	require.ErrorContains(t, u.Commit(t.Context(), changes(id("a"))), "disk full")
	store.SetHook(nil)
	require.ErrorIs(t, tx.Commit(t.Context()), memory.ErrTxDone)
	require.Empty(t, db.Snapshot().Tables[table]["k"])
}

func TestSnapshotIsACopy(t *testing.T) {
	db := memory.NewDatabase()
	store := memory.New(db)
	c := changes(id("a"))
	u, err := store.Begin(t.Context(), id("a"))
	require.NoError(t, err)
	require.NoError(t, u.Tx().Put(table, "k", "v"))
	require.NoError(t, u.Commit(t.Context(), c))
	for _, spoil := range []func(){
		func() {
			c.Steps[0].Noted[0], c.Entries[0].Record.Value[0], c.Park[0].Record.Value[0] = "spoilt", 'X', 'X'
		},
		func() {
			s := db.Snapshot()
			s.Steps[0].Noted[0], s.Sagas[0].Noted[0], s.Entries[0].Record.Key[0] = "spoilt", "spoilt", 'X'
			s.Parked[0].Record.Value[0] = 'X'
			s.Tables[table]["k"] = "spoilt"
		},
		func() {
			u, err := store.Begin(t.Context(), id("a"))
			require.NoError(t, err)
			u.Rows(id("a")).Steps["charge"].Noted[0] = "spoilt"
			require.Equal(t, "first", u.Rows(id("a")).Saga.Noted[0])
			parked, err := u.Parked(t.Context(), id("a"), 1)
			require.NoError(t, err)
			parked[0].Record.Value[0] = 'X'
			require.NoError(t, u.Rollback(t.Context()))
		},
	} {
		spoil()
		s := db.Snapshot()
		require.Equal(t, []string{"first"}, s.Steps[0].Noted)
		require.Equal(t, []string{"first"}, s.Sagas[0].Noted)
		require.Equal(t, "a", string(s.Entries[0].Record.Key))
		require.Equal(t, "value", string(s.Entries[0].Record.Value))
		require.Equal(t, "value", string(s.Parked[0].Record.Value))
		require.Equal(t, map[string]string{"k": "v"}, s.Tables[table])
	}
}

func TestContextEndedBeforeTheCall(t *testing.T) {
	store := memory.New(memory.NewDatabase())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.Begin(ended, id("a"))
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.Claim(ended, 1, nil)
	require.ErrorIs(t, err, context.Canceled)
	_, err = store.Backlog(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, store.Ping(ended), context.Canceled)
	require.ErrorIs(t, begin(t, store).Commit(ended), context.Canceled)
}
