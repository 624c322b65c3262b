package topics

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/choreo-go/choreo/choreo"
)

// The headers of an event: CloudEvents 1.0 attributes in Kafka binary mode, W3C trace
// context, and the outputs that travel with a completed step.
const (
	hSpecVersion = "ce_specversion"
	hID          = "ce_id"
	hSource      = "ce_source"
	hType        = "ce_type"
	hTime        = "ce_time"
	hSubject     = "ce_subject"
	hSaga        = "ce_saga"
	hVersion     = "ce_sagaversion"
	hStep        = "ce_step"
	hCausation   = "ce_causationid"
	hAttempt     = "ce_attempt"
	hInitiator   = "ce_initiator"
	hBypassed    = "ce_bypassed"
	hUndo        = "ce_undo"
	hForce       = "ce_force"
	hHome        = "ce_home"
	hBy          = "ce_by"
	hNote        = "ce_note"
	hTarget      = "ce_target"
	hResolve     = "ce_resolve"
	hTags        = "ce_tags"
	hErrClass    = "ce_errorclass"
	hErrCode     = "ce_errorcode"
	hErrMessage  = "ce_errormessage"
	hContentType = "content-type"
	hTraceParent = "traceparent"
	hTraceState  = "tracestate"

	hOutputPrefix = "choreo-output-"
)

const (
	specVersion = "1.0"
	yes         = "true" // ce_bypassed, ce_force
	undoNothing = "none"
	homeUnknown = "unknown"
	// timeLayout is RFC 3339 in UTC with microseconds, the precision of the databases.
	timeLayout = "2006-01-02T15:04:05.000000Z07:00"
	// maxText bounds headers that become keys in a participant's database, in bytes.
	// Above it an index of PostgreSQL refuses the row, which would look like an outage.
	maxText = 512
)

// ErrUnknownType is wrapped by a [DecodeError] for a well-formed CloudEvent whose type
// this build does not know, such as one of a later version.
var ErrUnknownType = errors.New("unknown event type")

var (
	errMissing = errors.New("missing or empty")
	errText    = errors.New("not UTF-8 text without control characters, or longer than 512 bytes")
)

// DecodeError says why a record is not an event.
type DecodeError struct {
	Header string // the header that is missing or wrong, or "key" or "value"
	Err    error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("record is not an event: %s: %v", e.Header, e.Err)
}

// Unwrap returns what is wrong with the header.
func (e *DecodeError) Unwrap() error { return e.Err }

// Encode returns the event as a record for the topic. The record's partition is the
// event's: AnyPartition leaves it to the log. The payload is not copied.
func Encode(ev *choreo.Event, topic string) choreo.Record {
	rec := choreo.Record{
		Topic:     topic,
		Partition: ev.Partition,
		Key:       []byte(ev.SagaID),
		Value:     ev.Payload,
		Headers:   make([]choreo.Header, 0, 14+len(ev.Carried)),
	}
	contentType := ev.ContentType
	if rec.Value == nil { // a record without a value would be a tombstone
		rec.Value, contentType = []byte("{}"), "application/json"
	}
	values := make([]byte, 0, 384) // of most events' headers
	add := func(key, value string) {
		if value != "" {
			begin := len(values)
			values = append(values, value...)
			rec.Headers = append(rec.Headers, choreo.Header{Key: key, Value: values[begin:len(values):len(values)]})
		}
	}
	add(hSpecVersion, specVersion)
	add(hID, ev.ID)
	add(hSource, ev.Source)
	add(hType, string(ev.Type))
	if !ev.Time.IsZero() {
		add(hTime, ev.Time.UTC().Format(timeLayout))
	}
	add(hSubject, ev.SagaID)
	add(hSaga, ev.Saga)
	add(hVersion, strconv.Itoa(ev.Version))
	add(hStep, ev.Step)
	add(hCausation, ev.CausationID)
	if ev.Attempt != 0 {
		add(hAttempt, strconv.Itoa(ev.Attempt))
	}
	add(hInitiator, ev.Initiator)
	if ev.Bypassed {
		add(hBypassed, yes)
	}
	if ev.Force {
		add(hForce, yes)
	}
	if ev.Elsewhere {
		add(hHome, homeUnknown)
	}
	if ev.Keep {
		add(hUndo, undoNothing)
	}
	add(hBy, storable(ev.By))
	add(hNote, storable(ev.Note))
	add(hTarget, ev.Target)
	add(hResolve, string(ev.Resolve))
	add(hTags, choreo.FormatTags(ev.Tags))
	if f := ev.Failure; f != nil {
		add(hErrClass, storable(string(f.Class)))
		add(hErrCode, storable(f.Code))
		add(hErrMessage, storable(f.Message))
	}
	add(hContentType, contentType)
	add(hTraceParent, ev.TraceParent)
	add(hTraceState, ev.TraceState)
	for _, o := range ev.Carried {
		value := make([]byte, 0, len(o.ContentType)+1+len(o.Data))
		value = append(append(append(value, o.ContentType...), '\n'), o.Data...)
		rec.Headers = append(rec.Headers, choreo.Header{Key: hOutputPrefix + o.Step, Value: value})
	}
	return rec
}

