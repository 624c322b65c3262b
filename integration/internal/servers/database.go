package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// dropTimeout bounds the work on one database.
const dropTimeout = 30 * time.Second

// newDatabase creates a database on the server at dsn and returns the connection
// string to it.
func newDatabase(t testing.TB, dsn string) string {
	t.Helper()
	name := "choreo_test_" + strings.ToLower(rand.Text()[:12])
	if err := execute(dsn, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create a database for the test (the role needs CREATEDB): %v", err)
	}
	t.Cleanup(func() {
		// FORCE ends the connections that the test has left open.
		if err := execute(dsn, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	own, err := withDatabase(dsn, name)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func execute(dsn, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	if closeErr := conn.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}

// withDatabase returns dsn for another database on the same server. It takes both
// forms, postgres://… and key=value.
func withDatabase(dsn, name string) (string, error) {
	if !strings.Contains(dsn, "://") {
		return dsn + " dbname=" + name, nil // the last of a key counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", fmt.Errorf("connection string of PostgreSQL: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}
