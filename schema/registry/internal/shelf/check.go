package shelf

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	"github.com/choreo-go/choreo/schema/protobuf"
)

// maxSubject is what Confluent's registry and its likes take.
const maxSubject = 255

// CheckSubject says what is wrong with the name of a subject.
func CheckSubject(subject string) error {
	switch {
	case subject == "":
		return errors.New("the subject is empty: use schema.Subject(topic, record)")
	case len(subject) > maxSubject:
		return fmt.Errorf("the subject is %d bytes long: at most %d are allowed", len(subject), maxSubject)
	case subject == "." || subject == "..":
		return fmt.Errorf("the subject is %q, which a URL cannot carry: use schema.Subject(topic, record)", subject)
	case !utf8.ValidString(subject) || strings.ContainsFunc(subject, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("the subject %q has control characters or is no UTF-8: use schema.Subject(topic, record)", subject)
	}
	return nil
}

// Check returns the schema with its name filled in, or what is wrong with it.
func Check(s schema.Schema) (schema.Schema, error) {
	if strings.TrimSpace(s.Text) == "" {
		return s, errors.New("the schema has no text")
	}
	if !utf8.ValidString(s.Text) {
		return s, errors.New("the text of the schema is no UTF-8")
	}
	for i, ref := range s.References {
		if ref.Name == "" {
			return s, fmt.Errorf("reference %d has no name: give the name by which the schema imports it", i)
		}
	}
	name, err := Name(s)
	if err != nil {
		return s, fmt.Errorf("the %s schema cannot be read: %w", s.Kind, err)
	}
	switch {
	case s.Name == "":
		s.Name = name
	case s.Kind == schema.Avro && s.Name != name:
		return s, fmt.Errorf("the schema is said to be %s, and its text is that of %s: leave Name empty or mend it", s.Name, name)
	case s.Kind == schema.Protobuf:
		if err := protobuf.Defines(s.Text, s.Name); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Name returns the name that the text gives its record, message or type: the first message
// of a .proto file, the title of a JSON schema.
func Name(s schema.Schema) (string, error) {
	switch s.Kind {
	case schema.Avro:
		if len(s.References) == 0 {
			return avro.Name(s.Text)
		}
		var n named
		if err := whole(s.Text, &n); err != nil {
			return "", err
		}
		if n.Namespace == "" || strings.Contains(n.Name, ".") {
			return n.Name, nil
		}
		return n.Namespace + "." + n.Name, nil
	case schema.Protobuf:
		return protobuf.Name(s.Text)
	case schema.JSONType:
		if text := strings.TrimSpace(s.Text); text == "true" || text == "false" {
			return "", nil
		}
		var n named
		return n.Title, whole(s.Text, &n)
	default:
		return "", fmt.Errorf("kind %q is unknown: use %s, %s or %s", s.Kind, schema.Avro, schema.Protobuf, schema.JSONType)
	}
}

// named is what says the name of a schema that is a JSON object.
type named struct {
	Name      string
	Namespace string
	Title     string
}

// whole reads a text that is one JSON object.
func whole(text string, into *named) error {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return errors.New("it is no JSON object")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the JSON value")
	}
	return nil
}

// Fingerprint returns the number of the schema under [schema.SingleObject]: of an Avro schema
// its CRC-64-AVRO, of another one a hash of its name and text and of what it imports. It
// takes what [Check] returned.
func Fingerprint(s schema.Schema) (uint64, error) {
	if s.Kind == schema.Avro {
		if len(s.References) > 0 {
			return 0, errors.New("an Avro schema with references has no fingerprint of its own: write the types that it refers to into its text")
		}
		return avro.Fingerprint(s.Text)
	}
	sum := sha256.Sum256([]byte(s.Name + "\x00" + Identity(s)))
	return binary.BigEndian.Uint64(sum[:]), nil
}

// Identity is equal for two schemas if a registry with ids of its own holds them to be one:
// of the same kind and text, blanks in JSON aside, with the same imports.
func Identity(s schema.Schema) string {
	var b strings.Builder
	part := func(text string) { fmt.Fprintf(&b, "%d:%s,", len(text), text) }
	part(string(s.Kind))
	part(compact(s.Kind, s.Text))
	for _, ref := range s.References {
		part(ref.Name)
		part(compact(s.Kind, ref.Text))
	}
	return b.String()
}

func compact(kind schema.Kind, text string) string {
	if kind == schema.Protobuf {
		return strings.TrimSpace(text)
	}
	var value json.RawMessage
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return text
	}
	short, err := json.Marshal(value) // compacts raw messages
	if err != nil {
		return text
	}
	return string(short)
}
