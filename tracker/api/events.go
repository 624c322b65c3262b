package api

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
)

const (
	defaultEvents = 1000
	maxEvents     = 10_000
	outputHeader  = "choreo-output-" // carries the output of an earlier step
)

// Payloads says what became of the payloads in an answer.
type Payloads string

// What may become of payloads.
const (
	PayloadsShown    Payloads = "shown"
	PayloadsNotAsked Payloads = "not-asked"
	PayloadsHidden   Payloads = "hidden" // they were asked for by somebody who may not see them
)

// EventList answers GET /sagas/{saga}/{id}/events.
type EventList struct {
	Events    []EventView       `json:"events"`
	More      bool              `json:"more"` // there are more than the limit
	Payloads  Payloads          `json:"payloads"`
	Freshness tracker.Freshness `json:"freshness"`
}

// EventView is an event as people look at it.
type EventView struct {
	Offset      int64            `json:"offset"`
	Partition   int32            `json:"partition"`
	ID          string           `json:"id"`
	Type        choreo.EventType `json:"type"`
	Step        string           `json:"step,omitempty"`
	Source      string           `json:"source"`
	Time        time.Time        `json:"time"`
	Attempt     int              `json:"attempt,omitempty"`
	CausationID string           `json:"causation_id,omitempty"`
	By          string           `json:"by,omitempty"`
	Note        string           `json:"note,omitempty"`
	Error       *tracker.Error   `json:"error,omitempty"`
	Headers     []HeaderView     `json:"headers"`
	ContentType string           `json:"content_type,omitempty"`
	Size        int              `json:"size"` // of the payload, in bytes
	// Payload is JSON where it is that, or one of Source.Codecs decodes it, a text where the content
	// type says so, else the bytes as base64, as PayloadEncoding tells.
	Payload         json.RawMessage `json:"payload,omitempty"`
	PayloadEncoding string          `json:"payload_encoding,omitempty"`
	// Undecodable says why the record is no event, if it is none.
	Undecodable string `json:"undecodable,omitempty"`
}

// HeaderView is a header of a record.
type HeaderView struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Encoding is "base64" where the value is no text.
	Encoding string `json:"encoding,omitempty"`
	// Hidden says that the value is an output, which is shown where payloads are.
	Hidden bool `json:"hidden,omitempty"`
	Size   int  `json:"size,omitempty"` // of what is hidden, in bytes
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	var payload bool
	limit := defaultEvents
	if err := read(r, func(p *parameters) {
		payload, limit = p.flag("payload"), p.number("limit", defaultEvents, 1, maxEvents)
	}); err != nil {
		return err
	}
	if s.source.Events == nil {
		return problem(CodeNotAvailable, "the tracker was started without the logs")
	}
	one, err := s.source.Sagas.Get(r.Context(), r.PathValue("saga"), pathID(r))
	if err != nil {
		return err
	}
	records, more, err := s.source.Events.Events(r.Context(), one, limit)
	if err != nil {
		return err
	}
	list := EventList{Events: make([]EventView, len(records)), More: more, Payloads: PayloadsNotAsked}
	if payload {
		list.Payloads = PayloadsHidden
		if identity(r).Role.may(s.config.Payloads) {
			list.Payloads = PayloadsShown
		}
	}
	for i := range records {
		list.Events[i] = s.eventView(&records[i], list.Payloads == PayloadsShown)
	}
	list.Freshness = s.fresh(w, false)
	return answer(w, http.StatusOK, list)
}

func (s *Server) eventView(rec *choreo.Record, payload bool) EventView {
	v := EventView{
		Offset: rec.Offset, Partition: rec.Partition, Time: rec.Time.UTC(), Size: len(rec.Value), Headers: []HeaderView{},
	}
	for i := range rec.Headers {
		v.Headers = append(v.Headers, headerView(&rec.Headers[i], payload))
	}
	ev, err := topics.Decode(rec)
	if err != nil {
		v.Undecodable = err.Error()
		return v // its payload is of a type that nobody knows
	}
	v.ID, v.Type, v.Step, v.Source, v.Time = ev.ID, ev.Type, ev.Step, ev.Source, ev.Time
	v.Attempt, v.CausationID, v.By, v.Note, v.ContentType = ev.Attempt, ev.CausationID, ev.By, ev.Note, ev.ContentType
	if f := ev.Failure; f != nil {
		v.Error = &tracker.Error{Class: f.Class, Code: f.Code, Message: f.Message}
	}
	if payload {
		v.Payload, v.PayloadEncoding = s.payloadView(ev.ContentType, rec.Value)
	}
	return v
}

// headerView shows a header. What is no event may carry anything in it, so that the name alone
// decides.
func headerView(h *choreo.Header, payload bool) HeaderView {
	v := HeaderView{Name: strings.ToValidUTF8(h.Key, "\uFFFD")}
	switch {
	case !payload && len(h.Key) >= len(outputHeader) && strings.EqualFold(h.Key[:len(outputHeader)], outputHeader):
		v.Hidden, v.Size = true, len(h.Value)
	case utf8.Valid(h.Value):
		v.Value = string(h.Value)
	default:
		v.Value, v.Encoding = base64.StdEncoding.EncodeToString(h.Value), "base64"
	}
	return v
}

func (s *Server) payloadView(contentType string, data []byte) (value json.RawMessage, encoding string) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = ""
	}
	switch {
	case (kind == "application/json" || strings.HasSuffix(kind, "+json")) && json.Valid(data):
		return data, "json"
	case strings.HasPrefix(kind, "text/") && utf8.Valid(data):
		value, _ = json.Marshal(string(data)) // a text always has a JSON form
		return value, "text"
	}
	for _, codec := range s.source.Codecs {
		var decoded any
		if codec.ContentType() != contentType || codec.Decode(data, &decoded) != nil {
			continue // by a schema that is gone, for one: its bytes are there still
		}
		if value, err := json.Marshal(decoded); err == nil {
			return value, "json"
		}
	}
	value, _ = json.Marshal(data) // which is base64
	return value, "base64"
}
