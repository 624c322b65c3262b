package compat_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
)

// drawProto draws a message of few fields, so that two draws often meet at a number.
func drawProto(t *rapid.T) string {
	var b strings.Builder
	fmt.Fprint(&b, "syntax = \"proto3\";\nmessage M {\n")
	for number := 1; number <= 4; number++ {
		if rapid.IntRange(0, 3).Draw(t, "left out") == 0 {
			continue
		}
		kind := rapid.SampledFrom([]string{
			"int32", "int64", "uint32", "uint64", "bool", "sint32", "sint64", "fixed32", "sfixed32", "fixed64", "sfixed64",
			"float", "double", "string", "bytes", "E", "S", "M", "map<string, int32>", "map<int32, S>",
		}).Draw(t, "kind")
		label := rapid.SampledFrom([]string{"", "", "repeated ", "optional "}).Draw(t, "label")
		packed := ""
		if strings.HasPrefix(kind, "map") {
			label = ""
		} else if label == "repeated " && kind != "string" && kind != "bytes" && kind != "S" && kind != "M" && rapid.Bool().Draw(t, "unpacked") {
			packed = " [packed = false]"
		}
		field := fmt.Sprintf("%s%s f%d = %d%s;", label, kind, number, number, packed)
		if label == "" && !strings.HasPrefix(kind, "map") && rapid.IntRange(0, 4).Draw(t, "oneof") == 0 {
			field = fmt.Sprintf("oneof o%d { %s string g%d = %d; }", number, field, number, number+10)
		}
		fmt.Fprintln(&b, " ", field)
	}
	fmt.Fprint(&b, "}\nmessage S { string key = 1; int32 value = 2; }\nenum E { ZERO = 0; ONE = 1; }\n")
	return b.String()
}

func compileProto(t *rapid.T, text string) protoreflect.MessageDescriptor {
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"m.proto": text}),
	})}
	files, err := compiler.Compile(context.Background(), "m.proto")
	require.NoError(t, err, text)
	return files[0].Messages().ByName("M")
}

func fillProto(t *rapid.T, m protoreflect.Message, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		if rapid.IntRange(0, 3).Draw(t, "absent") == 0 || field.ContainingOneof() != nil && m.WhichOneof(field.ContainingOneof()) != nil {
			continue
		}
		switch {
		case field.IsMap():
			entries := m.Mutable(field).Map()
			key := protoreflect.ValueOf("k").MapKey()
			if field.MapKey().Kind() == protoreflect.Int32Kind {
				key = protoreflect.ValueOf(int32(7)).MapKey()
			}
			if field.MapValue().Message() == nil {
				entries.Set(key, protoreflect.ValueOf(int32(3)))
			} else {
				fillProto(t, entries.Mutable(key).Message(), 0)
			}
		case field.IsList():
			list := m.Mutable(field).List()
			for range rapid.IntRange(1, 3).Draw(t, "items") {
				if field.Message() != nil {
					item := list.AppendMutable().Message()
					if depth > 0 {
						fillProto(t, item, depth-1)
					}
				} else {
					list.Append(drawProtoValue(t, field))
				}
			}
		case field.Message() != nil:
			if depth > 0 {
				fillProto(t, m.Mutable(field).Message(), depth-1)
			}
		default:
			m.Set(field, drawProtoValue(t, field))
		}
	}
}

func drawProtoValue(t *rapid.T, field protoreflect.FieldDescriptor) protoreflect.Value {
	number := rapid.SampledFrom([]int64{0, 1, 2, -1, 1 << 20, -1 << 31, 1 << 31, 1<<63 - 1}).Draw(t, "number")
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOf(number != 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOf(protoreflect.EnumNumber(number & 1))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOf(int32(number))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOf(number)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOf(uint32(number))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOf(uint64(number))
	case protoreflect.FloatKind:
		return protoreflect.ValueOf(float32(number))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOf(float64(number))
	case protoreflect.StringKind:
		return protoreflect.ValueOf(rapid.SampledFrom([]string{"", "a", "ö"}).Draw(t, "text"))
	default:
		return protoreflect.ValueOf([]byte(rapid.SampledFrom([]string{"", "a", "\xff"}).Draw(t, "bytes")))
	}
}

// survives says whether all that was written was read, number by number.
func survives(written, read protoreflect.Message) bool {
	for i := range written.Descriptor().Fields().Len() {
		from := written.Descriptor().Fields().Get(i)
		to := read.Descriptor().Fields().ByNumber(from.Number())
		if to == nil || !written.Has(from) {
			continue
		}
		if !slices.EqualFunc(plainField(from, written.Get(from)), plainField(to, read.Get(to)), sameProtoValue) {
			return false
		}
	}
	return true
}

// plainField is what a field holds as a list, a map by its keys 7 or k.
func plainField(field protoreflect.FieldDescriptor, value protoreflect.Value) []any {
	var values []any
	switch {
	case field.IsMap():
		value.Map().Range(func(key protoreflect.MapKey, entry protoreflect.Value) bool {
			values = append(values, key.String(), plainProtoValue(entry))
			return true
		})
	case field.IsList():
		for i := range value.List().Len() {
			values = append(values, plainProtoValue(value.List().Get(i)))
		}
	default:
		values = append(values, plainProtoValue(value))
	}
	return values
}

func plainProtoValue(value protoreflect.Value) any {
	switch v := value.Interface().(type) {
	case protoreflect.Message:
		return v
	case []byte:
		return string(v)
	case bool:
		return map[bool]string{false: "0", true: "1"}[v]
	default:
		return fmt.Sprint(v)
	}
}

func sameProtoValue(was, is any) bool {
	one, ok := was.(protoreflect.Message)
	other, also := is.(protoreflect.Message)
	if ok && also {
		return survives(one, other)
	}
	return was == is
}

// TestWhatIsCompatibleSurvives is the promise for Protobuf: where there is no problem at all,
// what was written in a field that the reader knows is read from it.
func TestWhatIsCompatibleSurvives(t *testing.T) {
	var fine, broken, shown int
	rapid.Check(t, func(t *rapid.T) {
		readerText, writerText := drawProto(t), drawProto(t)
		problems, err := compat.CanRead(schema.Schema{Kind: schema.Protobuf, Name: "M", Text: readerText}, schema.Schema{Kind: schema.Protobuf, Name: "M", Text: writerText})
		require.NoError(t, err)
		reader, writer := compileProto(t, readerText), compileProto(t, writerText)
		lost := false
		for range 5 {
			written, read := dynamicpb.NewMessage(writer), dynamicpb.NewMessage(reader)
			fillProto(t, written, 2)
			data, err := proto.Marshal(written)
			require.NoError(t, err)
			lost = lost || proto.Unmarshal(data, read) != nil || !survives(written, read)
		}
		switch {
		case len(problems) == 0:
			fine++
			require.False(t, lost, "reader:\n%s\nwriter:\n%s", readerText, writerText)
		case !compat.Report{Problems: problems}.Compatible():
			broken++
			if lost {
				shown++
			}
		}
	})
	t.Logf("%d pairs are compatible; %d are broken, %d of them shown by an example", fine, broken, shown)
}
