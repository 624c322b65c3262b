// Package avro encodes payloads in Avro, with typed Go structs in and out. The bytes are goavro's;
// schemas of Go types, the mapping between structs and what goavro takes, and the resolution of
// the writer's schema to the reader's are worked out here:
// https://avro.apache.org/docs/1.12.0/specification/
//
// A payload is the id of the schema by which it was written, see [schema.ID], and the Avro body.
// [Codec.Prepare] registers the schemas of the types that a service writes; from then on encoding
// asks nobody. Decoding asks the registry once for each id that it has not seen.
//
// # Schemas of Go types
//
// A struct becomes a record with the name of the Go type, in [Config.Namespace] or else in the last
// element of its package's path. A field without an avro tag goes by its json tag, and without
// that by its Go name; `avro:"-"` leaves it out, and so does `json:"-"` where the avro tag
// names nothing. Fields of embedded structs count as the outer struct's.
//
//	bool                                   boolean
//	int8 … int32, uint8, uint16            int
//	int, int64, uint, uint32, uint64       long; what does not fit is an error
//	float32, float64                       float, double
//	string                                 string, which has to be valid UTF-8
//	[]byte, [N]byte                        bytes, fixed
//	[]T, [N]T, map[string]T                array, map; a nil one is empty
//	*T                                     ["null", T] with default null, but for the payload itself
//	struct{}                               a record without fields
//	time.Time                              timestamp-micros, or by the tag date, timestamp-millis,
//	                                       timestamp-nanos, local-timestamp-…; read as UTC, and
//	                                       cut off to the unit
//	time.Duration                          long, in nanoseconds; by the tag time-millis or time-micros,
//	                                       as a time of day
//	*big.Rat, big.Rat                      decimal, by the tag decimal=12.2 with precision 12 and
//	                                       scale 2; what would be rounded is an error
//	uuid.UUID; [16]byte, string by tag     uuid as a string; by the tag uuid=fixed as 16 bytes
//	a string type that is an [Enum]        enum; a plain string by the tag enum=A|B|C
//	a type with MarshalText                string
//	  and UnmarshalText
//
// A payload that is no record has no name of its own: all arrays of a topic are versions of one
// subject, and so are all strings. Put them into a struct.
//
// Interfaces, channels and functions have no schema. A struct without any exported field is refused
// unless it is struct{}: something would be lost in silence.
//
// The options of a tag follow the name: avro:"name,option,option".
//
//	alias=a|b            names under which older writers have the field
//	default=…            the default for readers; the last option, up to the end of the tag. Text as it
//	                     is for strings, bytes and enums, a number for decimals, JSON for all else
//	optional             for slices, maps and *big.Rat: nil is null
//	enum=A|B             the symbols, and enum-default=A the one for those that are unknown
//	decimal=P.S, uuid, uuid=fixed, date, time-millis, timestamp-millis and the like: see above; in slices,
//	                     maps and pointers they speak of what is held
//
// The record itself is renamed by a field _ struct{} with the tag avro:"com.acme.Order,alias=Old".
//
// # Given schemas
//
// [Config.Schemas] has schemas that others made. Each is checked against its type when the codec is
// built: every Go field has to be in the schema, and every field of the schema in the Go type unless
// it has a default, which is then written. Unions take the Go type of a branch, a pointer to it
// where one of them is null, or any. In an any stand nil, bool, int32, int64, float32, float64,
// string (also of an enum), []byte, []any, and map[string]any for maps and records; for the logical
// types time.Time, time.Duration, *big.Rat and uuid.UUID. The same come out when a payload is decoded
// into an any or a map[string]any: those are read by the schema that they were written by.
//
// # Resolution
//
// What was written by one schema is read by another as the specification says: by names and aliases
// of fields, records, enums and fixed, without regard to namespaces; with defaults, promotions,
// default symbols, and branches of unions. What can never work is an error for every payload of the
// pair, and names each field; what hangs on the data, such as a null for which there is no place,
// is one only for the payload that has it. In four points this package is stricter or kinder than
// some: bytes are read as a string only where they are UTF-8; decimals of another precision or scale
// are refused; a time that was written in milliseconds and is read in microseconds stays the same
// time; and of a reader's union the branch of the very type goes before one to promote to.
//
// # Hostile payloads
//
// A body is checked against the schema that wrote it before anything is allocated for it: lengths,
// counts, indexes, numbers that are too long, UTF-8, bytes left over. It may nest as deep as
// [Config.MaxDepth] says and hold as many values as it has bytes, and 65,536 more of those that take
// none. Encode checks what it wrote in the same way, so that what leaves can be read.
package avro
