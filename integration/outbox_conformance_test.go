package integration

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/integration/internal/servers"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/outboxtest"
	"github.com/choreo-go/choreo/outbox/postgres"
)

func TestOutboxOnPostgres(t *testing.T) {
	db := newOutboxDatabase(t)
	outboxtest.Exercise(t, func(t *testing.T) outboxtest.Harness[pgx.Tx] {
		schema := db.schema(t)
		wires := &wires{open: make(map[*wire]struct{})}
		pool := db.pool(t, wires)
		h := outboxtest.Harness[pgx.Tx]{
			Store: postgres.New(pool, &postgres.Config{Schema: schema}),
			Another: func(t *testing.T) outbox.Store[pgx.Tx] {
				return postgres.New(db.pool(t, nil), &postgres.Config{Schema: schema})
			},
			Transact: func(ctx context.Context, fn func(pgx.Tx) error) error {
				tx, err := pool.Begin(ctx)
				if err != nil {
					return err
				}
				if err := fn(tx); err != nil {
					_ = tx.Rollback(ctx) // err says more
					return err
				}
				return tx.Commit(ctx)
			},
			Put: func(ctx context.Context, tx pgx.Tx, key, value string) error {
				_, err := tx.Exec(ctx, put(schema), key, value)
				return err
			},
			Get: db.get(schema), Cut: wires.cut, Disconnect: wires.disconnect,
		}
		return h
	})
}

func TestOutboxOnPostgresOverSQL(t *testing.T) {
	db := newOutboxDatabase(t)
	outboxtest.Exercise(t, func(t *testing.T) outboxtest.Harness[*sql.Tx] {
		schema := db.schema(t)
		wires := &wires{open: make(map[*wire]struct{})}
		sqlDB := db.sql(t, wires)
		return outboxtest.Harness[*sql.Tx]{
			Store: postgres.NewSQL(sqlDB, &postgres.Config{Schema: schema}),
			Another: func(t *testing.T) outbox.Store[*sql.Tx] {
				return postgres.NewSQL(db.sql(t, nil), &postgres.Config{Schema: schema})
			},
			Transact: func(ctx context.Context, fn func(*sql.Tx) error) error {
				tx, err := sqlDB.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				if err := fn(tx); err != nil {
					_ = tx.Rollback() // err says more
					return err
				}
				return tx.Commit()
			},
			Put: func(ctx context.Context, tx *sql.Tx, key, value string) error {
				_, err := tx.ExecContext(ctx, put(schema), key, value)
				return err
			},
			Get: db.get(schema), Cut: wires.cut, Disconnect: wires.disconnect,
		}
	})
}

// outboxDatabase is a database in which each subtest has a schema of its own.
type outboxDatabase struct {
	dsn     string
	admin   *pgxpool.Pool
	schemas atomic.Int64
}

func newOutboxDatabase(t *testing.T) *outboxDatabase {
	db := &outboxDatabase{dsn: servers.Postgres(t)}
	db.admin = db.pool(t, nil)
	return db
}

// schema makes a schema with a table of the user's.
func (db *outboxDatabase) schema(t *testing.T) string {
	name := fmt.Sprintf(`Service "%d"`, db.schemas.Add(1))
	_, err := db.admin.Exec(t.Context(), fmt.Sprintf(`CREATE SCHEMA %s; CREATE TABLE %[1]s.users_own (key text PRIMARY KEY, value text NOT NULL)`,
		pgx.Identifier{name}.Sanitize()))
	require.NoError(t, err)
	return name
}

func put(schema string) string {
	return "INSERT INTO " + pgx.Identifier{schema}.Sanitize() +
		".users_own VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
}

func (db *outboxDatabase) get(schema string) func(context.Context, string) (string, error) {
	return func(ctx context.Context, key string) (string, error) {
		var value string
		err := db.admin.QueryRow(ctx, "SELECT value FROM "+pgx.Identifier{schema}.Sanitize()+".users_own WHERE key = $1", key).Scan(&value)
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		}
		return value, err
	}
}

