// Package migration reads the numbered migrations of a database's tables, and says which of
// them a database lacks.
package migration
