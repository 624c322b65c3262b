package avro

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/linkedin/goavro/v2"

	"github.com/choreo-go/choreo/schema"
)

// ContentType is the media type of what a [Codec] writes: the id of a schema and an Avro body.
const ContentType = "application/vnd.apache.avro"

// Codec encodes and decodes payloads in Avro. It is safe for concurrent use.
type Codec struct {
	registry schema.Registry
	config   *Config
	types    flights[reflect.Type, *goSchema]
	writers  flights[reflect.Type, *writer]
	written  flights[schema.ID, *written]
	plans    flights[planKey, *plan]
	scratch  sync.Pool
}

var (
	_ schema.Codec     = (*Codec)(nil)
	_ schema.Describer = (*Codec)(nil)
	_ schema.Preparer  = (*Codec)(nil)
)

// goSchema is the schema by which values of a Go type are written and read, and how to write them.
type goSchema struct {
	schema schema.Schema
	root   *typ
	native *goavro.Codec
	encode encoder
}

// writer is a Go type whose schema has an id.
type writer struct {
	*goSchema
	id []byte
}

// written is a schema by which others wrote.
type written struct {
	root   *typ
	native *goavro.Codec
}

type planKey struct {
	id     schema.ID
	goType reflect.Type
}

// plan is how what was written by one schema is read into one Go type. Where that cannot be, it keeps
// why, and nothing is worked out again.
type plan struct {
	*written
	decode decoder
	err    error
}