// Head is the part of an event by which a participant decides whether the event
// concerns it.
type Head struct {
	Type      choreo.EventType
	Saga      string
	Version   int
	Step      string
	Initiator string
	Source    string // the service that emitted it; empty where the header is missing
	Target    string // ReleaseRequested, StartRequested: the service that they are for
}

// ReadHead reads the head of an event from a record's headers, without decoding the
// rest and without allocating: its strings share the record's memory and hold as long
// as nobody changes that. The error is a [*DecodeError].
func ReadHead(rec *choreo.Record) (Head, error) {
	var spec, typ, saga, version, step, initiator, source, target []byte
	for i := len(rec.Headers) - 1; i >= 0; i-- { // so that the first of a key wins, as in Record.Header
		value := rec.Headers[i].Value
		switch rec.Headers[i].Key {
		case hSpecVersion:
			spec = value
		case hType:
			typ = value
		case hSaga:
			saga = value
		case hVersion:
			version = value
		case hStep:
			step = value
		case hInitiator:
			initiator = value
		case hSource:
			source = value
		case hTarget:
			target = value
		}
	}
	if string(spec) != specVersion {
		return Head{}, wrong(hSpecVersion, spec, `only "1.0" is read`)
	}
	known, err := typeOf(typ)
	if err != nil {
		return Head{}, err
	}
	head := Head{
		Type: known, Saga: view(saga), Step: view(step),
		Initiator: view(initiator), Source: view(source), Target: view(target),
	}
	if head.Version, err = number(hVersion, version, 1); err != nil {
		return Head{}, err
	}
	if err := required(hSaga, head.Saga); err != nil {
		return Head{}, err
	}
	if known == choreo.ReleaseRequested || known == choreo.StartRequested {
		if err := required(hTarget, head.Target); err != nil {
			return Head{}, err
		}
	}
	switch {
	case head.Initiator == "" && needsInitiator(known):
		err = required(hInitiator, head.Initiator)
	case known.OfStep():
		err = required(hStep, head.Step)
	case head.Step != "":
		err = wrong(hStep, step, "an event of the whole saga names no step")
	}
	if err != nil {
		return Head{}, err
	}
	return head, nil
}

// needsInitiator reports whether events of a type name the saga's initiator: those that
// move it forward, and those that turn it back by themselves. Who asks for an abort may
// not know the initiator, nor those who answer.
func needsInitiator(t choreo.EventType) bool {
	return t == choreo.Started || t == choreo.StepCompleted || t == choreo.StepFailed
}

