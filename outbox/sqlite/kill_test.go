package sqlite_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox/sqlite"
)

// killed names the database on which this binary works until it is killed.
const killed = "CHOREO_TEST_SQLITE_KILLED"

// TestKilledChild is the process that TestG1AtomicUnderKill9 kills.
func TestKilledChild(t *testing.T) {
	path := os.Getenv(killed)
	if path == "" {
		t.Skip("it is started by TestG1AtomicUnderKill9")
	}
	store := sqlite.New(open(t, path), nil)
	first, err := strconv.Atoi(os.Getenv(killed + "_FIRST"))
	require.NoError(t, err)
	for n := first; ; n++ {
		u, err := store.Begin(t.Context(), order(n))
		require.NoError(t, err)
		_, err = u.Tx().ExecContext(t.Context(), "INSERT INTO users_own VALUES (?)", order(n).ID)
		require.NoError(t, err)
		require.NoError(t, u.Commit(t.Context(), completed(order(n))))
		fmt.Println(n)
	}
}

// TestG1AtomicUnderKill9: what a process committed survives its death, and of a unit
// everything is there or nothing.
func TestG1AtomicUnderKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "service.db")
	db := open(t, path)
	migrated(t, db)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE users_own (id TEXT PRIMARY KEY)")
	require.NoError(t, err)
	last := -1
	for _, units := range []int{1, 17, 100, 250} {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
		child.Env = append(os.Environ(), killed+"="+path, fmt.Sprintf("%s_FIRST=%d", killed, last+1))
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		told := last
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.Atoi(lines.Text()); err == nil { // the last line may be cut short
				told = max(told, n)
			}
			if told == last+units {
				require.NoError(t, child.Process.Kill()) // while the next unit is under way
			}
		}
		require.ErrorContains(t, child.Wait(), "killed")
		require.GreaterOrEqual(t, told, last+units)

		for _, ids := range []string{
			"SELECT id FROM users_own", "SELECT saga_id FROM choreo_step", "SELECT aggregateid FROM choreo_outbox",
		} {
			var count, missing int
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM ("+ids+")").Scan(&count))
			require.GreaterOrEqual(t, count, told+1, "what was committed is there")
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM (SELECT id FROM users_own EXCEPT "+ids+")").Scan(&missing))
			require.Zero(t, missing, "no half unit: %s", ids)
			last = max(last, count-1)
		}
	}
}
