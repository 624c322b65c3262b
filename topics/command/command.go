package command

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// Publisher is the part of [topics.Log] that commands need.
type Publisher interface {
	Publish(ctx context.Context, records []choreo.Record) []error
}

// Config configures [New]. The zero value of a field is its default.
type Config struct {
	// Source is the program that gives the commands, as it stands in the log. Default:
	// "operator".
	Source string
	// Now and NewID are for tests. Defaults: time.Now, and a new UUIDv7.
	Now   func() time.Time
	NewID func() string
}

// Commander gives commands. It is safe for concurrent use.
type Commander struct {
	log   Publisher
	names topics.Names
	cfg   Config
}

// New returns a commander for the sagas of a namespace.
func New(log Publisher, names topics.Names, config *Config) *Commander {
	c := &Commander{log: log, names: names}
	if config != nil {
		c.cfg = *config
	}
	if c.cfg.Source == "" {
		c.cfg.Source = "operator"
	}
	if c.cfg.Now == nil {
		c.cfg.Now = time.Now
	}
	if c.cfg.NewID == nil {
		c.cfg.NewID = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	return c
}

// Saga is the saga that a command is for, as its log tells it.
type Saga struct {
	Name    string // of the definition
	Version int
	ID      string
	// Partition is its home partition: that in which its Started stands. A command in another
	// one would have no order with the saga's events, and may be answered by nobody.
	Partition int32
}

// Operator is who gives a command, and why. Both stand in the saga's log.
type Operator struct {
	By   string // required
	Note string
}

// Payload is an encoded payload, and as what it is encoded.
type Payload struct {
	ContentType string
	Data        []byte
}

// Cancel asks for the abort of a saga. The arbiter answers with Aborted or AbortRejected. Give it
// only for a saga whose Started stands in the log. All commands return the id of their event
// once it is acknowledged; after an error it may yet stand in the log.
func (c *Commander) Cancel(ctx context.Context, saga Saga, who Operator) (id string, err error) {
	return c.give(ctx, saga, who, &choreo.Event{
		Type:    choreo.AbortRequested,
		Failure: &choreo.Failure{Class: choreo.ClassCancelled, Code: "cancelled", Message: who.Note},
	})
}

// ForceAbort is [Commander.Cancel] that turns back also what would stay as it is: a saga without a
// pivot that has completed, and one that failed and is kept.
func (c *Commander) ForceAbort(ctx context.Context, saga Saga, who Operator) (id string, err error) {
	return c.give(ctx, saga, who, &choreo.Event{
		Type: choreo.AbortRequested, Force: true,
		Failure: &choreo.Failure{Class: choreo.ClassCancelled, Code: "forced", Message: who.Note},
	})
}

// Retry has the owner of a step run its handler again now. It answers with the outcome, or with
// CommandRejected where there is nothing to run again.
func (c *Commander) Retry(ctx context.Context, saga Saga, step string, who Operator) (id string, err error) {
	return c.give(ctx, saga, who, &choreo.Event{Type: choreo.RetryRequested, Step: step})
}

// ResolveUndone has the owner of a step whose compensation failed count it as compensated. It
// answers with StepCompensated or CommandRejected.
func (c *Commander) ResolveUndone(ctx context.Context, saga Saga, step string, who Operator) (id string, err error) {
	return c.give(ctx, saga, who, &choreo.Event{
		Type: choreo.ResolveRequested, Step: step, Resolve: choreo.ResolveUndone,
	})
}

// ResolveDone has the owner of a step past the pivot that does not succeed count it as completed
// with this output, which must be encoded as the definition says. It answers with StepCompleted
// or CommandRejected.
func (c *Commander) ResolveDone(ctx context.Context, saga Saga, step string, output Payload, who Operator) (id string, err error) {
	if err := output.check(); err != nil {
		return "", fmt.Errorf("command: resolve step %q of saga %s %q: the output: %w", step, saga.Name, saga.ID, err)
	}
	return c.give(ctx, saga, who, &choreo.Event{
		Type: choreo.ResolveRequested, Step: step, Resolve: choreo.ResolveDone,
		ContentType: output.ContentType, Payload: output.Data,
	})
}

// Release has a service try at once to go on with a saga that it has parked. It answers with
// SagaReleased or ReleaseRejected.
func (c *Commander) Release(ctx context.Context, saga Saga, service string, who Operator) (id string, err error) {
	return c.give(ctx, saga, who, &choreo.Event{Type: choreo.ReleaseRequested, Target: service})
}

// Start is a saga to be started.
type Start struct {
	Saga    string // name of the definition. Required
	Version int    // required
	// ID names the saga. The same id starts one saga. Default: a new UUIDv7.
	ID      string
	Service string  // that is to start it: see choreo.StartRequested. Required
	Input   Payload // encoded as the definition says. Required
	Tags    map[string]string
}

// Start asks a service to start a saga, and returns the saga's id and that of the command. The
// service answers with Started or StartRejected, in the partition that the saga's id picks.
func (c *Commander) Start(ctx context.Context, start Start, who Operator) (sagaID, id string, err error) {
	if start.ID == "" {
		start.ID = c.cfg.NewID()
	}
	fail := func(err error) (string, string, error) {
		return "", "", fmt.Errorf("command: start saga %s/%d %q: %w", start.Saga, start.Version, start.ID, err)
	}
	if err := start.Input.check(); err != nil {
		return fail(fmt.Errorf("the input: %w", err))
	}
	if err := choreo.CheckTags(start.Tags); err != nil {
		return fail(err)
	}
	saga := Saga{Name: start.Saga, Version: start.Version, ID: start.ID, Partition: choreo.AnyPartition}
	id, err = c.give(ctx, saga, who, &choreo.Event{
		Type: choreo.StartRequested, Target: start.Service, Tags: start.Tags,
		ContentType: start.Input.ContentType, Payload: start.Input.Data,
	})
	return start.ID, id, err
}

func (p Payload) check() error {
	switch {
	case p.Data == nil:
		return errors.New("it is missing: give the encoded payload, which may be empty")
	case p.ContentType == "":
		return errors.New("its content type is missing: name that by which the definition has it encoded, such as \"application/json\"")
	}
	return nil
}

// give writes a command.
func (c *Commander) give(ctx context.Context, saga Saga, who Operator, ev *choreo.Event) (string, error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("command: %s of saga %s %q: %w", ev.Type, saga.Name, saga.ID, err)
	}
	if err := check(saga, who, ev); err != nil {
		return fail(err)
	}
	ev.ID, ev.Time = c.cfg.NewID(), c.cfg.Now()
	ev.Source, ev.By, ev.Note = c.cfg.Source, who.By, who.Note
	ev.Saga, ev.Version, ev.SagaID, ev.Partition = saga.Name, saga.Version, saga.ID, saga.Partition
	ev.Elsewhere = ev.Type == choreo.AbortRequested && saga.Partition == choreo.AnyPartition
	rec := topics.Encode(ev, c.names.Events(saga.Name))
	if _, err := topics.Decode(&rec); err != nil { // everybody would dead-letter it
		return fail(err)
	}
	if errs := c.log.Publish(ctx, []choreo.Record{rec}); errs != nil && errs[0] != nil {
		return fail(errs[0])
	}
	return ev.ID, nil
}

