package sagas

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
)

// fromHeaders fills in what only the headers tell.
func (e *Event) fromHeaders() {
	for _, h := range e.Headers {
		switch h.Name {
		case "ce_causationid":
			e.Causation = h.Value
		case "ce_by":
			e.By = h.Value
		case "ce_note":
			e.Note = h.Value
		}
	}
}

// outputHeader begins the headers that carry outputs of steps, which are payloads as well.
const outputHeader = "choreo-output-"

// eventOf makes an event of a record of the log, and returns false where it is none.
func eventOf(rec *choreo.Record, payload bool) (Event, bool) {
	ev, err := topics.Decode(rec)
	if err != nil {
		return Event{}, false
	}
	e := Event{
		Offset: rec.Offset, Partition: rec.Partition, ID: ev.ID, Type: string(ev.Type), Step: ev.Step, Source: ev.Source,
		Time: ev.Time, Attempt: ev.Attempt, Causation: ev.CausationID, By: ev.By, Note: ev.Note,
		ContentType: ev.ContentType, Size: len(rec.Value),
	}
	if f := ev.Failure; f != nil {
		e.Error = &tracker.Error{Class: f.Class, Code: f.Code, Message: f.Message}
	}
	for _, h := range rec.Headers {
		if !payload && strings.HasPrefix(h.Key, outputHeader) {
			continue
		}
		e.Headers = append(e.Headers, Header{Name: h.Key, Value: strings.ToValidUTF8(string(h.Value), "\uFFFD")})
	}
	if payload {
		e.Payload = payloadOf(ev.ContentType, rec.Value)
	}
	return e, true
}

// payloadOf returns a payload as JSON: as it is where it is JSON, else as text, else in base64.
func payloadOf(contentType string, data []byte) json.RawMessage {
	kind, _, _ := mime.ParseMediaType(contentType)
	if (kind == "application/json" || strings.HasSuffix(kind, "+json")) && json.Valid(data) {
		return data
	}
	text := base64.StdEncoding.EncodeToString(data)
	if strings.HasPrefix(kind, "text/") && utf8.Valid(data) {
		text = string(data)
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return nil
	}
	return quoted
}
