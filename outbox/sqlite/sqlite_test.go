package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	modernc "modernc.org/sqlite"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/sqlite"
)

func migrated(t testing.TB, db *sql.DB) *sqlite.Store {
	t.Helper()
	store := sqlite.New(db, nil)
	require.NoError(t, store.Migrate(t.Context()))
	return store
}

func order(n int) outbox.SagaID { return outbox.SagaID{Saga: "order", ID: fmt.Sprintf("order-%d", n)} }

// completed is a step's row and its entry.
func completed(id outbox.SagaID) outbox.Changes {
	return outbox.Changes{
		Steps: []outbox.StepRow{{SagaID: id, Step: "charge", Version: 1, Row: choreo.Row{State: choreo.RowCompleted, Attempt: 1}}},
		Entries: []outbox.Entry{{ID: uuid.NewString(), Type: string(choreo.StepCompleted), Record: choreo.Record{
			Topic: "choreo.order.events", Key: []byte(id.ID), Value: []byte("{}"),
		}}},
	}
}

func TestOpenSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b%3f?_pragma=synchronous(0)#ü.db")
	for want, synchronous := range map[int]sqlite.Synchronous{1: sqlite.Normal, 2: sqlite.Full} {
		db, err := sqlite.Open(path, &sqlite.OpenConfig{Synchronous: synchronous, BusyTimeout: 70 * time.Millisecond})
		require.NoError(t, err)
		for pragma, want := range map[string]any{
			"synchronous": int64(want), "journal_mode": "wal", "foreign_keys": int64(1), "busy_timeout": int64(70),
		} {
			var got any
			require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got))
			require.Equal(t, want, got, pragma)
		}
		require.NoError(t, db.Close())
	}
	_, err := os.Stat(path)
	require.NoError(t, err, "the file has the name that was asked for")
}

func TestOpenFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no.db")
	require.NoError(t, os.WriteFile(file, []byte("this is a text and no database, and long enough to be seen as one.\n"), 0o600))
	for text, open := range map[string]func() (*sql.DB, error){
		"no path":     func() (*sql.DB, error) { return sqlite.Open("", nil) },
		":memory:":    func() (*sql.DB, error) { return sqlite.Open(":memory:", nil) },
		"BusyTimeout": func() (*sql.DB, error) { return sqlite.Open("x.db", &sqlite.OpenConfig{BusyTimeout: -1}) },
		"OFF":         func() (*sql.DB, error) { return sqlite.Open("x.db", &sqlite.OpenConfig{Synchronous: "OFF"}) },
		"nowhere":     func() (*sql.DB, error) { return sqlite.Open(filepath.Join(t.TempDir(), "nowhere", "x.db"), nil) },
		"no.db":       func() (*sql.DB, error) { return sqlite.Open(file, nil) },
	} {
		_, err := open()
		require.ErrorContains(t, err, text)
	}
}

func TestMigrateRefuses(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "service.db"))
	store := migrated(t, db)
	var before int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM choreo_migration").Scan(&before))
	_, err := db.ExecContext(t.Context(), "INSERT INTO choreo_migration (version, name) VALUES (99, 'from the future')")
	require.NoError(t, err)
	require.ErrorContains(t, store.Migrate(t.Context()), "a newer build has migrated it")
	var after int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM choreo_migration").Scan(&after))
	require.Equal(t, before+1, after, "nothing was changed")

	db.SetMaxOpenConns(1)
	require.ErrorContains(t, store.Migrate(t.Context()), "SetMaxOpenConns")
}

func TestBeginBeforeMigrate(t *testing.T) {
	store := sqlite.New(open(t, filepath.Join(t.TempDir(), "service.db")), nil)
	_, err := store.Begin(t.Context(), order(1))
	require.ErrorContains(t, err, "no such table")
	require.NoError(t, store.Migrate(t.Context()))
	u, err := store.Begin(t.Context(), order(1))
	require.NoError(t, err, "the attempt before leaves nothing behind")
	require.NoError(t, u.Rollback(t.Context()))
}

// TestContextOfBeginEndsEarly: the transaction outlives the context that began it.
func TestContextOfBeginEndsEarly(t *testing.T) {
	store := migrated(t, open(t, filepath.Join(t.TempDir(), "service.db")))
	ctx, cancel := context.WithCancel(t.Context())
	u, err := store.Begin(ctx, order(1))
	require.NoError(t, err)
	cancel()
	require.NoError(t, u.Commit(t.Context(), completed(order(1))))
}

func TestHandlerEndsTheTransaction(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "service.db"))
	store := migrated(t, db)
	for _, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
		for _, changes := range []outbox.Changes{completed(order(1)), {}} {
			u, err := store.Begin(t.Context(), order(1))
			require.NoError(t, err)
			require.NoError(t, end(u.Tx()))
			err = u.Commit(t.Context(), changes)
			require.ErrorContains(t, err, "a handler ended the transaction")
			require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
			require.False(t, store.Transient(err))
		}
	}
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM choreo_step) + (SELECT count(*) FROM choreo_outbox)").Scan(&n))
	require.Zero(t, n)
}