// maxSagaID bounds a saga id, in bytes, as participants do.
const maxSagaID = 255

// maxBy and maxNote bound what goes into the log of people's words, in bytes.
const (
	maxBy   = 256
	maxNote = 4096
)

// check names every fault.
func check(saga Saga, who Operator, ev *choreo.Event) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if who.By == "" {
		fault("Operator.By is empty: say who gives the command")
	}
	checkWords(fault, "Operator.By", who.By, maxBy)
	checkWords(fault, "Operator.Note", who.Note, maxNote)
	if saga.Name == "" {
		fault("the saga's name is empty: name its definition")
	}
	if saga.Version < 1 {
		fault("the version is %d: use that of the saga, from 1 on", saga.Version)
	}
	if saga.Partition < 0 && saga.Partition != choreo.AnyPartition {
		fault("the partition is %d: use the saga's home partition, or choreo.AnyPartition where nobody knows it", saga.Partition)
	}
	if saga.ID == "" {
		fault("the saga's id is empty: name the saga")
	}
	checkWords(fault, "the saga's id", saga.ID, maxSagaID)
	for _, r := range saga.ID {
		if unicode.IsControl(r) {
			fault("the saga's id holds the control character %q", r)
			break
		}
	}
	if ev.Type.OfStep() && ev.Step == "" {
		fault("the step is empty: name the one that is meant")
	}
	if (ev.Type == choreo.ReleaseRequested || ev.Type == choreo.StartRequested) && ev.Target == "" {
		fault("the service is empty: name the one that the command is for")
	}
	return errors.Join(faults...)
}

func checkWords(fault func(string, ...any), what, text string, most int) {
	if !utf8.ValidString(text) {
		fault("%s is not UTF-8", what)
	}
	if len(text) > most {
		fault("%s is %d bytes long: at most %d", what, len(text), most)
	}
}
