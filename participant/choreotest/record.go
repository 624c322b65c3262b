package choreotest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
)

// recordLine is a record as a line of JSON.
type recordLine struct {
	Topic     string       `json:"topic"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Time      time.Time    `json:"time,omitzero"`
	Key       text         `json:"key"`
	Headers   []headerLine `json:"headers"`
	Value     text         `json:"value"`
}

type headerLine struct {
	Key   string `json:"key"`
	Value text   `json:"value"`
}

// text is bytes as a JSON string where they are text, else as {"base64": "…"}; nil is null.
type text []byte

type binary struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	switch {
	case t == nil:
		return []byte("null"), nil
	case utf8.Valid(t):
		return json.Marshal(string(t))
	}
	return json.Marshal(binary{Base64: t})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*t = nil
		return nil
	}
	if len(data) > 0 && data[0] == '"' {
		var s string
		err := json.Unmarshal(data, &s)
		*t = text(s)
		return err
	}
	var b binary
	err := json.Unmarshal(data, &b)
	*t = b.Base64
	return err
}

// SaveLog writes records as JSON lines: one object a record, with topic, partition, offset, time,
// key, headers and value. Bytes that are no UTF-8 stand as {"base64": "…"}.
func SaveLog(to io.Writer, records []choreo.Record) error {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	for i := range records {
		rec := &records[i]
		line := recordLine{
			Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Time: rec.Time,
			Key: rec.Key, Value: rec.Value, Headers: make([]headerLine, len(rec.Headers)),
		}
		for n, h := range rec.Headers {
			line.Headers[n] = headerLine{Key: h.Key, Value: h.Value}
		}
		if err := encoder.Encode(line); err != nil {
			return fmt.Errorf("save log: record %d: %w", i+1, err)
		}
	}
	return nil
}

// LoadLog reads what [SaveLog] wrote. Its error names the record, counted from 1.
func LoadLog(from io.Reader) ([]choreo.Record, error) {
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	var records []choreo.Record
	for {
		var line recordLine
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF):
			return records, nil
		case err != nil:
			return nil, fmt.Errorf("load log: record %d: %w", len(records)+1, err)
		}
		rec := choreo.Record{
			Topic: line.Topic, Partition: line.Partition, Offset: line.Offset, Time: line.Time,
			Key: line.Key, Value: line.Value,
		}
		for _, h := range line.Headers {
			rec.Headers = append(rec.Headers, choreo.Header{Key: h.Key, Value: h.Value})
		}
		records = append(records, rec)
	}
}
