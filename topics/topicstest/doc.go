// Package topicstest is the conformance suite of [topics.Log]: [Exercise] runs it over
// an adapter. It asks only for what the port promises, so that duplicates are allowed
// wherever Kafka may make them.
package topicstest