// TestDeferredConstraint: SQLite refuses the commit itself.
func TestDeferredConstraint(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "service.db"))
	store := migrated(t, db)
	_, err := db.ExecContext(t.Context(), `CREATE TABLE a (id INTEGER PRIMARY KEY);
		CREATE TABLE b (a INTEGER REFERENCES a DEFERRABLE INITIALLY DEFERRED)`)
	require.NoError(t, err)
	u, err := store.Begin(t.Context(), order(1))
	require.NoError(t, err)
	_, err = u.Tx().ExecContext(t.Context(), "INSERT INTO b VALUES (7)")
	require.NoError(t, err)
	err = u.Commit(t.Context(), completed(order(1)))
	require.ErrorContains(t, err, "FOREIGN KEY")
	require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
	require.False(t, store.Transient(err))
	u, err = store.Begin(t.Context(), order(1))
	require.NoError(t, err)
	require.Empty(t, u.Rows(order(1)).Steps)
	require.NoError(t, u.Rollback(t.Context()))
}

// TestUsersAreNotCrowdedOut: units follow each other without a pause, and the user's own
// transactions get their turn.
func TestUsersAreNotCrowdedOut(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "service.db"))
	store := migrated(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for ctx.Err() == nil {
				u, err := store.Begin(t.Context(), order(1))
				if err == nil {
					err = u.Commit(t.Context(), completed(order(1)))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 30 {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "DELETE FROM choreo_outbox")
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
	}
	cancel()
	workers.Wait()
}

func TestWaitForTheTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "service.db")
	db, err := sqlite.Open(path, &sqlite.OpenConfig{BusyTimeout: time.Millisecond})
	require.NoError(t, err)
	defer db.Close()
	store := migrated(t, db)
	holders := map[string]*sql.DB{"this process": db, "another process": open(t, path)}
	for who, holder := range holders {
		held, err := holder.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = db.BeginTx(t.Context(), nil)
		require.Error(t, err, who)
		require.True(t, store.Transient(err), "%s: %v", who, err)
		reading, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err, "a reader waits for nobody")
		require.NoError(t, reading.Rollback())

		begun := make(chan error, 1)
		go func() {
			u, err := store.Begin(t.Context(), order(1))
			if err == nil {
				err = u.Rollback(t.Context())
			}
			begun <- err
		}()
		for range 3 { // longer than the timeout
			_, err = db.BeginTx(t.Context(), nil)
			require.Error(t, err, who)
		}
		require.Empty(t, begun)
		require.NoError(t, held.Commit())
		require.NoError(t, <-begun, who)
	}
}

// TestTransactionsThatBeginWithoutTheLock: over a database that was not opened by Open, and
// whose transactions take the write lock with their first write, a unit has it from the
// beginning all the same: two units cannot read the same row.
func TestTransactionsThatBeginWithoutTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "service.db")
	first := migrated(t, open(t, path))
	deferred, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(0)")
	require.NoError(t, err)
	defer deferred.Close()
	second := sqlite.New(deferred, nil)

	a, err := first.Begin(t.Context(), order(1))
	require.NoError(t, err)
	_, err = second.Begin(t.Context(), order(1))
	require.Error(t, err)
	require.True(t, second.Transient(err), "%v", err)
	require.NoError(t, a.Commit(t.Context(), completed(order(1))))
	b, err := second.Begin(t.Context(), order(1))
	require.NoError(t, err)
	require.Equal(t, choreo.RowCompleted, b.Rows(order(1)).Steps["charge"].State)
	require.NoError(t, b.Rollback(t.Context()))
}

// TestBinaryKeys: keys that are no text survive, and can be left out of a claim.
func TestBinaryKeys(t *testing.T) {
	store := migrated(t, open(t, filepath.Join(t.TempDir(), "service.db")))
	keys := [][]byte{{0xff, 0}, []byte("text"), nil, {}}
	var changes outbox.Changes
	for _, key := range keys {
		changes.Entries = append(changes.Entries, outbox.Entry{ID: uuid.NewString(), Record: choreo.Record{Topic: "t", Key: key, Value: key}})
	}
	u, err := store.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, u.Commit(t.Context(), changes))
	c, err := store.Claim(t.Context(), 10, nil)
	require.NoError(t, err)
	require.Len(t, c.Entries(), len(keys))
	for i, e := range c.Entries() {
		require.Equal(t, keys[i], e.Record.Key)
		require.Equal(t, keys[i], e.Record.Value, "a tombstone stays one")
	}
	require.NoError(t, c.Release(t.Context()))
	c, err = store.Claim(t.Context(), 10, []string{"\xff\x00"})
	require.NoError(t, err)
	require.Len(t, c.Entries(), len(keys)-1)
	require.NoError(t, c.Release(t.Context()))
}

// TestRawConnection: what users reach by Raw of a connection is still there.
func TestRawConnection(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "service.db"))
	migrated(t, db)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, conn.Raw(func(raw any) error {
		backup, err := raw.(interface {
			NewBackup(string) (*modernc.Backup, error)
		}).NewBackup(copied)
		if err != nil {
			return err
		}
		_, err = backup.Step(-1)
		require.NoError(t, err)
		return backup.Finish()
	}))
	require.NoError(t, conn.Close())
	require.NoError(t, migrated(t, open(t, copied)).Ping(t.Context()))
}

func TestVersion(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "x.db"), nil)
	require.NoError(t, err)
	defer db.Close()
	store := sqlite.New(db, nil)
	have, want, err := store.Version(t.Context())
	require.NoError(t, err)
	require.Zero(t, have)
	require.Positive(t, want)
	require.NoError(t, store.Migrate(t.Context()))
	have, _, err = store.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, have)
}
