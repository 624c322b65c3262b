// Package sqlite is the outbox store for SQLite, with transactions of type *sql.Tx.
//
// [Open] opens a database with the settings that the store needs; [New] makes a store
// over it:
//
//	db, err := sqlite.Open("payments.db", nil)
//	store := sqlite.New(db, nil)
//	err = store.Migrate(ctx)
//
// # Writers
//
// SQLite has one writing transaction at a time. Units of work, and the transactions of a
// database that Open returned, wait for their turn in line and without polling; writers
// in other processes are waited for by SQLite's busy timeout, which is tried again until
// the context ends. A handler gets a transaction and must do all its writing in it: a
// second one, begun inside the handler, would wait for the first for ever. Reading beside it
// is free.
//
// # What survives
//
// A committed unit survives the death of the process, also by kill -9, in every setting.
// With the default [Normal], a power cut or a crash of the operating system may take
// back the last commits: those since the last checkpoint of the write-ahead log. The
// database stays sound, but events of these commits may be in the log already, so
// that other services know of steps which this one has forgotten. Use [Full] where that
// matters; then each commit waits for the disk.
//
// # Relays
//
// Claims exclude each other within one store. A relay of another process may claim the
// same entries and publish them a second time, still in order, which readers drop.
package sqlite