// New returns a codec that keeps its schemas in the registry. A nil config means all defaults.
func New(registry schema.Registry, config *Config) (*Codec, error) {
	checked, err := config.checked()
	if registry == nil {
		err = errors.Join(errors.New("there is no registry: those of the packages below schema/registry are there for it"), err)
	}
	c := &Codec{registry: registry, config: checked}
	c.scratch.New = func() any { return &writing{maxDepth: checked.MaxDepth} }
	for _, t := range checked.schemaTypes() {
		if _, fault := c.goSchema(t); fault != nil {
			err = errors.Join(err, fmt.Errorf("Schemas: %w", fault))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("avro: config: %w", err)
	}
	return c, nil
}

// ContentType returns [ContentType].
func (c *Codec) ContentType() string { return ContentType }

// Schema returns the schema of the type: the one of Config.Schemas, or one derived from the type.
func (c *Codec) Schema(t reflect.Type) (schema.Schema, error) {
	s, err := c.goSchema(t)
	if err != nil {
		return schema.Schema{}, err
	}
	return s.schema, nil
}

// Prepare registers the schema of each type under the subject of the topic and the schema's name.
func (c *Codec) Prepare(ctx context.Context, topic string, types []reflect.Type) error {
	var faults []error
	for _, t := range types {
		if err := c.prepare(ctx, topic, t); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// prepare registers also what has an id already, for it may be for another topic.
func (c *Codec) prepare(ctx context.Context, topic string, t reflect.Type) error {
	s, err := c.goSchema(t)
	if err != nil {
		return err
	}
	id, err := c.registry.Register(ctx, schema.Subject(topic, s.schema.Name), s.schema)
	if err != nil {
		return fmt.Errorf("avro: register %s for %s: %w", s.schema.Name, t, err)
	}
	_, err = c.writers.get(valueType(t), func() (*writer, error) { return &writer{s, id.Append(nil)}, nil })
	return err
}

// valueType is what a pointer points to: a payload may be handed over either way.
func valueType(t reflect.Type) reflect.Type {
	for t != nil && isOptional(t) {
		t = t.Elem()
	}
	return t
}

func (c *Codec) goSchema(t reflect.Type) (*goSchema, error) {
	t = valueType(t)
	if t == nil {
		return nil, errors.New("avro: nil has no type, and so no schema")
	}
	return c.types.get(t, func() (*goSchema, error) {
		s, err := c.newGoSchema(t)
		if err != nil {
			return nil, fmt.Errorf("avro: schema of %s: %w", t, err)
		}
		return s, nil
	})
}

func (c *Codec) newGoSchema(t reflect.Type) (*goSchema, error) {
	text, given := c.given(t)
	if !given {
		var found faults
		if text, found = derive(t, c.config.Namespace); found != nil {
			return nil, found.err()
		}
	}
	out := &goSchema{schema: schema.Schema{Kind: schema.Avro, Text: text}}
	var err error
	if out.schema.Name, err = Name(text); err != nil {
		return nil, err
	}
	if out.root, err = parse(out.schema); err != nil {
		return nil, err
	}
	encode, found := newEncoders(&dynamicEncoders{}).compile(out.root, t)
	if found != nil {
		return nil, found.err()
	}
	// What can be written has to be readable again.
	if _, found := compileDecoder(out.root, out.root, t); found != nil {
		return nil, found.err()
	}
	out.encode = encode
	out.native, err = lowered(out.root)
	return out, err
}

func (c *Codec) given(t reflect.Type) (string, bool) {
	if text, ok := c.config.Schemas[t]; ok {
		return text, true
	}
	text, ok := c.config.Schemas[reflect.PointerTo(t)]
	return text, ok
}

// Encode returns the id of the schema of v's type and the body. The type has to be prepared,
// see [Codec.Prepare].
func (c *Codec) Encode(v any) ([]byte, error) {
	value := reflect.ValueOf(v)
	if !value.IsValid() {
		return nil, errors.New("avro: encode nil: it has no type, and so no schema")
	}
	for isOptional(value.Type()) {
		if value.IsNil() {
			return nil, fmt.Errorf("avro: encode %T: it is nil", v)
		}
		value = value.Elem()
	}
	w, err := c.writerOf(value.Type())
	if err != nil {
		return nil, err
	}
	data, err := c.write(w, value)
	if err != nil {
		return nil, fmt.Errorf("avro: encode %T: %w", v, err)
	}
	return data, nil
}

func (c *Codec) writerOf(t reflect.Type) (*writer, error) {
	if w, ok := c.writers.known(t); ok {
		return w, nil
	}
	if c.config.Topic == "" {
		return nil, fmt.Errorf("avro: encode %s: its schema has no id yet: call Prepare with the type first, or set Config.Topic", t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.config.LookupTimeout)
	defer cancel()
	return c.writers.get(t, func() (*writer, error) {
		s, err := c.goSchema(t)
		if err != nil {
			return nil, err
		}
		id, err := c.registry.Register(ctx, schema.Subject(c.config.Topic, s.schema.Name), s.schema)
		if err != nil {
			return nil, fmt.Errorf("avro: encode %s: register %s: %w", t, s.schema.Name, err)
		}
		return &writer{s, id.Append(nil)}, nil
	})
}

func (c *Codec) write(w *writer, value reflect.Value) ([]byte, error) {
	state, ok := c.scratch.Get().(*writing)
	if !ok {
		state = &writing{maxDepth: c.config.MaxDepth}
	}
	state.depth = 0
	defer func() {
		state.release()
		c.scratch.Put(state)
	}()
	native, found := w.encode(state, value)
	if found != nil {
		return nil, found
	}
	data, err := w.native.BinaryFromNative(append(make([]byte, 0, 128), w.id...), native)
	if err != nil {
		return nil, err
	}
	// What leaves here has to pass where it arrives: text that is no UTF-8 would not.
	if found := scan(w.root, data[len(w.id):], c.config.MaxDepth); found != nil {
		return nil, found
	}
	return data, nil
}

// Decode reads a payload into the pointer, by the schema that the id in front names and that of the
// pointer's type: https://avro.apache.org/docs/1.12.0/specification/#schema-resolution
//
// The error wraps [schema.ErrNoID] where there is no id in front and [schema.ErrUnknownSchema]
// where the registry does not know it. The value may be set in part where there is an
// error.
func (c *Codec) Decode(data []byte, into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("avro: decode into %T: it has to be a pointer that is not nil", into)
	}
	target = target.Elem()
	id, body, err := schema.ParseID(data)
	if err != nil {
		return fmt.Errorf("avro: decode into %T: %w", into, err)
	}
	p, err := c.planFor(id, target.Type())
	if err != nil {
		return fmt.Errorf("avro: decode into %T: %w", into, err)
	}
	if err := c.read(p, body, target); err != nil {
		return fmt.Errorf("avro: decode into %T what was written by schema %s: %w", into, id, err)
	}
	return nil
}

func (c *Codec) read(p *plan, body []byte, target reflect.Value) error {
	if p.err != nil {
		return p.err
	}
	if found := scan(p.root, body, c.config.MaxDepth); found != nil {
		return found
	}
	native, _, err := p.native.NativeFromBinary(body)
	if err != nil {
		return err
	}
	for isOptional(target.Type()) {
		if target.IsNil() {
			target.Set(reflect.New(target.Type().Elem()))
		}
		target = target.Elem()
	}
	return p.decode(native, target).err()
}

func (c *Codec) planFor(id schema.ID, target reflect.Type) (*plan, error) {
	key := planKey{id, valueType(target)}
	return c.plans.get(key, func() (*plan, error) {
		w, err := c.written.get(id, func() (*written, error) { return c.lookUp(id) })
		if err != nil {
			return nil, err
		}
		reader, err := c.readerOf(key.goType, w)
		if err != nil {
			return nil, err
		}
		decode, found := compileDecoder(w.root, reader, key.goType)
		return &plan{w, decode, found.err()}, nil
	})
}

// readerOf is the writer's own schema for types that say nothing of what they hold.
func (c *Codec) readerOf(t reflect.Type, w *written) (*typ, error) {
	if _, given := c.given(t); !given && (isAny(t) || t.Kind() == reflect.Map && isAny(t.Elem())) {
		return w.root, nil
	}
	s, err := c.goSchema(t)
	if err != nil {
		return nil, err
	}
	return s.root, nil
}

func (c *Codec) lookUp(id schema.ID) (*written, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.config.LookupTimeout)
	defer cancel()
	s, err := c.registry.Schema(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", id, err)
	}
	root, err := parse(s)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", id, err)
	}
	native, err := lowered(root)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", id, err)
	}
	return &written{root, native}, nil
}
