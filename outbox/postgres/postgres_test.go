package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/outbox"
)

func TestTransient(t *testing.T) {
	sent := func(code string) error { return fmt.Errorf("charge: %w", &pgconn.PgError{Code: code}) }
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	for _, err := range []error{
		sent("08006"), sent("25006"), sent("25P03"), sent("28P01"), sent("40001"), sent("40P01"), sent("53300"),
		sent("55P03"), sent("57P01"), sent("57P03"), sent("58030"),
		fmt.Errorf("commit: %w", outbox.ErrUnknownOutcome), pgconn.ErrConnClosed, driver.ErrBadConn, sql.ErrConnDone,
		&lostError{io.ErrUnexpectedEOF}, reset, &pgconn.ConnectError{},
	} {
		require.True(t, transient(err), "%v", err)
	}
	for _, err := range []error{
		nil, errors.New("out of stock"), sent("23505"), sent("22012"), sent("25P02"), sent("42P01"), sent("57014"), sent("P0001"),
		context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, pgx.ErrNoRows,
		&url.Error{Op: "Get", URL: "http://stock", Err: reset}, // a handler's own request
	} {
		require.False(t, transient(err), "%v", err)
	}
}

func TestLocksOfSagas(t *testing.T) {
	orders, payments := newBase(&Config{Schema: "orders"}), newBase(&Config{Schema: "payments"})
	ids := []outbox.SagaID{{Saga: "order", ID: "1"}, {Saga: "order", ID: "2"}, {Saga: "refund", ID: "1"}}
	_, all := orders.lockSagas(ids)
	_, reversed := orders.lockSagas([]outbox.SagaID{ids[2], ids[1], ids[0]})
	require.Equal(t, all, reversed, "one order for all")
	_, others := payments.lockSagas(ids)
	require.NotEqual(t, all, others)
	keys := make(map[any]bool)
	for _, b := range []base{orders, payments} {
		for _, id := range ids {
			_, key := b.lockSagas([]outbox.SagaID{id})
			require.Contains(t, all.(string)+others.(string), fmt.Sprint(key))
			keys[key] = true
		}
	}
	require.Len(t, keys, 6)
	require.NotEqual(t, orders.class, payments.class)
	// Where one name ends and the next begins is part of the key.
	require.NotEqual(t, orders.hash("ab", "c"), orders.hash("a", "bc"))
}

// TestHashIsStable: processes of all versions must agree on the locks.
func TestHashIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := base{schema: rapid.String().Draw(t, "schema")}
		parts := rapid.SliceOf(rapid.String()).Draw(t, "parts")
		h := fnv.New64a()
		for _, part := range append([]string{"choreo", b.schema}, parts...) {
			_, _ = h.Write(append([]byte(part), 0)) // never fails
		}
		require.Equal(t, int64(h.Sum64()), b.hash(parts...))
	})
}

func TestNumbers(t *testing.T) {
	require.Equal(t, "{}", numbers([]int64{}))
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.Int64()).Draw(t, "list")
		want := make([]string, len(list))
		for i, n := range list {
			want[i] = fmt.Sprint(n)
		}
		require.Equal(t, "{"+strings.Join(want, ",")+"}", numbers(list))
	})
}

func TestSchemaIsQuoted(t *testing.T) {
	b := newBase(&Config{Schema: `a"; DROP TABLE x; --`})
	require.NoError(t, b.checkSchema())
	require.Equal(t, `"a""; DROP TABLE x; --".choreo_step`, b.tables.Step)
	b = newBase(nil)
	require.Equal(t, "choreo_step", b.tables.Step)
	for _, schema := range []string{strings.Repeat("x", 64), "a\x00b"} {
		b = newBase(&Config{Schema: schema})
		require.ErrorContains(t, b.checkSchema(), "Config.Schema")
	}
}
