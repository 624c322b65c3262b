package protobuf

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/choreo-go/choreo/schema"
)

// Schema returns the file of the message, with all that it imports as references. Files of
// google/protobuf are left out, for every compiler and registry has them.
func (*Codec) Schema(t reflect.Type) (schema.Schema, error) {
	m, err := newMessage(t)
	if err != nil {
		return schema.Schema{}, fmt.Errorf("protobuf: schema of %v: %w", t, err)
	}
	message := m.ProtoReflect().Descriptor()
	s, err := describe(message.ParentFile(), string(message.FullName()))
	if err != nil {
		return s, fmt.Errorf("protobuf: schema of %v: %w", t, err)
	}
	return s, nil
}

func describe(file protoreflect.FileDescriptor, name string) (schema.Schema, error) {
	text, err := source(file)
	if err != nil {
		return schema.Schema{}, err
	}
	s := schema.Schema{Kind: schema.Protobuf, Name: name, Text: text}
	var walk func(protoreflect.FileDescriptor) error
	walk = func(file protoreflect.FileDescriptor) error {
		for _, imported := range imports(file) {
			had := func(ref schema.Reference) bool { return ref.Name == imported.Path() }
			if slices.ContainsFunc(s.References, had) {
				continue
			}
			if err := walk(imported); err != nil {
				return err
			}
			text, err := source(imported)
			if err != nil {
				return err
			}
			s.References = append(s.References, schema.Reference{Name: imported.Path(), Text: text})
		}
		return nil
	}
	return s, walk(file)
}

// source returns a file as text. The order of its messages is kept, for indexes count them.
func source(file protoreflect.FileDescriptor) (string, error) {
	if file.IsPlaceholder() {
		return "", fmt.Errorf("the file %s is not linked into this program: import its generated package", file.Path())
	}
	printer := protoprint.Printer{OmitComments: protoprint.CommentsAll}
	return printer.PrintProtoToString(file)
}

// imports returns the files that a file imports, but for those of google/protobuf.
func imports(file protoreflect.FileDescriptor) []protoreflect.FileDescriptor {
	var out []protoreflect.FileDescriptor
	for i := range file.Imports().Len() {
		imported := file.Imports().Get(i).FileDescriptor
		if !strings.HasPrefix(imported.Path(), "google/protobuf/") {
			out = append(out, imported)
		}
	}
	return out
}

// Prepare registers the files of the types for a topic, each after what it imports. Imported
// files are registered under their path, as by Confluent's serializers.
func (c *Codec) Prepare(ctx context.Context, topic string, types []reflect.Type) error {
	var faults []error
	imported := make(map[string]schema.Reference) // by path
	for _, t := range types {
		if err := c.prepare(ctx, topic, t, imported); err != nil {
			faults = append(faults, fmt.Errorf("protobuf: prepare %v for topic %s: %w", t, topic, err))
		}
	}
	return errors.Join(faults...)
}

func (c *Codec) prepare(ctx context.Context, topic string, t reflect.Type, imported map[string]schema.Reference) error {
	m, err := newMessage(t)
	if err != nil || c.registry == nil {
		return err
	}
	message := m.ProtoReflect().Descriptor()
	name := message.FullName()
	s, err := c.registered(ctx, message.ParentFile(), imported)
	if err != nil {
		return err
	}
	s.Name = string(name)
	id, err := c.registry.Register(ctx, schema.Subject(topic, s.Name), s)
	if err != nil {
		return err
	}
	var frame []byte
	if id.Framing == schema.Confluent {
		file, err := parse(s.Text)
		if err != nil {
			return err
		}
		index, err := indexOf(file, s.Name)
		if err != nil {
			return err
		}
		frame = appendIndex(id.Append(nil), index)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// The schema is the same in every topic, and so are all ids that it may have.
	if _, had := c.frames[name]; !had {
		c.frames[name] = frame
	}
	return nil
}

// registered returns the schema of a file after its imports have been registered.
func (c *Codec) registered(ctx context.Context, file protoreflect.FileDescriptor, imported map[string]schema.Reference) (schema.Schema, error) {
	text, err := source(file)
	if err != nil {
		return schema.Schema{}, err
	}
	s := schema.Schema{Kind: schema.Protobuf, Text: text}
	for _, dependency := range imports(file) {
		path := dependency.Path()
		ref, had := imported[path]
		if !had {
			of, err := c.registered(ctx, dependency, imported)
			if err != nil {
				return s, err
			}
			if ref, err = c.register(ctx, path, of); err != nil {
				return s, fmt.Errorf("the import %s: %w", path, err)
			}
			imported[path] = ref
		}
		s.References = append(s.References, ref)
	}
	return s, nil
}

// register registers an imported file and says as which version.
func (c *Codec) register(ctx context.Context, path string, s schema.Schema) (schema.Reference, error) {
	id, err := c.registry.Register(ctx, path, s)
	if err != nil {
		return schema.Reference{}, err
	}
	versions, err := c.registry.Versions(ctx, path)
	if err != nil {
		return schema.Reference{}, err
	}
	for _, v := range versions {
		if v.ID == id {
			return schema.Reference{Name: path, Subject: path, Version: v.Number, Text: s.Text}, nil
		}
	}
	return schema.Reference{}, fmt.Errorf("the registry gave it the id %s and lists no version with it: try again", id)
}
