// Package protobuf encodes payloads in Protobuf, for generated messages.
//
// Without a registry a payload is the message alone: readers know its type from the event
// that carries it, and field numbers are all the schema that is on the wire. With a
// registry that gives Confluent's ids the payload is in Confluent's wire format, so that
// its serializers and tools read it, and its reader is told where another message than
// the expected one arrives. With a registry of fingerprints schemas are registered, and
// checked against earlier ones, and the payload stays the message alone: Avro's
// single-object encoding has no place for Protobuf.
package protobuf
