// Package schema turns payloads into bytes and back, by schemas where there are some. It knows
// nothing of sagas.
//
// A [Codec] is chosen by the media type that an event carries: [JSON] here, Avro in package
// avro, Protobuf in package protobuf. A [Registry] keeps the schemas; the packages below
// registry have one over HTTP, one that is a topic, and one in memory. Package compat
// says whether what was written by one schema can be read by another.
package schema
