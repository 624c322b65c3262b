package asyncapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/choreo"
)

// Names of shared components.
const (
	eventTrait   = "event"
	registered   = "registered-event"
	eventHeaders = "event-headers"
	stepHeaders  = "failure-headers"
	letterTrait  = "dead-letter"
	sagaID       = "saga-id"
	emptyPayload = "no-data"
)

// The parties that a definition does not name.
const (
	initiator = "initiator"
	operators = "operators"
)

func schemaRef(key string) string    { return "#/components/schemas/" + key }
func text(about string) headerSchema { return headerSchema{Type: "string", Description: about} }

// raw is the JSON text of a schema of headers: texts, lists and maps of texts always have one.
func raw(s headerSchema) json.RawMessage {
	data, _ := json.Marshal(s)
	return data
}

// shared adds what all messages refer to.
func (b *builder) shared() {
	c := &b.doc.Components
	c.CorrelationIDs[sagaID] = correlation{"All events of one saga have its id.", "$message.header#/ce_subject"}
	key := text("The id of the saga, as in ce_subject.")
	c.MessageTraits[eventTrait] = trait{
		CorrelationID: ref{"#/components/correlationIds/" + sagaID},
		Bindings:      messageBindings{messageBinding{Key: key, Version: bindingVersion}},
	}
	if b.registry {
		c.MessageTraits[registered] = trait{
			CorrelationID: ref{"#/components/correlationIds/" + sagaID},
			Bindings: messageBindings{messageBinding{
				Key: key, SchemaIDLocation: "payload", SchemaIDEncoding: "4",
				SchemaLookup: "TopicRecordNameStrategy", Version: bindingVersion,
			}},
		}
	}
	c.Schemas[emptyPayload] = raw(headerSchema{Type: "object", Description: "An empty object: the event has no data."})
	c.Schemas[eventHeaders] = raw(headerSchema{
		Type: "object", Description: "CloudEvents 1.0 in Kafka binary mode, and W3C trace context.",
		Required: []string{"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_saga", "ce_sagaversion", "content-type"},
		Properties: map[string]headerSchema{
			"ce_specversion": {Type: "string", Const: "1.0"},
			"ce_id":          {Type: "string", Format: "uuid", Description: "A UUIDv7."},
			"ce_source":      text("The service that emitted the event."),
			"ce_type":        text("What happened."),
			"ce_time":        {Type: "string", Format: "date-time"},
			"ce_subject":     text("The id of the saga."),
			"ce_saga":        text("The name of the saga's definition."),
			"ce_sagaversion": {Type: "string", Pattern: "^[1-9][0-9]*$", Description: "The version of the definition that the saga began with."},
			"ce_causationid": text("The id of the event that this one reacts to."),
			"ce_initiator":   text("The service that started the saga."),
			"ce_attempt":     {Type: "string", Pattern: "^[0-9]+$", Description: "The attempt of the step, from 1."},
			"content-type":   text("How the payload is encoded."),
			"traceparent":    text("W3C trace context."),
			"tracestate":     text("W3C trace context."),
		},
	})
	c.Schemas[stepHeaders] = raw(headerSchema{
		Type: "object", Description: "Why something failed or was asked for.",
		Properties: map[string]headerSchema{
			"ce_errorclass":   text("The class of the failure."),
			"ce_errorcode":    text("A stable code of the failure, for programs."),
			"ce_errormessage": text("The failure in words."),
			"ce_by":           text("Who gave the command."),
			"ce_note":         text("Why the command was given."),
		},
	})
}

// event is one message of a saga before it is written.
type event struct {
	kind     choreo.EventType
	step     string
	bypassed bool
	sender   []string // services, or a party that the definition does not name
}

