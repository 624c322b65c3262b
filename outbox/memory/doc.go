// Package memory is an outbox.Store in memory: fully transactional, lost when the
// process ends. It is for tests, examples and simulations.
//
// A [Database] holds the data; a [Store] is one process's connection to it, so that
// a test opens two stores on one database to have two processes. Units of different
// sagas run side by side: a unit locks its sagas, buffers what it writes and makes it
// visible at its commit. Besides the rows and the outbox, a [Tx] gives handlers a key/value
// space, which commits or rolls back with the unit. Its isolation is optimistic: a
// commit fails with [ErrConflict] when something that the transaction read has
// changed since, so that no update is lost; whoever gets it tries the whole unit again.
//
// Faults. [Store.SetHook] is called before and after each [Effect] and can fail it, block it
// or break the connection there. [Store.Disconnect] breaks what is open, [Store.Kill] ends
// the process for good, [Database.Stop] takes the database away.
//
// Simulations. [Database.SetClock] takes the place of the database's clock, and
// [Store.SetWait] that of blocking on a saga's lock, so that one goroutine at a time can
// run everything in an order of its own.
package memory
