package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// Bounds of a Protobuf schema, which may be anybody's: the compiler was made for a programmer's own.
const (
	maxProtoText  = 1 << 20
	maxProtoFiles = 200
	maxProtoIndex = 32
	protoDepth    = 100
)

// protoReader decodes Protobuf in Confluent's wire format for those who may see payloads, into what
// its JSON mapping says. What has no schema id in front says nothing of its fields' names.
type protoReader struct {
	cluster *Cluster
	mu      sync.Mutex
	files   map[schema.ID]protoreflect.FileDescriptor
}

// ContentType implements [schema.Codec].
func (*protoReader) ContentType() string { return string(choreo.Protobuf) }

// Encode implements [schema.Codec]: nothing is written by it.
func (*protoReader) Encode(any) ([]byte, error) { return nil, errReads }

// Decode implements [schema.Codec].
func (r *protoReader) Decode(data []byte, into any) error {
	target, ok := into.(*any)
	if !ok {
		return fmt.Errorf("cluster: protobuf: it decodes into *any alone, not into %T", into)
	}
	id, rest, err := schema.ParseID(data)
	if err != nil {
		return fmt.Errorf("cluster: protobuf: %w", err)
	}
	index, body, err := protoIndex(rest)
	if err != nil {
		return fmt.Errorf("cluster: protobuf: payload of schema %s: %w", id, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), registryWait)
	defer cancel()
	file, err := r.file(ctx, id)
	if err != nil {
		return fmt.Errorf("cluster: protobuf: schema %s: %w", id, err)
	}
	kind, err := messageAt(file.Messages(), index)
	if err != nil {
		return fmt.Errorf("cluster: protobuf: payload of schema %s: %w", id, err)
	}
	message := dynamicpb.NewMessage(kind)
	if err := (proto.UnmarshalOptions{RecursionLimit: protoDepth}).Unmarshal(body, message); err != nil {
		return fmt.Errorf("cluster: protobuf: payload of schema %s: %w", id, err)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return fmt.Errorf("cluster: protobuf: payload of schema %s: %w", id, err)
	}
	*target = json.RawMessage(text)
	return nil
}

// file returns the compiled file that an id stands for. An id never changes its meaning.
func (r *protoReader) file(ctx context.Context, id schema.ID) (protoreflect.FileDescriptor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if file := r.files[id]; file != nil {
		return file, nil
	}
	registry, err := r.cluster.registry(ctx)
	if err != nil {
		return nil, err
	}
	s, err := registry.Schema(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.Kind != schema.Protobuf {
		return nil, fmt.Errorf("it is of kind %s, and not %s: see which codec the writer uses", s.Kind, schema.Protobuf)
	}
	file, err := compileProto(ctx, registry, s)
	if err != nil {
		return nil, err
	}
	if r.files == nil {
		r.files = map[schema.ID]protoreflect.FileDescriptor{}
	}
	r.files[id] = file
	return file, nil
}

// compileProto compiles the source of a schema, with all that it imports.
func compileProto(ctx context.Context, registry schema.Registry, s schema.Schema) (file protoreflect.FileDescriptor, err error) {
	defer func() { // the text may be anybody's
		if cause := recover(); cause != nil {
			file, err = nil, fmt.Errorf("the .proto source cannot be compiled: %v", cause)
		}
	}()
	const main = "payload.proto"
	texts := map[string]string{main: s.Text}
	if err := importProto(ctx, registry, texts, s.References); err != nil {
		return nil, err
	}
	for name, text := range texts {
		if err := checkProto(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(texts)}),
		MaxParallelism: 1,
	}
	files, err := compiler.Compile(ctx, main)
	if err != nil {
		return nil, fmt.Errorf("the .proto source cannot be compiled: %w", err)
	}
	return files[0], nil
}

// importProto adds what is imported, and what that imports.
func importProto(ctx context.Context, registry schema.Registry, texts map[string]string, references []schema.Reference) error {
	for _, ref := range references {
		if _, had := texts[ref.Name]; had {
			continue
		}
		if len(texts) >= maxProtoFiles {
			return fmt.Errorf("it imports more than %d files", maxProtoFiles)
		}
		s, err := referred(ctx, registry, ref)
		if err != nil {
			return fmt.Errorf("the import %s: %w", ref.Name, err)
		}
		texts[ref.Name] = s.Text
		if err := importProto(ctx, registry, texts, s.References); err != nil {
			return err
		}
	}
	return nil
}

// referred returns the schema that a reference names.
func referred(ctx context.Context, registry schema.Registry, ref schema.Reference) (schema.Schema, error) {
	if ref.Subject == "" {
		return schema.Schema{Kind: schema.Protobuf, Text: ref.Text}, nil
	}
	versions, err := registry.Versions(ctx, ref.Subject)
	if err != nil {
		return schema.Schema{}, err
	}
	for i := range versions {
		if versions[i].Number == ref.Version {
			return versions[i].Schema, nil
		}
	}
	return schema.Schema{}, fmt.Errorf("the registry has no version %d of %s", ref.Version, ref.Subject)
}

// checkProto refuses what would keep the compiler busy for seconds.
func checkProto(text string) error {
	if len(text) > maxProtoText {
		return fmt.Errorf("the .proto source has %d bytes: at most %d are read", len(text), maxProtoText)
	}
	if open := strings.Count(text, "{"); open > 20_000 {
		return fmt.Errorf("the .proto source has %d braces: at most 20000 are read", open)
	}
	depth := 0
	for _, c := range []byte(text) {
		switch c {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth > 2*protoDepth {
			return fmt.Errorf("the .proto source has braces more than %d deep", 2*protoDepth)
		}
	}
	return nil
}

var errProtoIndex = errors.New("the message index behind the schema id is broken: the writer does not use Confluent's wire format")

// protoIndex splits off the way through the messages of the file, see
// https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
func protoIndex(b []byte) (index []int, rest []byte, err error) {
	length, n := binary.Varint(b)
	if n <= 0 || length < 0 || length > maxProtoIndex {
		return nil, nil, errProtoIndex
	}
	b = b[n:]
	if length == 0 {
		return []int{0}, b, nil
	}
	for range length {
		at, n := binary.Varint(b)
		if n <= 0 || at < 0 || at > 1<<20 {
			return nil, nil, errProtoIndex
		}
		index, b = append(index, int(at)), b[n:]
	}
	return index, b, nil
}

// messageAt follows an index. The entries of maps are messages of a descriptor alone, and not
// counted.
func messageAt(messages protoreflect.MessageDescriptors, index []int) (protoreflect.MessageDescriptor, error) {
	var found protoreflect.MessageDescriptor
	for _, wanted := range index {
		found = nil
		for i, n := 0, 0; i < messages.Len() && found == nil; i++ {
			if messages.Get(i).IsMapEntry() {
				continue
			}
			if n == wanted {
				found = messages.Get(i)
			}
			n++
		}
		if found == nil {
			return nil, fmt.Errorf("its file has no message %v", index)
		}
		messages = found.Messages()
	}
	return found, nil
}
