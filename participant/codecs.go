package participant

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// codecs are what payloads are written and read by: written as the definition says,
// read as the payload says of itself.
type codecs struct {
	standard schema.Codec // for what no definition says anything about
	of       map[choreo.MediaType]schema.Codec

	mu       sync.RWMutex
	prepared map[preparation]bool
}

// preparation is a type of payload that a codec is ready to write to a topic.
type preparation struct {
	media choreo.MediaType
	topic string
	typ   reflect.Type
}

// newCodecs returns the codecs, of which the first is the standard.
func newCodecs(all ...schema.Codec) *codecs {
	c := &codecs{standard: all[0], of: make(map[choreo.MediaType]schema.Codec), prepared: make(map[preparation]bool)}
	for _, codec := range all {
		c.of[mediaOf(codec)] = codec
	}
	return c
}

func mediaOf(codec schema.Codec) choreo.MediaType { return choreo.MediaType(codec.ContentType()) }

// writer returns the codec for the output of a step, or for the saga's input: "".
func (c *codecs) writer(def *choreo.Definition, step string) (schema.Codec, error) {
	media := def.EncodingOf(step)
	if media == "" {
		return c.standard, nil
	}
	if codec := c.of[media]; codec != nil {
		return codec, nil
	}
	return nil, fmt.Errorf("%s has %s as %q, and this participant writes %s: add a codec to Config.Codecs", def, payloadOf(step), media, c)
}

// payloadOf says whose payload it is.
func payloadOf(step string) string {
	if step == "" {
		return "the saga's input"
	}
	return fmt.Sprintf("the output of step %q", step)
}

// encode encodes the output of a step, or the saga's input.
func (c *codecs) encode(def *choreo.Definition, step string, v any) (choreo.Output, error) {
	codec, err := c.writer(def, step)
	if err != nil {
		return choreo.Output{}, err
	}
	data, err := codec.Encode(v)
	if err != nil {
		return choreo.Output{}, err
	}
	return choreo.Output{Step: step, ContentType: codec.ContentType(), Data: data}, nil
}

// decode decodes a payload by what it says of itself.
func (c *codecs) decode(from choreo.Output, into any) error {
	codec := c.of[choreo.MediaType(from.ContentType)]
	if codec == nil {
		return fmt.Errorf("payload is %q and this participant reads %s", from.ContentType, c)
	}
	return codec.Decode(from.Data, into)
}

// String names the media types.
func (c *codecs) String() string {
	names := make([]string, 0, len(c.of))
	for _, media := range slices.Sorted(maps.Keys(c.of)) {
		names = append(names, fmt.Sprintf("%q", media))
	}
	return strings.Join(names, ", ")
}

