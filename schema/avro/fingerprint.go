package avro

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/twmb/avro"
)

// Fingerprint returns the CRC-64-AVRO fingerprint of the schema's parsing canonical form, the
// number of a schema.ID under single-object encoding:
// https://avro.apache.org/docs/1.12.0/specification/#schema-fingerprints
func Fingerprint(schemaText string) (uint64, error) {
	parsed, err := parseText(schemaText)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(parsed.Fingerprint(avro.NewRabin())), nil
}

// Name returns the full name of the schema's record, enum or fixed. Of a schema without a
// name it returns the type, such as "string", "array" or "union".
func Name(schemaText string) (string, error) {
	parsed, err := parseText(schemaText)
	if err != nil {
		return "", err
	}
	root := parsed.Root()
	if root.Name == "" {
		return root.Type, nil
	}
	return fullName(root), nil
}

// fullName leaves a dotted name as it is: it outranks the namespace.
func fullName(n *avro.SchemaNode) string {
	if n.Namespace == "" || strings.Contains(n.Name, ".") {
		return n.Name
	}
	return n.Namespace + "." + n.Name
}

// maxSchemaText bounds what is parsed: a schema comes from a registry that others write to.
const maxSchemaText = 1 << 20

func checkSize(schemaText string) error {
	if len(schemaText) > maxSchemaText {
		return fmt.Errorf("avro: schema has %d bytes, more than %d: split it", len(schemaText), maxSchemaText)
	}
	return nil
}

func parseText(schemaText string) (*avro.Schema, error) {
	if err := checkSize(schemaText); err != nil {
		return nil, err
	}
	parsed, err := avro.Parse(schemaText)
	if err != nil {
		return nil, fmt.Errorf("avro: schema is not valid: %w", err)
	}
	return parsed, nil
}
