package topic

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/internal/shelf"
)

// record is the value of a record in the topic, as JSON.
type record struct {
	Subject      string      `json:"subject"`
	Version      int         `json:"version"`
	Kind         schema.Kind `json:"kind"`
	Name         string      `json:"name,omitempty"`
	Text         string      `json:"text"`
	References   []reference `json:"references,omitempty"`
	RegisteredBy string      `json:"registered_by,omitempty"`
	Refused      bool        `json:"refused,omitempty"` // it is no version of the subject
}

// reference holds its text, so that a record can be read alone.
type reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject,omitempty"`
	Version int    `json:"version,omitempty"`
	Text    string `json:"text"`
}

func key(subject string, id schema.ID) string { return subject + "/" + id.String() }

// parseKey takes a record's key apart.
func parseKey(key string) (subject string, id schema.ID, ok bool) {
	at := strings.LastIndexByte(key, '/')
	if at < 0 {
		return "", id, false
	}
	number, err := hex.DecodeString(key[at+1:])
	if err != nil || len(number) != 8 {
		return "", id, false
	}
	return key[:at], schema.ID{Framing: schema.SingleObject, Number: binary.BigEndian.Uint64(number)}, true
}

func newRecord(subject string, version int, s schema.Schema, by string) record {
	r := record{Subject: subject, Version: version, Kind: s.Kind, Name: s.Name, Text: s.Text, RegisteredBy: by}
	for _, ref := range s.References {
		r.References = append(r.References, reference(ref))
	}
	return r
}

func (r *record) schema() schema.Schema {
	s := schema.Schema{Kind: r.Kind, Name: r.Name, Text: r.Text}
	for _, ref := range r.References {
		s.References = append(s.References, schema.Reference(ref))
	}
	return s
}

// encode returns the record as it is written to the topic.
func (r *record) encode(topic string, id schema.ID) (choreo.Record, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return choreo.Record{}, err
	}
	return choreo.Record{
		Topic: topic, Partition: 0, Key: []byte(key(r.Subject, id)), Value: value,
		Headers: []choreo.Header{{Key: "content-type", Value: []byte("application/json")}},
	}, nil
}

// maxVersion bounds the number in a record, which could be anybody's.
const maxVersion = 1 << 30

// decode reads a record and checks that it is what its key says: an id has to stand for
// the schema of which it is the fingerprint.
func decode(rec choreo.Record) (r record, id schema.ID, err error) {
	if err := json.Unmarshal(rec.Value, &r); err != nil {
		return r, id, fmt.Errorf("the value is not that of a schema: %w", err)
	}
	if err := shelf.CheckSubject(r.Subject); err != nil {
		return r, id, err
	}
	if r.Version < 1 || r.Version > maxVersion {
		return r, id, fmt.Errorf("its version is %d", r.Version)
	}
	s, err := shelf.Check(r.schema())
	if err != nil {
		return r, id, err
	}
	for _, ref := range s.References {
		if ref.Text == "" {
			return r, id, fmt.Errorf("its reference %s has no text", ref.Name)
		}
	}
	r.Name = s.Name
	if id, err = identify(s); err != nil {
		return r, id, err
	}
	if key(r.Subject, id) != string(rec.Key) {
		return r, id, fmt.Errorf("the key of this schema is %q", key(r.Subject, id))
	}
	return r, id, nil
}

func identify(s schema.Schema) (schema.ID, error) {
	number, err := shelf.Fingerprint(s)
	return schema.ID{Framing: schema.SingleObject, Number: number}, err
}

var errPartitions = errors.New("the topic has more than one partition, and the order of schemas counts: make it anew with one, as 'topics apply' does")
