package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/integration/internal/servers"
)

// buildCLI builds the command line, once.
var buildCLI = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "choreo-cli-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "choreo")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../cmd/choreo")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the command line: %w\n%s", err, out)
	}
	return binary, nil
})

// cli returns a command of the command line. Its environment has what is named and nothing else of
// Choreo's, so that no setting of whoever runs the tests counts.
func cli(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := buildCLI()
	require.NoError(t, err)
	cmd := exec.CommandContext(context.Background(), binary, args...) // the test's own ends before its cleanup
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	return cmd
}

// runCLI runs a command to its end.
func runCLI(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := cli(t, env, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestDatabaseCommandsOnPostgres makes the tables of both kinds, in a schema of their own and in the
// default one.
func TestDatabaseCommandsOnPostgres(t *testing.T) {
	type standing struct {
		Database, Tables, Schema, State string
		Version, Build                  int
	}
	for _, kind := range []struct{ tables, migrations string }{{"outbox", "choreo_migration"}, {"tracker", "choreo_tracker_migration"}} {
		for _, schema := range []string{"", "ops"} {
			t.Run(kind.tables+"/"+schema, func(t *testing.T) {
				db := &outboxDatabase{dsn: servers.Postgres(t)}
				env := []string{"CHOREO_DATABASE=" + db.dsn, "CHOREO_DATABASE_SCHEMA=" + schema}
				status := func(code int, state string) standing {
					t.Helper()
					got, stdout, stderr := runCLI(t, env, "db", "status", "--tables", kind.tables, "-o", "json")
					require.Equal(t, code, got, stderr)
					var s standing
					require.NoError(t, json.Unmarshal([]byte(stdout), &s), stdout)
					require.Equal(t, state, s.State)
					require.Equal(t, []string{"PostgreSQL", kind.tables, schema}, []string{s.Database, s.Tables, s.Schema})
					return s
				}
				migrate := func(args ...string) (code int, stderr string) {
					t.Helper()
					code, _, stderr = runCLI(t, env, append([]string{"db", "migrate", "--tables", kind.tables}, args...)...)
					return code, stderr
				}
				require.Zero(t, status(1, "none").Version)
				code, stderr := migrate("--dry-run")
				require.Zero(t, code, stderr)
				require.Zero(t, status(1, "none").Version, "a dry run changes nothing")
				code, stderr = migrate("--yes")
				require.Zero(t, code, stderr)
				require.Contains(t, stderr, "Migrated.")
				s := status(0, "current")
				require.Equal(t, s.Build, s.Version)
				code, stderr = migrate() // there is nothing to ask
				require.Zero(t, code, stderr)
				require.NotContains(t, stderr, "Migrated.")

				table := kind.migrations
				if schema != "" {
					table = schema + "." + table
				}
				_, err := db.pool(t, nil).Exec(t.Context(), "INSERT INTO "+table+" (version, name) VALUES ($1, 'later')", s.Build+1)
				require.NoError(t, err)
				require.Equal(t, s.Build+1, status(1, "newer").Version)
				code, stderr = migrate("--yes")
				require.Equal(t, 1, code)
				require.Contains(t, stderr, "a newer build has migrated it")
			})
		}
	}
}