// Decode reads an event from a record. It ignores headers that it does not know. The
// payload and the carried outputs share the record's memory. The error is a
// [*DecodeError], and wraps [ErrUnknownType] where only the type is not known. An event
// without a time gets the record's.
func Decode(rec *choreo.Record) (*choreo.Event, error) { return (*Decoder)(nil).Decode(rec) }

// Decoder decodes many events. What is the same in many of them, such as the names of steps and
// services, it makes once. The zero value is ready for use, by one goroutine at a time.
type Decoder struct{ names map[string]string }

// maxNames bounds the names that a decoder keeps.
const maxNames = 4096

// name returns a string of its own with the bytes that s shares.
func (d *Decoder) name(s string) string {
	if d == nil || s == "" {
		return strings.Clone(s)
	}
	if kept, ok := d.names[s]; ok {
		return kept
	}
	if d.names == nil || len(d.names) >= maxNames {
		d.names = make(map[string]string)
	}
	s = strings.Clone(s)
	d.names[s] = s
	return s
}

// Decode is [Decode].
func (d *Decoder) Decode(rec *choreo.Record) (*choreo.Event, error) {
	head, err := ReadHead(rec)
	if err != nil {
		return nil, err
	}
	if rec.Value == nil {
		return nil, &DecodeError{Header: "value", Err: errors.New("null: an event always has a body")}
	}
	ev := &choreo.Event{
		Type: head.Type, Saga: d.name(head.Saga), Version: head.Version,
		Step: d.name(head.Step), Initiator: d.name(head.Initiator), Target: d.name(head.Target),
		Time: rec.Time, Payload: rec.Value, Partition: rec.Partition, Offset: rec.Offset,
	}
	var failure choreo.Failure
	for i := range slices.Backward(rec.Headers) {
		h := &rec.Headers[i]
		if err := d.header(ev, &failure, h); err != nil {
			return nil, err
		}
	}
	slices.Reverse(ev.Carried)
	if failure != (choreo.Failure{}) {
		ev.Failure = &failure
	}
	for _, must := range []struct{ header, value string }{
		{hID, ev.ID}, {hSource, ev.Source}, {hSubject, ev.SagaID},
	} {
		if must.value == "" {
			return nil, &DecodeError{Header: must.header, Err: errMissing}
		}
	}
	if string(rec.Key) != ev.SagaID { // the order per saga hangs on the key
		return nil, &DecodeError{Header: "key", Err: fmt.Errorf("%q is not the saga id that ce_subject names", rec.Key)}
	}
	return ev, nil
}

// header reads one header that ReadHead has not read.
func (d *Decoder) header(ev *choreo.Event, failure *choreo.Failure, h *choreo.Header) (err error) {
	switch h.Key {
	case hID:
		ev.ID, err = text(h)
	case hSource:
		if err = checkText(h); err == nil {
			ev.Source = d.name(view(h.Value))
		}
	case hSubject:
		ev.SagaID, err = text(h)
	case hCausation:
		ev.CausationID, err = text(h)
	case hContentType:
		if err = checkText(h); err == nil {
			ev.ContentType = d.name(view(h.Value))
		}
	case hTime:
		ev.Time, err = time.Parse(time.RFC3339Nano, string(h.Value))
		ev.Time = ev.Time.UTC()
		if err != nil || ev.Time.Year() < 1 || ev.Time.Year() > 9999 {
			return wrong(hTime, h.Value, "an RFC 3339 time is expected")
		}
	case hAttempt:
		ev.Attempt, err = number(hAttempt, h.Value, 0)
	case hBypassed:
		ev.Bypassed = string(h.Value) == yes
	case hHome:
		ev.Elsewhere = string(h.Value) == homeUnknown
	case hForce:
		ev.Force = string(h.Value) == yes
	case hUndo:
		ev.Keep = string(h.Value) == undoNothing
	case hBy:
		ev.By = storable(string(h.Value))
	case hNote:
		ev.Note = storable(string(h.Value))
	case hResolve:
		ev.Resolve = choreo.Resolve(storable(string(h.Value)))
	case hTags:
		if ev.Tags, err = choreo.ParseTags(string(h.Value)); err != nil {
			return &DecodeError{Header: hTags, Err: err}
		}
	case hErrClass:
		failure.Class = choreo.Class(storable(string(h.Value)))
	case hErrCode:
		failure.Code = storable(string(h.Value))
	case hErrMessage:
		failure.Message = storable(string(h.Value))
	case hTraceParent:
		ev.TraceParent = storable(string(h.Value))
	case hTraceState:
		ev.TraceState = storable(string(h.Value))
	default:
		if step, ok := strings.CutPrefix(h.Key, hOutputPrefix); ok {
			return decodeOutput(ev, step, h)
		}
	}
	return err
}