// key is the message's in its channel, and after the saga and version among the components.
func (e event) key(version int) string {
	words := strings.Split(string(e.kind), ".")
	last := words[len(words)-1]
	if e.bypassed {
		last = "bypassed"
	}
	if e.step == "" {
		return fmt.Sprintf("v%d.%s", version, last)
	}
	return fmt.Sprintf("v%d.%s.%s", version, e.step, last)
}

// events lists what can stand in the log of a saga.
func events(d *choreo.Definition) []event {
	arbiter := []string{initiator}
	if p := d.Pivot(); p != "" {
		arbiter = []string{d.Step(p).Owner}
	}
	list := []event{
		{kind: choreo.StartRequested, sender: []string{operators}},
		{kind: choreo.StartRejected, sender: []string{initiator}},
		{kind: choreo.Started, sender: []string{initiator}},
		{kind: choreo.AbortRequested, sender: []string{initiator, operators}},
		{kind: choreo.Aborted, sender: arbiter},
		{kind: choreo.AbortRejected, sender: arbiter},
		{kind: choreo.SagaParked, sender: d.Services()},
		{kind: choreo.SagaReleased, sender: d.Services()},
		{kind: choreo.ReleaseRequested, sender: []string{operators}},
		{kind: choreo.ReleaseRejected, sender: d.Services()},
	}
	past := map[string]bool{}
	for _, s := range d.Steps() {
		past[s.Name] = slices.ContainsFunc(s.After, func(n string) bool { return past[n] || n == d.Pivot() })
		owner := []string{s.Owner}
		add := func(kind choreo.EventType, sender []string) {
			list = append(list, event{kind: kind, step: s.Name, sender: sender})
		}
		add(choreo.StepCompleted, owner)
		if s.Optional || s.Condition != "" {
			list = append(list, event{kind: choreo.StepCompleted, step: s.Name, bypassed: true, sender: owner})
		}
		if past[s.Name] {
			add(choreo.StepStuck, owner)
		} else {
			if !s.Optional {
				add(choreo.StepFailed, owner)
			}
			add(choreo.StepSkipped, owner)
			if !s.Pivot {
				add(choreo.StepCompensated, owner)
			}
			if d.Compensates(s.Name) {
				add(choreo.CompensationFailed, owner)
			}
		}
		add(choreo.RetryRequested, []string{operators})
		if past[s.Name] || d.Compensates(s.Name) {
			add(choreo.ResolveRequested, []string{operators})
		}
		add(choreo.CommandRejected, owner)
	}
	return list
}

// saga adds the channel, messages and operations of a definition.
func (b *builder) saga(s Saga) error {
	d := s.Definition.Def()
	topic := b.names.Events(d.Name())
	name := d.Name() + ".events"
	ch, ok := b.doc.Channels[name]
	if !ok {
		ch = b.channelOf(topic, "The events of the saga "+d.Name(), "The log of every saga of this name, each in one partition.")
		b.doc.Channels[name] = ch
	}
	payloads, err := b.payloads(s)
	if err != nil {
		return err
	}
	version := versionHeaders(d)
	b.doc.Components.Schemas[version.key] = raw(version.headerSchema)
	for _, e := range events(d) {
		key := e.key(d.Version())
		component := d.Name() + "." + key
		b.doc.Components.Messages[component] = b.message(s, e, payloads, version.key)
		ch.Messages[key] = ref{"#/components/messages/" + component}
		at := ref{"#/channels/" + name + "/messages/" + key}
		for _, sender := range e.sender {
			b.operate("send", sender, d.Name(), at)
		}
		for _, service := range d.Services() {
			if e.kind == choreo.ReleaseRequested || d.Reacts(d.StepsOf(service), e.kind, e.step) {
				b.operate("receive", service, d.Name(), at)
			}
		}
		if closes(d, e) || e.kind == choreo.StartRequested {
			b.operate("receive", initiator, d.Name(), at)
		}
	}
	return nil
}

