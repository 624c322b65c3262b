package schema

import "fmt"

// Kind is a language of schemas. Its string is that of a Confluent-compatible registry's
// "schemaType".
type Kind string

// The kinds of schemas.
const (
	Avro     Kind = "AVRO"
	Protobuf Kind = "PROTOBUF"
	JSONType Kind = "JSON" // JSON Schema
)

// Schema says how a payload is written.
type Schema struct {
	Kind Kind
	// Name is the full name of the record, of the message, or of the JSON type.
	Name string
	// Text is the schema: JSON for Avro and JSON Schema, the source of a .proto file for
	// Protobuf.
	Text string
	// References are the schemas that Text imports by name.
	References []Reference
}

// Reference is a schema that another one imports.
type Reference struct {
	Name    string // as it is imported: a .proto path, an Avro full name, a JSON Schema $id
	Subject string // under which a registry has it; empty outside of one
	Version int
	Text    string
}

// Subject returns the name under which a registry keeps the schemas of a record in a topic,
// by Confluent's TopicRecordNameStrategy: many event types share one topic.
func Subject(topic, record string) string { return fmt.Sprintf("%s-%s", topic, record) }
