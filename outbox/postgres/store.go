package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/table"
)

// Config configures a store. The zero value of a field is its default.
type Config struct {
	// Schema holds the tables; Migrate makes it if there is none. Services that share a
	// database need one each. Default: the first schema of the connection's search_path.
	Schema string
}

// Store is the outbox store over a pool of pgx. It is safe for concurrent use.
type Store struct {
	pool      *pgxpool.Pool
	base      base
	committed table.Signal
	handing   *table.Handing
	// several are the open units of several sagas, by their connections.
	several sync.Map
	busy    atomic.Bool // the last claim came full
}

var _ outbox.Store[pgx.Tx] = (*Store)(nil)

// New returns a store over a pool of at least two connections. Closing the pool stays
// with the caller. config may be nil.
func New(pool *pgxpool.Pool, config *Config) *Store {
	return &Store{pool: pool, base: newBase(config), committed: table.NewSignal(), handing: table.NewHanding()}
}

// base is what both stores have in common: names and the texts of statements.
type base struct {
	schema string
	tables table.Tables
	class  int32 // of the two-part advisory locks of this schema

	texts                                                  *table.Texts
	lockBuckets, readBuckets, openPages, delete, deleteRun string
	backlog, due, waiting                                  string
	pruneTexts                                             table.PruneTexts
}

func newBase(config *Config) base {
	b := base{}
	prefix := ""
	if config != nil && config.Schema != "" {
		b.schema = config.Schema
		prefix = pgx.Identifier{b.schema}.Sanitize() + "."
	}
	b.tables = table.In(prefix)
	b.class = int32(b.hash(""))
	b.statements()
	return b
}

// hash returns the key of an advisory lock: the FNV-1a hash of the names, each with a NUL behind it.
func (b *base) hash(parts ...string) int64 {
	h := hashed(hashed(fnvOffset, "choreo"), b.schema)
	for _, part := range parts {
		h = hashed(h, part)
	}
	return int64(h)
}

// The constants of http://www.isthe.com/chongo/tech/comp/fnv/ for 64 bits.
const (
	fnvOffset uint64 = 14695981039346656037
	fnvPrime  uint64 = 1099511628211
)

// hashed is h after a name and the NUL behind it. Package hash/fnv would take a copy of the name.
func hashed(h uint64, name string) uint64 {
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * fnvPrime
	}
	return h * fnvPrime
}

// lockSagas returns the statement that locks sagas, and its parameter. All units take the
// locks in the one order of their keys. Before a list of sagas is read, it also has the planner use
// the index, until setBack.
func (b *base) lockSagas(sagas []outbox.SagaID) (string, any) {
	if len(sagas) == 1 {
		return "SELECT pg_advisory_xact_lock($1)", b.hash(sagas[0].Saga, sagas[0].ID)
	}
	keys := make([]int64, len(sagas))
	for i, id := range sagas {
		keys[i] = b.hash(id.Saga, id.ID)
	}
	slices.Sort(keys)
	if b.texts.LoadsList(len(sagas)) {
		return setByIndex + " UNION ALL SELECT pg_advisory_xact_lock(key)::text, NULL FROM unnest($1::text::bigint[]) AS key", numbers(keys)
	}
	return "SELECT pg_advisory_xact_lock(key) FROM unnest($1::text::bigint[]) AS key", numbers(keys)
}

// joinGroup returns the statement by which a group waits for its turn and then bounds its
// waits for locks, and its parameters. A lock of all groups of the schema, which those that
// want to be alone take for themselves, is what turns are made of: who waits for it keeps
// newcomers waiting, so that none waits for ever.
func (b *base) joinGroup(group outbox.Group) (string, []any) {
	return joinGroupTexts[group.Alone], []any{b.hash("group"), strconv.FormatInt(group.LockTimeout.Milliseconds(), 10)}
}

var joinGroupTexts = map[bool]string{
	false: "SELECT pg_advisory_xact_lock_shared($1), set_config('lock_timeout', $2, true)",
	true:  "SELECT pg_advisory_xact_lock($1), set_config('lock_timeout', $2, true)",
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Transient reports whether err is a fault of the connection, the server or concurrency:
// the end of the unit's connection, what pgx reports of others, and what PostgreSQL
// documents as such. An error of another network connection that a handler returns
// as it is, and not as one of a request, counts as well.
func (s *Store) Transient(err error) bool { return transient(err) }

// HandTo has units offer what they commit to a relay.
func (s *Store) HandTo(h outbox.Handover) { s.handing.HandTo(h) }

// Committed returns the channel on which commits with entries are announced that were not
// handed over.
func (s *Store) Committed() <-chan struct{} { return s.committed }

// state returns the SQLSTATE of an error that PostgreSQL sent, or "".
func state(err error) string {
	var sent interface{ SQLState() string } // of pgconn.PgError, and other drivers'
	if errors.As(err, &sent) {
		return sent.SQLState()
	}
	return ""
}

func transient(err error) bool {
	if code := state(err); code != "" {
		return transientState(code)
	}
	var (
		lost    *lostError
		connect *pgconn.ConnectError
		pgx     interface{ SafeToRetry() bool } // what pgconn returns of its connections
		network *net.OpError                    // what a driver returns as it comes
		web     *url.Error
	)
	switch {
	case errors.As(err, &lost), errors.As(err, &connect),
		errors.Is(err, outbox.ErrUnknownOutcome), errors.Is(err, pgconn.ErrConnClosed),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone):
		return true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false // the caller's own end
	case errors.As(err, &pgx):
		return true
	}
	return errors.As(err, &network) && !errors.As(err, &web)
}

// transientState classifies by https://www.postgresql.org/docs/current/errcodes-appendix.html.
func transientState(code string) bool {
	switch code {
	case "25006", // read only: connected to what is no longer the primary
		"25P03", "25P04", // idle in transaction, or in it, for too long
		"55P03",                                     // a lock was not available in time
		"57P01", "57P02", "57P03", "57P04", "57P05": // shut down, crashed, starting up, dropped, idle
		return true
	}
	for _, class := range []string{
		"08", // connection
		"28", // authorization: a password that is being rotated
		"40", // rolled back: serialisation failure, deadlock
		"53", // resources: connections, memory, disk
		"58", // the server's system: I/O
	} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// errAborted explains what PostgreSQL leaves unsaid.
var errAborted = errors.New("a statement of this transaction failed before, so that PostgreSQL only rolls it back: " +
	"return that statement's error from the handler, or run it in a savepoint (tx.Begin)")

// errEndedByHandler is returned where the transaction is gone at the unit's end.
var errEndedByHandler = errors.New("a handler ended the transaction, which belongs to the unit of work")
