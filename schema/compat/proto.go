package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/choreo-go/choreo/schema"
)

// protoSchema is a compiled file and the message in it that the payload is.
type protoSchema struct {
	file protoreflect.FileDescriptor
	root protoreflect.MessageDescriptor // nil where the schema does not name one of the file
}

func parseProto(s schema.Schema) (*protoSchema, error) {
	sources := make(map[string]string, len(s.References)+1)
	for _, ref := range s.References {
		sources[ref.Name] = ref.Text
	}
	main := "schema.proto"
	for sources[main] != "" {
		main = "_" + main
	}
	sources[main] = s.Text
	compiler := protocompile.Compiler{
		MaxParallelism: 1,
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			Accessor: func(path string) (io.ReadCloser, error) {
				text, ok := sources[path]
				if !ok {
					return nil, fmt.Errorf("import %q is not among the references: add it", path)
				}
				return io.NopCloser(strings.NewReader(text)), nil
			},
		}),
	}
	files, err := compiler.Compile(context.Background(), main)
	if fault := new(protocompile.PanicError); errors.As(err, fault) {
		return nil, fmt.Errorf("the compiler gave up on %s: %v", fault.File, fault.Value)
	}
	if err != nil {
		return nil, fmt.Errorf("correct the .proto source: %w", err)
	}
	p := &protoSchema{file: files[0]}
	if s.Name != "" {
		p.root, _ = files[0].FindDescriptorByName(protoreflect.FullName(s.Name)).(protoreflect.MessageDescriptor)
		if p.root == nil {
			return nil, fmt.Errorf("the .proto source has no message %q: give the schema the full name of one of its messages, or none", s.Name)
		}
	}
	return p, nil
}

// relativeName is the name of a message or enum within its package.
func relativeName(d protoreflect.Descriptor) string {
	name := string(d.FullName())
	if file := d.ParentFile(); file != nil && file.Package() != "" {
		name = strings.TrimPrefix(name, string(file.Package())+".")
	}
	return name
}

// wireGroup says which kinds share a form on the wire, by
// https://protobuf.dev/programming-guides/proto3/#updating.
func wireGroup(kind protoreflect.Kind) string {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Uint32Kind, protoreflect.Int64Kind, protoreflect.Uint64Kind,
		protoreflect.BoolKind, protoreflect.EnumKind:
		return "varint"
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return "zigzag"
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return "fixed32"
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return "fixed64"
	case protoreflect.StringKind, protoreflect.BytesKind:
		return "bytes"
	default:
		return kind.String()
	}
}

// holds says whether every value of the writer's kind is one of the reader's, for kinds of one
// group.
func holds(reader, writer protoreflect.Kind) bool {
	if reader == writer {
		return true
	}
	switch writer {
	case protoreflect.BoolKind:
		return reader != protoreflect.EnumKind
	case protoreflect.EnumKind, protoreflect.Int32Kind:
		return reader == protoreflect.Int32Kind || reader == protoreflect.Int64Kind
	case protoreflect.Uint32Kind:
		return reader == protoreflect.Uint64Kind || reader == protoreflect.Int64Kind
	case protoreflect.Sint32Kind:
		return reader == protoreflect.Sint64Kind
	case protoreflect.StringKind:
		return reader == protoreflect.BytesKind
	}
	return false
}

// typeName names the type of a field for people.
func typeName(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map<%s, %s>", typeName(f.MapKey()), typeName(f.MapValue()))
	case f.Message() != nil && f.Kind() == protoreflect.GroupKind:
		return "delimited message " + relativeName(f.Message())
	case f.Message() != nil:
		return "message " + relativeName(f.Message())
	case f.Enum() != nil:
		return "enum " + relativeName(f.Enum())
	default:
		return f.Kind().String()
	}
}
