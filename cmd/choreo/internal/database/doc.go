// Package database opens the databases whose tables are this project's: those of a service's
// outbox, and those of a tracker's model.
package database
