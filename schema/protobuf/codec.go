package protobuf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/choreo-go/choreo/schema"
)

// Config configures [New]. The zero value of a field is its default.
type Config struct {
	// LookupTimeout bounds asking the registry for the schema of a payload, once for each
	// id. Default: 10 s.
	LookupTimeout time.Duration
	// MaxBytes bounds a payload that is read: in memory it may take fifty times as much.
	// Default: 16 MiB.
	MaxBytes int
	// MaxDepth bounds how deep messages may nest in a payload. Default: 100, as in most
	// implementations of Protobuf.
	MaxDepth int
}

func (c Config) withDefaults() (Config, error) {
	var faults []error
	if c.LookupTimeout < 0 {
		faults = append(faults, fmt.Errorf("protobuf: Config.LookupTimeout is %s: use a positive duration, or 0 for 10s", c.LookupTimeout))
	} else if c.LookupTimeout == 0 {
		c.LookupTimeout = 10 * time.Second
	}
	number := func(name string, field *int, value int) {
		if *field < 0 {
			faults = append(faults, fmt.Errorf("protobuf: Config.%s is %d: use a positive number, or 0 for %d", name, *field, value))
		} else if *field == 0 {
			*field = value
		}
	}
	number("MaxBytes", &c.MaxBytes, 16<<20)
	number("MaxDepth", &c.MaxDepth, 100)
	return c, errors.Join(faults...)
}

// Codec encodes generated messages. Make it with [New]. It is safe for concurrent use.
//
// A value may be a message as such, shop.Order, or a pointer to it, *shop.Order; decoding
// into a **shop.Order makes a new message.
type Codec struct {
	registry schema.Registry
	config   Config
	read     proto.UnmarshalOptions

	mu      sync.RWMutex
	frames  map[protoreflect.FullName][]byte                // what stands in front of the message
	writers map[schema.ID]*descriptorpb.FileDescriptorProto // what payloads were written by
}

var (
	_ schema.Codec     = (*Codec)(nil)
	_ schema.Describer = (*Codec)(nil)
	_ schema.Preparer  = (*Codec)(nil)
)

// New returns a codec. The registry may be nil, and so may the config: all defaults.
func New(registry schema.Registry, config *Config) (*Codec, error) {
	if config == nil {
		config = new(Config)
	}
	checked, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Codec{
		registry: registry,
		config:   checked,
		read:     proto.UnmarshalOptions{RecursionLimit: checked.MaxDepth},
		frames:   make(map[protoreflect.FullName][]byte),
		writers:  make(map[schema.ID]*descriptorpb.FileDescriptorProto),
	}, nil
}

// ContentType returns "application/protobuf".
func (*Codec) ContentType() string { return "application/protobuf" }

// Encode returns the message v, the same bytes each time. With a registry the type must have
// been prepared.
func (c *Codec) Encode(v any) ([]byte, error) {
	m, err := messageOf(v)
	if err != nil {
		return nil, fmt.Errorf("protobuf: encode %T: %w", v, err)
	}
	options := proto.MarshalOptions{Deterministic: true}
	var frame []byte
	if c.registry != nil {
		var prepared bool
		c.mu.RLock()
		frame, prepared = c.frames[m.ProtoReflect().Descriptor().FullName()]
		c.mu.RUnlock()
		if !prepared {
			return nil, fmt.Errorf("protobuf: encode %T: it is not registered yet: call Prepare with its type before the first payload", v)
		}
	}
	// Without spare capacity the message makes room for itself, and leaves the frame alone.
	data, err := options.MarshalAppend(slices.Clip(frame), m)
	if err != nil {
		return nil, fmt.Errorf("protobuf: encode %T: %w", v, err)
	}
	if len(data) == len(frame) { // of an empty message: it is the frame itself
		data = append([]byte{}, frame...)
	}
	return data, nil
}

// Decode reads a message, with or without an id in front: no message begins with the zero
// byte of Confluent's wire format. Fields that the reader does not know are kept, and written
// again by Encode.
func (c *Codec) Decode(data []byte, into any) error {
	m, done, err := target(into)
	if err == nil && len(data) > c.config.MaxBytes {
		err = fmt.Errorf("the payload has %d bytes: at most %d are allowed, see Config.MaxBytes", len(data), c.config.MaxBytes)
	}
	if err == nil && len(data) > 0 && data[0] == 0 {
		data, err = c.unframe(data, m.ProtoReflect().Descriptor().FullName())
	}
	if err == nil {
		err = c.read.Unmarshal(data, m)
	}
	if err != nil {
		return fmt.Errorf("protobuf: decode into %T: %w", into, err)
	}
	done()
	return nil
}

// unframe returns the message behind the id and the message index, if it is one of that name.
func (c *Codec) unframe(data []byte, want protoreflect.FullName) ([]byte, error) {
	c.mu.RLock()
	own := c.frames[want]
	c.mu.RUnlock()
	if body, ours := bytes.CutPrefix(data, own); ours && len(own) > 0 {
		return body, nil // written by the schema that this process writes, too
	}
	id, rest, err := schema.ParseID(data)
	if err != nil {
		return nil, err
	}
	index, body, err := parseIndex(rest)
	if err != nil {
		return nil, fmt.Errorf("payload of schema %s: %w", id, err)
	}
	if c.registry == nil {
		return nil, fmt.Errorf("the payload was written by schema %s of a registry: make the codec with that registry", id)
	}
	writer, err := c.writer(id)
	if err != nil {
		return nil, err
	}
	name, err := messageAt(writer, index)
	if err != nil {
		return nil, fmt.Errorf("payload of schema %s: %w", id, err)
	}
	if name != string(want) {
		return nil, fmt.Errorf("the payload is a %s (schema %s, message index %v), and not a %s: make writer and reader agree on the type of the event", name, id, index, want)
	}
	return body, nil
}

// writer returns the file that an id stands for. Reading knows no context: the timeout
// bounds it.
func (c *Codec) writer(id schema.ID) (*descriptorpb.FileDescriptorProto, error) {
	c.mu.RLock()
	file, ok := c.writers[id]
	c.mu.RUnlock()
	if ok {
		return file, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.config.LookupTimeout)
	defer cancel()
	s, err := c.registry.Schema(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.Kind != schema.Protobuf {
		return nil, fmt.Errorf("schema %s is of kind %s, and not %s: see which codec the writer uses", id, s.Kind, schema.Protobuf)
	}
	if file, err = parse(s.Text); err != nil {
		return nil, fmt.Errorf("schema %s: %w", id, err)
	}
	c.mu.Lock()
	c.writers[id] = file
	c.mu.Unlock()
	return file, nil
}
