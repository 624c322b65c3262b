package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"time"

	modernc "modernc.org/sqlite"
)

// gate lets one at a time through, first come first served.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	default:
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g gate) leave() { <-g }

// errBusy is returned to a transaction that did not get its turn in time.
var errBusy = errors.New("another transaction of this process holds the database's write lock; inside a handler, use the handler's transaction")

// connector opens connections whose writing transactions go through one gate. SQLite's
// own waiting is polling: with writers that follow each other closely, whoever sleeps
// between two looks may find the lock taken every time.
type connector struct {
	driver.Connector
	writers gate
	timeout time.Duration
}

// Connect opens a connection.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := inner.(fullConn)
	if !ok {
		_ = inner.Close() // it was never used
		return nil, lacks(inner)
	}
	return &conn{fullConn: full, connector: c, idle: make(statements)}, nil
}

// fullConn is what the driver's connections can do: what database/sql looks for, and
// what users reach by (*sql.Conn).Raw.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	NewBackup(string) (*modernc.Backup, error)
	NewRestore(string) (*modernc.Backup, error)
	Serialize() ([]byte, error)
	Deserialize([]byte) error
}

type conn struct {
	fullConn
	connector *connector
	idle      statements
}

// BeginTx begins a transaction; one that is not read-only waits for its turn.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.ReadOnly {
		return c.fullConn.BeginTx(ctx, opts)
	}
	writers := c.connector.writers
	short, cancel := context.WithTimeoutCause(ctx, c.connector.timeout, errBusy)
	err := writers.enter(short)
	cancel()
	if err != nil {
		return nil, err
	}
	tx, err := c.fullConn.BeginTx(ctx, opts)
	if err != nil {
		writers.leave()
		return nil, err
	}
	return &transaction{Tx: tx, leave: sync.OnceFunc(writers.leave)}, nil
}

type transaction struct {
	driver.Tx
	leave func()
}

// Commit commits, and lets the next one in.
func (t *transaction) Commit() error {
	defer t.leave()
	return t.Tx.Commit()
}

// Rollback rolls back, and lets the next one in.
func (t *transaction) Rollback() error {
	defer t.leave()
	return t.Tx.Rollback()
}
