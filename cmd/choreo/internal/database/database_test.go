package database_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/cmd/choreo/internal/database"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "choreo")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := database.Open(context.Background(), "sqlite:"+filepath.Join(dir, "shop.db"), "", database.Outbox, true)
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	have, _, err := db.Version(context.Background())
	fmt.Println(db.Kind, have, err)
	// Output: SQLite 0 <nil>
}

func TestBothKindsOfTablesShareAFile(t *testing.T) {
	address := "sqlite:" + filepath.Join(t.TempDir(), "x.db")
	for _, of := range []database.Tables{database.Outbox, database.Tracker} {
		db, err := database.Open(t.Context(), address, "", of, true)
		require.NoError(t, err)
		have, want, err := db.Version(t.Context())
		require.NoError(t, err)
		require.Zero(t, have)
		require.NoError(t, db.Migrate(t.Context()))
		have, again, err := db.Version(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, have)
		require.Equal(t, want, again)
		require.NoError(t, db.Close())
	}
}

func TestAddressesThatMakeNoSense(t *testing.T) {
	for address, code := range map[string]exit.Code{
		"": exit.Usage, "sqlite:": exit.Usage, "mysql://x": exit.Usage, "postgres://[": exit.Usage, "sqlite:" + filepath.Join(t.TempDir(), "no.db"): exit.NotFound,
	} {
		_, err := database.Open(t.Context(), address, "", database.Outbox, false)
		require.Equal(t, code, exit.Of(err), "%q: %v", address, err)
	}
	_, err := database.Open(t.Context(), "postgres://me:secret@127.0.0.1:1/x?connect_timeout=1", "", database.Outbox, false)
	require.ErrorContains(t, err, "cannot be reached")
	require.NotContains(t, err.Error(), "secret")
}
