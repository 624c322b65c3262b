package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"time"

	modernc "modernc.org/sqlite"
)

// Synchronous says how far a commit waits for the disk.
type Synchronous string

// The settings of Synchronous.
const (
	// Normal does not wait: a power cut may take back the last commits.
	Normal Synchronous = "NORMAL"
	// Full waits until the commit is on the disk.
	Full Synchronous = "FULL"
)

// OpenConfig configures [Open]. Fields left zero get their default.
type OpenConfig struct {
	// Synchronous says what a power cut may take back; see the package's documentation.
	// Default: Normal.
	Synchronous Synchronous
	// BusyTimeout is how long a transaction waits for another's write lock before it
	// fails. Units of work wait until their context ends. Default: 5 s.
	BusyTimeout time.Duration
}

// Open opens a database file, and makes it if there is none: with a write-ahead log, so that
// readers and the writer do not wait for each other, with foreign keys enforced, and
// with transactions that take the write lock at their beginning, so that none fails
// half-way for want of it. A transaction begun with sql.TxOptions.ReadOnly takes none. Each
// connection keeps the statements with arguments that were run on it, so that handlers need not
// prepare theirs.
func Open(path string, config *OpenConfig) (*sql.DB, error) {
	var c OpenConfig
	if config != nil {
		c = *config
	}
	c.Synchronous = cmp.Or(c.Synchronous, Normal)
	c.BusyTimeout = cmp.Or(c.BusyTimeout, 5*time.Second)
	switch {
	case c.Synchronous != Normal && c.Synchronous != Full:
		return nil, fmt.Errorf("sqlite: OpenConfig.Synchronous is %q: use %s or %s", c.Synchronous, Normal, Full)
	case c.BusyTimeout < time.Millisecond:
		return nil, fmt.Errorf("sqlite: OpenConfig.BusyTimeout is %v: use at least 1 ms, or 0 for the default", c.BusyTimeout)
	case path == "" || strings.HasPrefix(path, ":memory:") || strings.HasPrefix(path, "file:"):
		return nil, fmt.Errorf("sqlite: %q is no path of a file: several connections must share the database", path)
	}
	base, err := modernc.NewConnector(dsn(path, &c))
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	db := sql.OpenDB(&connector{Connector: base, writers: newGate(), timeout: c.BusyTimeout})
	// The handler's connection, those of the relay and some readers; to open one costs
	// as much as several units of work.
	db.SetMaxIdleConns(8)
	var mode string
	if err := db.QueryRowContext(context.Background(), "PRAGMA journal_mode").Scan(&mode); err != nil {
		_ = db.Close() // err says more
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	if mode != "wal" {
		_ = db.Close() // nothing was written
		return nil, fmt.Errorf("sqlite: open %s: its journal mode is %s: the file system does not support a write-ahead log", path, mode)
	}
	return db, nil
}

func dsn(path string, c *OpenConfig) string {
	query := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", c.BusyTimeout.Milliseconds()),
			"journal_mode(WAL)",
			fmt.Sprintf("synchronous(%s)", c.Synchronous),
			"foreign_keys(1)",
		},
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}