// closes reports whether the initiator acts on an event: it answers or passes on what asks for
// an abort, and keeps the deadline until the saga has closed.
func closes(d *choreo.Definition, e event) bool {
	switch e.kind {
	case choreo.AbortRequested, choreo.Aborted, choreo.StepFailed:
		return true
	case choreo.StepCompleted:
		return e.step == d.Pivot() || slices.Contains(d.Sinks(), e.step)
	default:
		return false
	}
}

type namedHeaders struct {
	headerSchema
	key string
}

// versionHeaders are the headers that all messages of one definition share.
func versionHeaders(d *choreo.Definition) namedHeaders {
	return namedHeaders{
		key: fmt.Sprintf("%s.v%d-headers", d.Name(), d.Version()),
		headerSchema: headerSchema{
			Type: "object", Description: "The headers of the saga " + d.String() + ".",
			AllOf: []headerSchema{{Ref: schemaRef(eventHeaders)}},
			Properties: map[string]headerSchema{
				"ce_saga":        {Type: "string", Const: d.Name()},
				"ce_sagaversion": {Type: "string", Const: strconv.Itoa(d.Version())},
			},
		},
	}
}

// message describes one event.
func (b *builder) message(s Saga, e event, payloads map[string]payload, versionHeaders string) message {
	d := s.Definition.Def()
	headers := &headerSchema{
		Type: "object", AllOf: []headerSchema{{Ref: schemaRef(versionHeaders)}},
		Required:   []string{"ce_type"},
		Properties: map[string]headerSchema{"ce_type": {Type: "string", Const: string(e.kind)}},
	}
	m := message{
		Name: string(e.kind), Title: title(e), Summary: summary(e), Headers: headers,
		ContentType: string(choreo.JSON), Payload: raw(headerSchema{Ref: schemaRef(emptyPayload)}),
		Traits: []ref{{"#/components/messageTraits/" + eventTrait}},
	}
	require := func(name string, value headerSchema) {
		headers.Required = append(headers.Required, name)
		headers.Properties[name] = value
	}
	if e.step != "" {
		require("ce_step", headerSchema{Type: "string", Const: e.step})
	}
	switch e.kind {
	case choreo.StartRequested:
		require("ce_target", text("The service that is to start the saga."))
		headers.Properties["ce_tags"] = text(tagsText)
		headers.AllOf = append(headers.AllOf, headerSchema{Ref: schemaRef(stepHeaders)})
		b.data(&m, d, e.step, payloads)
	case choreo.Started, choreo.StepCompleted:
		if e.kind == choreo.Started {
			headers.Properties["ce_tags"] = text(tagsText)
		}
		require("ce_initiator", text("The service that started the saga."))
		if e.bypassed {
			require("ce_bypassed", headerSchema{Type: "string", Const: "true"})
			break
		}
		b.data(&m, d, e.step, payloads)
		for _, u := range carried(d, e.step) {
			headers.Properties["choreo-output-"+u] = text("The output of " + u + ", for later steps: its content type, a line feed, and the bytes.")
		}
	case choreo.StepFailed:
		require("ce_initiator", text("The service that started the saga."))
		headers.AllOf = append(headers.AllOf, headerSchema{Ref: schemaRef(stepHeaders)})
		if def := d.Step(e.step); def.CompensateIf != "" {
			headers.Properties["ce_undo"] = headerSchema{
				Type: "string", Const: "none", Description: "Nothing is undone: decided by " + def.CompensateIf + ".",
			}
		}
	case choreo.ReleaseRequested:
		require("ce_target", headerSchema{Type: "string", Enum: d.Services(), Description: "The service that is to try again."})
		headers.AllOf = append(headers.AllOf, headerSchema{Ref: schemaRef(stepHeaders)})
	case choreo.ResolveRequested:
		how := choreo.ResolveDone // a stuck step, with the output that it would have given
		if d.Compensates(e.step) {
			how = choreo.ResolveUndone
		} else {
			b.data(&m, d, e.step, payloads)
		}
		require("ce_resolve", headerSchema{Type: "string", Const: string(how)})
		headers.AllOf = append(headers.AllOf, headerSchema{Ref: schemaRef(stepHeaders)})
	case choreo.AbortRequested, choreo.Aborted:
		if e.kind == choreo.AbortRequested {
			headers.Properties["ce_home"] = headerSchema{
				Type: "string", Const: "unknown", Description: "Who asks does not know the saga's partition: the initiator passes it on.",
			}
		}
		headers.Properties["ce_force"] = headerSchema{Type: "string", Const: "true", Description: "Turns back also what would stay as it is."}
		headers.AllOf = append(headers.AllOf, headerSchema{Ref: schemaRef(stepHeaders)})
	case choreo.StartRejected, choreo.AbortRejected, choreo.SagaParked, choreo.SagaReleased, choreo.ReleaseRejected, choreo.StepSkipped,
		choreo.StepStuck, choreo.StepCompensated, choreo.CompensationFailed, choreo.RetryRequested, choreo.CommandRejected:
		headers.AllOf = append(headers.AllOf, headerSchema{Ref: schemaRef(stepHeaders)})
	}
	return m
}

