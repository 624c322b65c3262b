// Package table holds what the stores over SQL databases have in common: the columns
// of Choreo's tables and their statements, the mapping between rows and values, the
// checks of what is written, and the list of migrations.
//
// All statements number their parameters $1, $2, …, which PostgreSQL and SQLite both
// understand.
package table