// prepare makes the codec of a media type ready to write the types to a topic, unless it
// is.
func (c *codecs) prepare(ctx context.Context, media choreo.MediaType, topic string, types ...reflect.Type) error {
	preparer, asks := c.of[media].(schema.Preparer)
	if !asks {
		return nil
	}
	types = slices.DeleteFunc(types, func(t reflect.Type) bool { return c.isPrepared(preparation{media, topic, t}) })
	if len(types) == 0 {
		return nil
	}
	if err := preparer.Prepare(ctx, topic, types); err != nil {
		return fmt.Errorf("preparing to write %s to topic %s: %w", media, topic, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range types {
		c.prepared[preparation{media, topic, t}] = true
	}
	return nil
}

func (c *codecs) isPrepared(p preparation) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.prepared[p]
}

// check returns what a service that owns steps cannot write, or not read.
func (c *codecs) check(service string, def *choreo.Definition) []error {
	var faults []error
	lacks := func(step, does, of string) {
		if _, err := c.writer(def, of); err != nil {
			faults = append(faults, fmt.Errorf("step %q of %s %s %s as %q, and there is no codec for that: add one",
				step, def, does, payloadOf(of), def.EncodingOf(of)))
		}
	}
	for _, name := range def.StepsOf(service) {
		step := def.Step(name)
		lacks(name, "writes", name)
		for _, of := range readsOf(step) {
			lacks(name, "reads", of)
		}
	}
	return faults
}

// readsOf returns the steps whose outputs a step reads; "" is the saga's input.
func readsOf(step *choreo.StepDef) []string {
	reads := slices.Concat(step.After, step.Uses, step.UndoUses)
	if len(step.After) == 0 {
		reads = append(reads, "")
	}
	slices.Sort(reads)
	return slices.Compact(reads)
}

// written is a payload that a service writes in one version of a saga.
type written struct {
	saga  version
	step  string // "": the saga's input
	media choreo.MediaType
	topic string
	typ   reflect.Type
}

// mayStart reports whether this service may be the one that starts the sagas of a name: it owns
// a first step, or no step at all in any version, for else there is nothing that they would
// stand in Config.Sagas for.
func (p *Participant[Tx]) mayStart(saga string) bool {
	owns := false
	for v, r := range p.roles {
		if v.saga != saga {
			continue
		}
		owns = owns || len(r.owned) > 0
		if slices.ContainsFunc(r.owned, func(step string) bool { return len(r.def.Step(step).After) == 0 }) {
			return true
		}
	}
	return !owns
}

// writes returns what this service writes: the outputs of its steps, and the input of the
// sagas that it may start. Start asks by itself for what is not foreseen here.
func (p *Participant[Tx]) writes() []written {
	var list []written
	add := func(v version, def *choreo.Definition, step string, t reflect.Type) {
		codec, err := p.codecs.writer(def, step)
		if t != nil && err == nil { // where nobody can, nobody will
			list = append(list, written{v, step, mediaOf(codec), p.topicOf[v.saga], t})
		}
	}
	for v, r := range p.roles {
		for _, step := range r.owned {
			if h := r.handler(step); h != nil {
				add(v, r.def, step, h.output())
			}
		}
		if p.mayStart(v.saga) {
			add(v, r.def, "", r.def.Input())
		}
	}
	slices.SortFunc(list, func(a, b written) int {
		return cmp.Or(cmp.Compare(a.saga.saga, b.saga.saga), cmp.Compare(a.saga.number, b.saga.number), cmp.Compare(a.step, b.step))
	})
	return list
}

// prepareCodecs makes the codecs ready for all that this service writes, before the first
// payload: from then on nobody needs to answer.
func (p *Participant[Tx]) prepareCodecs(ctx context.Context) error {
	type place struct {
		media choreo.MediaType
		topic string
	}
	var places []place
	types := make(map[place][]reflect.Type)
	for _, w := range p.writes() {
		at := place{w.media, w.topic}
		if types[at] == nil {
			places = append(places, at)
		}
		if !slices.Contains(types[at], w.typ) {
			types[at] = append(types[at], w.typ)
		}
	}
	for _, at := range places {
		const registry = "schema registry"
		for attempt := 1; ; attempt++ {
			err := p.codecs.prepare(ctx, at.media, at.topic, slices.Clone(types[at])...)
			if err == nil {
				p.outage.over(registry)
				break
			}
			if ctx.Err() != nil || !unreachable(err) {
				return fmt.Errorf("participant %s: %w", p.cfg.Service, err)
			}
			if err := p.outage.wait(ctx, registry, err, attempt, p.cfg.OutageBackoff); err != nil {
				return err
			}
		}
	}
	return nil
}

// unreachable reports whether err says that something did not answer, which may pass.
func unreachable(err error) bool {
	var (
		network     net.Error
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, schema.ErrIncompatible), errors.As(err, &certificate):
		return false
	case errors.Is(err, schema.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	return errors.As(err, &network)
}

// encodeFor encodes a payload outside of a handler. Where Run has not prepared its codec
// for it, which is so before Run and for the steps of others, it is now.
func encodeFor[T, Tx any](ctx context.Context, p *Participant[Tx], def *choreo.Definition, step string, v T) (choreo.Output, error) {
	codec, err := p.codecs.writer(def, step)
	if err != nil {
		return choreo.Output{}, err
	}
	if err := p.codecs.prepare(ctx, mediaOf(codec), p.names.Events(def.Name()), reflect.TypeFor[T]()); err != nil {
		return choreo.Output{}, err
	}
	return p.codecs.encode(def, step, v)
}
