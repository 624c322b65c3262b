// Package sqltext words the questions of a read model in SQL, for PostgreSQL and SQLite.
//
// Both hold the facts of a saga in one row of a narrow table, with indexes that have each order
// as a whole. A page is read in one of four ways:
//
//   - Where one condition chooses few sagas, which is found out by counting to a bound, these are
//     read by its index and sorted.
//   - Where a step, a service or a code is chosen, and the order is by start or update, the index of
//     the sagas that have any is walked: of a million, most have ended, and have none.
//   - Where statuses are chosen, and the order is by start or update, each status' own index is
//     walked from the cursor on, and the first of each are merged.
//   - Otherwise the index of the order is walked from the cursor on, past what the conditions do
//     not choose, until the page is full.
//
// The planners of the databases are not asked: they take conditions as independent of the order, and
// "the oldest that run" of a table full of older ones that have ended would make them read all.
package sqltext