// tagsText describes ce_tags.
const tagsText = "What the saga is found by: a JSON object of texts."

// data gives a message what a step hands on, or for the step "" the saga's input.
func (b *builder) data(m *message, d *choreo.Definition, step string, payloads map[string]payload) {
	name := d.InputName()
	if step != "" {
		name = d.Step(step).Output
	}
	p := payloads[name]
	m.Payload = p.schema
	m.ContentType = string(p.media)
	if e := d.EncodingOf(step); e != "" {
		m.ContentType = string(e)
	}
	if m.ContentType == "" {
		m.ContentType = string(choreo.JSON)
	}
	if b.registry && p.media != "" {
		m.Traits = []ref{{"#/components/messageTraits/" + registered}}
	}
}

// carried returns the steps whose outputs may travel with the completion of a step: those
// that a later one reads without waiting for them itself.
func carried(d *choreo.Definition, step string) []string {
	var names []string
	if step == "" {
		return nil
	}
	before, after := ancestors(d, step), map[string]bool{}
	for _, s := range d.Steps() {
		after[s.Name] = slices.ContainsFunc(s.After, func(n string) bool { return n == step || after[n] })
		for _, u := range s.Reads() {
			if after[s.Name] && before[u] && !slices.Contains(s.After, u) && !slices.Contains(names, u) {
				names = append(names, u)
			}
		}
	}
	return names
}

func ancestors(d *choreo.Definition, step string) map[string]bool {
	found := map[string]bool{}
	queue := slices.Clone(d.Step(step).After)
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		if !found[n] {
			found[n] = true
			queue = append(queue, d.Step(n).After...)
		}
	}
	return found
}

// operate adds a message to what somebody sends to the topic of a saga or receives from it.
func (b *builder) operate(action, who, saga string, at ref) {
	key := who + "." + saga + "." + action
	op, ok := b.doc.Operations[key]
	if !ok {
		op = operation{Action: action, Channel: ref{"#/channels/" + saga + ".events"}, Tags: []tag{{Name: who}}}
		op.Title = fmt.Sprintf("What the service %s %ss", who, action)
		switch who {
		case initiator:
			op.Title = fmt.Sprintf("What the service that starts a saga %ss", action)
		case operators:
			op.Title = "The commands of operators"
		default:
			if action == "receive" {
				op.Bindings = &operationBindings{operationBinding{
					Group: headerSchema{Type: "string", Const: b.names.Group(who)}, Version: bindingVersion,
				}}
			}
		}
	}
	if !slices.Contains(op.Messages, at) {
		op.Messages = append(op.Messages, at)
	}
	b.doc.Operations[key] = op
}