func decodeOutput(ev *choreo.Event, step string, h *choreo.Header) error {
	contentType, data, ok := bytes.Cut(h.Value, []byte{'\n'})
	if !ok || !isText(step) || !isText(view(contentType)) {
		return &DecodeError{Header: h.Key, Err: errors.New("a content type, a line feed and an output are expected")}
	}
	ev.Carried = append(ev.Carried, choreo.Output{Step: step, ContentType: string(contentType), Data: data})
	return nil
}

// typeOf returns the constant for a type, so that no string is made.
func typeOf(value []byte) (choreo.EventType, error) {
	for _, t := range knownTypes {
		if string(value) == string(t) {
			return t, nil
		}
	}
	if len(value) == 0 || !isText(view(value)) {
		return "", wrong(hType, value, "an event type is expected")
	}
	return "", &DecodeError{Header: hType, Err: fmt.Errorf("%w %q", ErrUnknownType, value)}
}

// knownTypes has the most frequent first.
var knownTypes = [...]choreo.EventType{
	choreo.StepCompleted, choreo.Started, choreo.StepCompensated, choreo.StepFailed, choreo.StepSkipped,
	choreo.AbortRequested, choreo.Aborted, choreo.AbortRejected, choreo.StepStuck, choreo.CompensationFailed,
	choreo.RetryRequested, choreo.ResolveRequested, choreo.CommandRejected,
	choreo.SagaParked, choreo.SagaReleased, choreo.ReleaseRequested, choreo.ReleaseRejected,
	choreo.StartRequested, choreo.StartRejected,
}

func number(header string, value []byte, least int) (int, error) {
	n, err := strconv.Atoi(view(value))
	if err != nil || n < least {
		return 0, wrong(header, value, fmt.Sprintf("a number of at least %d is expected", least))
	}
	return n, nil
}

func required(header, value string) error {
	switch {
	case value == "":
		return &DecodeError{Header: header, Err: errMissing}
	case !isText(value):
		return &DecodeError{Header: header, Err: errText}
	}
	return nil
}

func checkText(h *choreo.Header) error {
	if !isText(view(h.Value)) {
		return &DecodeError{Header: h.Key, Err: errText}
	}
	return nil
}

func text(h *choreo.Header) (string, error) {
	if err := checkText(h); err != nil {
		return "", err
	}
	return string(h.Value), nil
}

func wrong(header string, value []byte, why string) error {
	if len(value) == 0 {
		return &DecodeError{Header: header, Err: errMissing}
	}
	return &DecodeError{Header: header, Err: fmt.Errorf("%.64q: %s", value, why)}
}

// isText reports whether s is a CloudEvents string that databases take as a key.
func isText(s string) bool {
	if len(s) > maxText {
		return false
	}
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7F {
			return false
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	return ascii || utf8.ValidString(s)
}

// storable makes s fit for text columns, which take neither broken UTF-8 nor NUL.
func storable(s string) string {
	if isText(s) { // as nearly all are
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// view returns b as a string that shares its memory.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
