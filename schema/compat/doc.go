// Package compat says whether what was written by one schema can be read by another, and
// where it cannot, which field breaks which direction and what would mend it. It works offline,
// on the texts alone, for Avro, Protobuf and JSON Schema.
//
// A [Mode] names what must hold between a new schema and the earlier ones, by the names of
// Confluent's registry
// (https://docs.confluent.io/platform/current/schema-registry/fundamentals/schema-evolution.html).
// Every breach is a [Problem]; all are found, not only the first. A problem of severity
// [Warning] does not stop anybody from reading, but what is read may not mean what was written.
//
// What several fields share, such as a named record, is looked at once: its problems are reported
// at the path where it is met first.
//
// Nothing that cannot be decided passes in silence: it is a problem with code "undecided".
//
// # What it means to be compatible
//
// Avro: the reader resolves whatever the writer's schema allows. Protobuf: it decodes the bytes,
// and finds in a field what was written in it; compared is the message that the schema names, or
// every message of the file where it names none. Extensions are not looked at. JSON Schema: what
// is valid by the writer's schema is valid by the reader's.
//
// Registries decide most cases the same way. They differ here:
//
//   - A JSON Schema whose objects are open may get an optional property: that is a warning, as
//     by Confluent's lenient policy; its strict one forbids it, and with it nearly every change.
//     The warning holds for writers that write only what their schema describes.
//   - A oneOf counts as such: alternatives that a value could match at once are "undecided".
//     Without $schema, the draft is draft-07, as in registries, unless words of a later one are used.
//   - A Protobuf field that becomes repeated can be read by the new schema, also where it is a number.
//     A value of an enum that has another number is an error, as is a field; registries
//     take both for removed and added.
//   - A Protobuf message that only the new schema has does not break the old one.
//
// # Codes
//
// Codes are stable. For all kinds:
//
//	kind-changed               the schema is of another language
//	type-changed               a value is of a type that the reader cannot take
//	name-changed               a record, enum, fixed or message has another name
//	field-missing              the reader needs a field that the writer does not have
//	enum-value-missing         the writer has a value of an enum that the reader does not know
//	undecided                  neither compatibility nor its breach can be shown
//
// For Avro, by https://avro.apache.org/docs/1.12.0/specification/#schema-resolution:
//
//	union-branch-missing       the writer has a branch that the reader's union has not
//	fixed-size-changed         a fixed has another size
//	field-ambiguous            two fields of the writer are one of the reader, by an alias
//	logical-type-changed       (warning) the same bytes mean something else
//	decimal-changed            (warning) precision or scale of a decimal is another
//
// For Protobuf, by https://protobuf.dev/programming-guides/proto3/#updating:
//
//	message-missing            the writer's message does not exist for the reader
//	package-changed            the package is another, so messages have other names
//	required-missing           the reader requires a field (proto2) that may be absent
//	cardinality-changed        a field is single here and repeated or a map there
//	oneof-changed              a field moved into or out of a oneof
//	oneof-field-missing        the writer's oneof has a field that the reader's has not
//	field-not-reserved         (warning) a field was removed without reserving number and name
//	enum-number-not-reserved   (warning) the same for a value of an enum
//	field-renamed              (warning) a number has another name: JSON and text break
//	json-name-changed          (warning) JSON of one is not JSON of the other
//	default-changed            (warning) an absent field (proto2) is read as another value
//	enum-value-renamed         (warning) a number of an enum has another name
//	enum-value-unknown         (warning) an open enum is read as a bare number
//
// For JSON Schema:
//
//	property-closed            the writer may send a property that the reader forbids
//	property-narrowed          (warning) the reader describes what the writer leaves open
//	enum-narrowed              the reader allows only listed values, the writer more
//	bound-narrowed             a bound (minimum, maxLength, …) is tighter for the reader
//	multiple-narrowed          multipleOf is not a multiple for the writer
//	pattern-changed            the reader has a pattern, the writer none
//	format-changed             the reader has a format, the writer not (since 2019-09 a warning)
//	union-branch-missing       no alternative of an anyOf or oneOf takes what may be written
//	definition-changed         what a $ref leads to is broken, as said where it is met first
//	unique-required            the reader wants unique items
//	items-narrowed             an array may have items that the reader forbids
//	never-valid                the reader's schema takes no value at all
package compat