func (db *outboxDatabase) config(t testing.TB, wires *wires) *pgxpool.Config {
	t.Helper()
	config, err := pgxpool.ParseConfig(db.dsn)
	require.NoError(t, err)
	config.MaxConns = 16
	if wires != nil {
		config.ConnConfig.DialFunc = wires.dial
	}
	return config
}

func (db *outboxDatabase) pool(t testing.TB, wires *wires) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), db.config(t, wires))
	require.NoError(t, err)
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() { pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(5 * time.Second): // a test that failed holds a connection
			pool.Reset()
		}
	})
	return pool
}

func (db *outboxDatabase) sql(t *testing.T, wires *wires) *sql.DB {
	sqlDB := stdlib.OpenDB(*db.config(t, wires).ConnConfig)
	sqlDB.SetMaxIdleConns(16)
	t.Cleanup(func() { _ = sqlDB.Close() }) // connections that a test broke cannot say goodbye
	return sqlDB
}

// wires are the connections of one store, any of which can be broken.
type wires struct {
	mu    sync.Mutex
	open  map[*wire]struct{}
	armed bool
	left  int // exchanges until the cut
	after bool
	eof   bool // an answer that is lost comes as the end of a file, not as a reset
}

func (w *wires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &wire{Conn: conn, all: w}
	w.mu.Lock()
	w.open[c] = struct{}{}
	w.mu.Unlock()
	return c, nil
}

func (w *wires) disconnect() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Conn.Close() // that is all that is wanted
	}
	clear(w.open)
}

func (w *wires) cut(n int, after bool) func() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.left, w.after = true, n, after
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		cut := !w.armed
		w.armed = false
		return cut
	}
}

// due counts an exchange and reports whether it is the one to cut, and how.
func (w *wires) due() (cut, after bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed {
		return false, false
	}
	w.left--
	w.armed = w.left >= 0
	return !w.armed, w.after
}

// wire is a connection. pgx sends what belongs together in one Write, and then reads.
type wire struct {
	net.Conn
	all    *wires
	lost   atomic.Bool // the next answer gets lost
	logged atomic.Bool // the server has said that it is ready for queries
}

func (c *wire) Write(b []byte) (int, error) {
	const terminate = 'X' // not an exchange: nothing answers
	if len(b) > 0 && b[0] == terminate {
		return c.Conn.Write(b)
	}
	cut, after := c.all.due()
	if cut && !after {
		return 0, c.reset("write")
	}
	c.lost.Store(cut)
	return c.Conn.Write(b)
}

func (c *wire) Read(b []byte) (int, error) {
	if c.lost.Load() {
		c.awaitAnswer()
		err := c.reset("read")
		if c.all.eof {
			err = io.EOF
		}
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.logged.Store(c.logged.Load() || ready(b[:n]))
	return n, err
}

// reset breaks the connection and returns what the operating system would say of it.
func (c *wire) reset(op string) error {
	_ = c.Conn.Close() // the error says what happened
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: syscall.ECONNRESET}
}

// ready reports whether what the server sent ends with ReadyForQuery.
func ready(b []byte) bool {
	return len(b) >= 6 && bytes.Equal(b[len(b)-6:len(b)-1], []byte{'Z', 0, 0, 0, 5})
}

// awaitAnswer waits until the server has carried out what it was sent.
func (c *wire) awaitAnswer() {
	var tail []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.Conn.Read(buffer)
		tail = append(tail, buffer[:n]...)
		if err != nil || ready(tail) || !c.logged.Load() {
			return
		}
		tail = tail[max(0, len(tail)-6):]
	}
}

func (c *wire) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	err := c.Conn.Close()
	if errors.Is(err, net.ErrClosed) {
		return io.ErrClosedPipe
	}
	return err
}
