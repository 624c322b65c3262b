package protobuf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/types/descriptorpb"
)

// parse reads the source of a .proto file on its own: what it imports need not be there.
func parse(text string) (file *descriptorpb.FileDescriptorProto, err error) {
	// The text may be anyone's, and the parser was made for a compiler's user.
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("protobuf: the .proto source cannot be parsed: %v", r)
		}
	}()
	if err := bounded(text); err != nil {
		return nil, err
	}
	handler := reporter.NewHandler(nil)
	tree, err := parser.Parse("schema.proto", strings.NewReader(text), handler)
	if err != nil {
		return nil, fmt.Errorf("protobuf: the .proto source cannot be parsed: %w", err)
	}
	result, err := parser.ResultFromAST(tree, false, handler)
	if err != nil {
		return nil, fmt.Errorf("protobuf: the .proto source cannot be parsed: %w", err)
	}
	return result.FileDescriptorProto(), nil
}

// bounded refuses what would keep the parser busy for seconds.
func bounded(text string) error {
	const maxBytes, maxDepth = 1 << 20, 200
	if len(text) > maxBytes {
		return fmt.Errorf("protobuf: the .proto source has %d bytes: at most %d are allowed", len(text), maxBytes)
	}
	depth := 0
	for _, c := range []byte(text) {
		switch c {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth > maxDepth {
			return fmt.Errorf("protobuf: the .proto source has braces more than %d deep", maxDepth)
		}
	}
	return nil
}

// Name returns the full name of the first message in the source of a .proto file.
func Name(text string) (string, error) {
	file, err := parse(text)
	if err != nil {
		return "", err
	}
	if len(file.GetMessageType()) == 0 {
		return "", nil // a file of enums or options alone, made to be imported
	}
	return messageAt(file, []int{0})
}

// Defines says what is wrong where the source of a .proto file has no message of that
// full name.
func Defines(text, name string) error {
	file, err := parse(text)
	if err != nil {
		return err
	}
	_, err = indexOf(file, name)
	return err
}

// indexOf returns the message index of a message: the way to it through the messages of
// the file. Those that a compiler makes for map fields do not count, for they are not in
// the source, by which registries count.
func indexOf(file *descriptorpb.FileDescriptorProto, name string) ([]int, error) {
	rest, found := name, true
	if pkg := file.GetPackage(); pkg != "" {
		rest, found = strings.CutPrefix(name, pkg+".")
	}
	var index []int
	messages := file.GetMessageType()
	for _, word := range strings.Split(rest, ".") {
		written := inSource(messages)
		at := slices.IndexFunc(written, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == word })
		if !found || at < 0 {
			return nil, fmt.Errorf("protobuf: the .proto source has no message %s: give the full name of one of its messages, or none", name)
		}
		index = append(index, at)
		messages = written[at].GetNestedType()
	}
	return index, nil
}

// messageAt returns the full name of the message at a message index.
func messageAt(file *descriptorpb.FileDescriptorProto, index []int) (string, error) {
	var words []string
	if pkg := file.GetPackage(); pkg != "" {
		words = append(words, pkg)
	}
	messages := file.GetMessageType()
	for _, at := range index {
		written := inSource(messages)
		if at < 0 || at >= len(written) {
			return "", fmt.Errorf("the schema has no message at index %v: see whether the writer uses Confluent's wire format", index)
		}
		words = append(words, written[at].GetName())
		messages = written[at].GetNestedType()
	}
	return strings.Join(words, "."), nil
}

func inSource(messages []*descriptorpb.DescriptorProto) []*descriptorpb.DescriptorProto {
	var out []*descriptorpb.DescriptorProto
	for _, m := range messages {
		if !m.GetOptions().GetMapEntry() {
			out = append(out, m)
		}
	}
	return out
}
