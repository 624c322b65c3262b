// Package integration runs Choreo on a real Apache Kafka, a real PostgreSQL and a real schema
// registry: the conformance suites of the adapters, the order saga, and what happens when a
// participant, the broker or the database is killed on the way. Package chaos does all of
// that at once.
//
// Where the servers come from is said in package internal/servers. In short: "make
// integration" starts them and runs all of this; "go test ./..." runs it if they are
// there and skips it if not.
package integration
