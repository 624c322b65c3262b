package schema

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// Registry keeps schemas and gives each an id that travels in front of what is written
// by it. It is safe for concurrent use, and caches: what it has once returned, it returns again
// while whatever stands behind it is away.
type Registry interface {
	// Register makes the schema known under a subject (see [Subject]) and returns its id. A
	// schema that is registered already keeps its id. The error wraps [ErrIncompatible]
	// where those who read or wrote by earlier schemas of the subject could not go on.
	Register(ctx context.Context, subject string, s Schema) (ID, error)
	// Schema returns the schema with that id. The error wraps [ErrUnknownSchema] and
	// names the id where the registry has none.
	Schema(ctx context.Context, id ID) (Schema, error)
	// Subjects returns all subjects, sorted.
	Subjects(ctx context.Context) ([]string, error)
	// Versions returns the schemas of a subject, oldest first. The error wraps
	// [ErrUnknownSchema] where there is no such subject.
	Versions(ctx context.Context, subject string) ([]Version, error)
}

// Version is one schema of a subject.
type Version struct {
	Number int // from 1
	ID     ID
	Schema Schema
}

// Errors of a [Registry].
var (
	ErrUnknownSchema = errors.New("unknown schema")
	ErrIncompatible  = errors.New("incompatible schema")
	// ErrUnavailable is wrapped where what stands behind the registry does not answer, or
	// only that it cannot now: asking again later may help.
	ErrUnavailable = errors.New("schema registry is not available")
	// ErrNoID is wrapped by [ParseID] for a body without an id in front.
	ErrNoID = errors.New("no schema id in front of the payload")
)

// Framing is how an id stands in front of a body.
type Framing uint8

// The framings.
const (
	// Confluent is a zero byte and the id in 4 bytes, big-endian:
	// https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
	Confluent Framing = 1
	// SingleObject is Avro's single-object encoding: C3 01 and the CRC-64-AVRO fingerprint in 8
	// bytes, little-endian:
	// https://avro.apache.org/docs/1.12.0/specification/#single-object-encoding
	SingleObject Framing = 2
)

// ID names a schema within a registry.
type ID struct {
	Framing Framing
	Number  uint64 // Confluent: the registry's id, 32 bits; SingleObject: the fingerprint
}

// String returns the id as people write it: a decimal number, or the fingerprint in hex.
func (id ID) String() string {
	if id.Framing == SingleObject {
		return fmt.Sprintf("%016x", id.Number)
	}
	return fmt.Sprint(id.Number)
}

// Append appends the id as it stands in front of a body.
func (id ID) Append(b []byte) []byte {
	switch id.Framing {
	case SingleObject:
		return binary.LittleEndian.AppendUint64(append(b, 0xC3, 0x01), id.Number)
	default:
		return binary.BigEndian.AppendUint32(append(b, 0), uint32(id.Number))
	}
}

// ParseID splits a payload into the id and the body behind it. The error wraps [ErrNoID].
func ParseID(payload []byte) (ID, []byte, error) {
	switch {
	case len(payload) >= 5 && payload[0] == 0:
		return ID{Framing: Confluent, Number: uint64(binary.BigEndian.Uint32(payload[1:]))}, payload[5:], nil
	case len(payload) >= 10 && payload[0] == 0xC3 && payload[1] == 0x01:
		return ID{Framing: SingleObject, Number: binary.LittleEndian.Uint64(payload[2:])}, payload[10:], nil
	default:
		return ID{}, nil, fmt.Errorf("%w: it begins with % x", ErrNoID, payload[:min(len(payload), 10)])
	}
}
