package protobuf

import (
	"errors"
	"fmt"
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
	rest, ok := name, true
	if pkg := file.GetPackage(); pkg != "" {
		rest, ok = strings.CutPrefix(name, pkg+".")
	}
	messages := file.GetMessageType()
	for _, word := range strings.Split(rest, ".") {
		var found *descriptorpb.DescriptorProto
		for _, m := range messages {
			if m.GetName() == word {
				found = m
			}
		}
		if !ok || found == nil {
			return fmt.Errorf("protobuf: the .proto source has no message %s: give the full name of one of its messages, or none", name)
		}
		messages = found.GetNestedType()
	}
	return nil
}

// messageAt returns the full name of the message at a message index.
func messageAt(file *descriptorpb.FileDescriptorProto, index []int) (string, error) {
	if len(index) == 0 {
		return "", errors.New("protobuf: the message index is empty")
	}
	var words []string
	if pkg := file.GetPackage(); pkg != "" {
		words = append(words, pkg)
	}
	messages := file.GetMessageType()
	for _, at := range index {
		if at < 0 || at >= len(messages) {
			return "", fmt.Errorf("protobuf: there is no message at index %v", index)
		}
		words = append(words, messages[at].GetName())
		messages = messages[at].GetNestedType()
	}
	return strings.Join(words, "."), nil
}
