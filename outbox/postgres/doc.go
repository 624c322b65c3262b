// Package postgres is the outbox store for PostgreSQL 13 or later: [New] over a pool of
// pgx, with transactions of type pgx.Tx, and [NewSQL] over database/sql, with *sql.Tx.
// Both keep the same tables and may serve the same service at once; New needs fewer
// round trips.
//
//	store := postgres.New(pool, &postgres.Config{Schema: "payments"})
//	err := store.Migrate(ctx)
//
// A pool needs at least two connections, one for units of work and one for the relay, and
// at best one more than the participant has lanes. A unit and a claim each hold one.
//
// # Locks
//
// A unit of work locks its sagas by advisory locks of its transaction, in the order of
// their keys. The keys are hashes of schema and saga: two sagas that share one wait for
// each other, no more. A relay's claim takes advisory locks on buckets of keys and holds
// them, and its transaction, while the relay publishes; they end with the connection if
// the process dies. An idle_in_transaction_session_timeout below the relay's
// PublishTimeout would break claims off. A pooler in transaction mode does no harm to
// either, if pgx is told not to keep prepared statements.
//
// Groups of sagas take one more advisory lock of their transaction, which they share unless one is to
// be alone, and bound their waits by lock_timeout. Their handlers' savepoints travel with the
// first statement of the handler; NewSQL makes them beforehand, in a round trip.
//
// A handler of New cannot end the transaction of its unit; of NewSQL it can, by SQL, and
// must not: database/sql gives no way to notice.
//
// # Round trips
//
// A unit of New takes two round trips, however many sagas it has, and one for each statement of a
// handler. [Queue] takes that one away for statements whose result is not looked at: these travel with
// what is sent next.
//
// # Isolation
//
// Units run under READ COMMITTED, whatever the default of the session is. [Store.Join]
// runs under the isolation of the caller's transaction; under a stricter one it may fail
// with a serialisation failure, and the caller runs its transaction again.
package postgres