// deadLetters adds the topic of records that a service could not handle.
func (b *builder) deadLetters() {
	c := &b.doc.Components
	binary := func(about string) headerSchema {
		return headerSchema{Type: "string", Format: "binary", Description: about}
	}
	c.Messages[letterTrait] = message{
		Name: "dead-letter", Title: "A dead letter", ContentType: "application/octet-stream",
		Summary: "A record that a service could not handle: its key, value and headers as they were, and why.",
		Headers: &headerSchema{
			Type: "object", Required: []string{"kafka_dlt-original-topic", "kafka_dlt-exception-message"},
			Properties: map[string]headerSchema{
				"kafka_dlt-original-topic":          text("Where the record was read."),
				"kafka_dlt-original-partition":      binary("4 bytes, big-endian."),
				"kafka_dlt-original-offset":         binary("8 bytes, big-endian."),
				"kafka_dlt-original-timestamp":      binary("8 bytes, big-endian: milliseconds since 1970."),
				"kafka_dlt-original-consumer-group": text("Which group gave it up."),
				"kafka_dlt-exception-fqcn":          text("The type of the cause."),
				"kafka_dlt-exception-message":       text("The cause in words."),
			},
		},
		Payload: raw(headerSchema{Description: "The bytes of the record that could not be handled."}),
	}
	ch := b.channelOf(b.names.DeadLetters(), "Dead letters", "Records that a service could not handle, for operators.")
	ch.Messages[letterTrait] = ref{"#/components/messages/" + letterTrait}
	b.doc.Channels["dlq"] = ch
	for _, service := range b.doc.Info.Tags {
		b.doc.Operations[service.Name+".dlq.send"] = operation{
			Action: "send", Channel: ref{"#/channels/dlq"}, Tags: []tag{{Name: service.Name}},
			Title:    fmt.Sprintf("What the service %s gives up", service.Name),
			Messages: []ref{{"#/channels/dlq/messages/" + letterTrait}},
		}
	}
}

func title(e event) string {
	words := strings.Split(string(e.kind), ".")
	what := strings.ReplaceAll(words[len(words)-1], "-", " ")
	if e.bypassed {
		what = "bypassed"
	}
	if e.step == "" {
		return "saga " + what
	}
	return e.step + " " + what
}

// summary says what an event means.
func summary(e event) string {
	if e.bypassed {
		return "The step was passed by: its condition was false, or it is optional and failed."
	}
	return map[choreo.EventType]string{
		choreo.StartRequested:     "A service is asked to start the saga; the payload is its input.",
		choreo.StartRejected:      "The service does not start the saga, and says why.",
		choreo.Started:            "The first event of every saga; its payload is the saga's input.",
		choreo.AbortRequested:     "Somebody asks to turn the saga back.",
		choreo.Aborted:            "From here on the saga goes backwards.",
		choreo.AbortRejected:      "The saga had closed before it could be turned back.",
		choreo.SagaParked:         "A service cannot go on with the saga for now.",
		choreo.SagaReleased:       "A service goes on with a saga that it had parked.",
		choreo.ReleaseRequested:   "A service is to try again to go on with a parked saga.",
		choreo.ReleaseRejected:    "The service does not try again, and says why.",
		choreo.StepCompleted:      "The step was done; the payload is its output.",
		choreo.StepFailed:         "The step failed for good: the saga goes backwards.",
		choreo.StepSkipped:        "The step will never run in this saga.",
		choreo.StepStuck:          "The step is past the pivot and fails again and again.",
		choreo.StepCompensated:    "The step was undone, or there was nothing to undo.",
		choreo.CompensationFailed: "The step could not be undone: an operator has to see to it.",
		choreo.RetryRequested:     "An operator has the step run again now.",
		choreo.ResolveRequested:   "An operator counts a stuck step as done or undone.",
		choreo.CommandRejected:    "A command made no sense where the step stands.",
	}[e.kind]
}
