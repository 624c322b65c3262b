// Package memory is a [schema.Registry] inside the process, for tests. It gives ids as
// a Confluent-compatible registry does, or fingerprints as the schema topic does.
package memory
