// Package avro encodes payloads in Avro, with typed Go structs in and out.
package avro
