// Package sqlstore is what the stores over database/sql have in common: the unit of
// work of a *sql.Tx.
package sqlstore
