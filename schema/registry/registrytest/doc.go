// Package registrytest is the conformance suite of [schema.Registry]: [Exercise] runs it over
// a registry. It asks only for what the port promises, and for nothing that a
// Confluent-compatible registry of another maker could refuse.
package registrytest
