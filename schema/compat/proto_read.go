package compat

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

type protoPair struct{ reader, writer protoreflect.FullName }

type protoFinder struct {
	*finder
	pairs map[protoPair]bool
}

func (f *finder) proto(reader, writer *protoSchema) error {
	p := &protoFinder{finder: f, pairs: map[protoPair]bool{}}
	if r, w := reader.file.Package(), writer.file.Package(); r != w {
		f.add(Warning, string(w), "package-changed",
			fmt.Sprintf("{reader} is in package %q and {writer} in %q: the bytes are the same, but the messages have other names", r, w),
			"keep the package: registries, Any and google.protobuf tools go by full names")
	}
	if reader.root != nil && writer.root != nil {
		if r, w := relativeName(reader.root), relativeName(writer.root); r != w {
			f.add(Error, w, "name-changed", fmt.Sprintf("the payload is message %s in {reader} and %s in {writer}", r, w),
				f.mend(fmt.Sprintf("keep message %s in {reader}", w), fmt.Sprintf("keep message %s in {writer}", r)))
		}
		return p.message(reader.root, writer.root, relativeName(writer.root))
	}
	return p.declared(reader.file.Messages(), writer.file.Messages())
}

// declared compares all messages of the writer's file, where nothing says which one of them
// is the payload.
func (f *protoFinder) declared(readers, writers protoreflect.MessageDescriptors) error {
	for i := range writers.Len() {
		w := writers.Get(i)
		if w.IsMapEntry() {
			continue
		}
		r := readers.ByName(w.Name())
		if r == nil {
			f.messageMissing(w)
			continue
		}
		if err := f.message(r, w, relativeName(w)); err != nil {
			return err
		}
		if err := f.declared(r.Messages(), w.Messages()); err != nil {
			return err
		}
	}
	return nil
}

// messageMissing looks at a message that the reader's file has not. A new one is most likely a
// part of others: as a payload, it would be the first of its kind.
func (f *protoFinder) messageMissing(w protoreflect.MessageDescriptor) {
	name, severity := relativeName(w), Error
	if f.direction == Forwards {
		severity = Warning
	}
	f.add(severity, name, "message-missing", fmt.Sprintf("message %s of {writer} does not exist in {reader}", name),
		f.mend(fmt.Sprintf("keep message %s in {reader}, or name the message that is the payload", name),
			fmt.Sprintf("do not send %s by itself before every reader has it", name)))
}

func (f *protoFinder) message(r, w protoreflect.MessageDescriptor, path string) error {
	pair := protoPair{r.FullName(), w.FullName()}
	if f.pairs[pair] {
		return nil
	}
	f.pairs[pair] = true
	for i := range w.Fields().Len() {
		if err := f.step(); err != nil {
			return err
		}
		written := w.Fields().Get(i)
		at := path + "." + string(written.Name())
		read := r.Fields().ByNumber(written.Number())
		if read == nil {
			f.fieldGone(r, written, at)
			continue
		}
		if err := f.field(read, written, at); err != nil {
			return err
		}
	}
	f.oneofs(r, w, path)
	for i := range r.Fields().Len() {
		read := r.Fields().Get(i)
		written := w.Fields().ByNumber(read.Number())
		if read.Cardinality() == protoreflect.Required && (written == nil || written.Cardinality() != protoreflect.Required) {
			f.add(Error, path+"."+string(read.Name()), "required-missing",
				fmt.Sprintf("field %s is required in {reader}, and who writes by {writer} may leave it out", read.Name()),
				f.mend("make it optional in {reader}", "keep it required in {writer}"))
		}
	}
	return nil
}

// fieldGone looks at a field that the reader does not have: it is skipped, which breaks nothing
// today.
func (f *protoFinder) fieldGone(r protoreflect.MessageDescriptor, written protoreflect.FieldDescriptor, at string) {
	number, name := written.Number(), written.Name()
	if other := r.Fields().ByName(name); other != nil {
		f.add(Error, at, "field-missing",
			fmt.Sprintf("field %s has number %d in {reader} and %d in {writer}: its value is lost", name, other.Number(), number),
			f.mend(fmt.Sprintf("keep number %d in {reader}", number), fmt.Sprintf("keep number %d in {writer}", other.Number())))
		return
	}
	if f.direction == Backwards && (!r.ReservedRanges().Has(number) || !r.ReservedNames().Has(name)) {
		f.add(Warning, at, "field-not-reserved",
			fmt.Sprintf("field %s = %d was removed, and a later field may take its number or name for something else", name, number),
			fmt.Sprintf("add `reserved %d;` and `reserved %q;` to message %s", number, name, r.Name()))
	}
}

func (f *protoFinder) field(r, w protoreflect.FieldDescriptor, at string) error {
	switch {
	case r.Name() != w.Name():
		f.add(Warning, at, "field-renamed", fmt.Sprintf("number %d is field %s in {reader} and %s in {writer}: the bytes are the same, JSON and text are not", w.Number(), r.Name(), w.Name()),
			fmt.Sprintf("keep the name; if %s means something else, give it a number of its own and reserve %d", f.newer(r, w), w.Number()))
	case r.JSONName() != w.JSONName():
		f.add(Warning, at, "json-name-changed", fmt.Sprintf("field %s is %q in JSON for {reader} and %q for {writer}", w.Name(), r.JSONName(), w.JSONName()),
			"keep the json_name where payloads are also written as JSON")
	}
	f.cardinality(r, w, at)
	if r.HasDefault() || w.HasDefault() {
		if rd, wd := r.Default(), w.Default(); r.Kind() == w.Kind() && fmt.Sprint(rd.Interface()) != fmt.Sprint(wd.Interface()) {
			f.add(Warning, at, "default-changed", fmt.Sprintf("an absent field %s is %v for {reader} and %v for {writer}", w.Name(), rd.Interface(), wd.Interface()),
				"keep the default, or write the field always")
		}
	}
	return f.fieldType(r, w, at)
}

func (f *protoFinder) newer(r, w protoreflect.FieldDescriptor) protoreflect.Name {
	if f.direction == Backwards {
		return r.Name()
	}
	return w.Name()
}

// cardinality looks at fields that are single here and repeated there. Who reads a repeated
// field takes a single value as well; who reads a single one keeps the last of many, and cannot
// take numbers that are packed.
func (f *protoFinder) cardinality(r, w protoreflect.FieldDescriptor, at string) {
	if r.IsMap() != w.IsMap() && r.Cardinality() == w.Cardinality() && r.Message() != nil && w.Message() != nil {
		f.add(Warning, at, "cardinality-changed", fmt.Sprintf("field %s is %s in {reader} and %s in {writer}: entries with one key are one in a map", w.Name(), cardinalityName(r), cardinalityName(w)),
			"keep the field as it is, or add another one")
		return
	}
	if r.IsList() == w.IsList() && r.IsMap() == w.IsMap() {
		return
	}
	many := w.IsList() || w.IsMap()
	switch {
	case !many && !r.IsMap():
		return // a list of one
	case many && r.IsList() == w.IsList(): // a map, read as a single message
	case !w.IsPacked() && !w.IsMap() && !r.IsMap():
		f.add(Warning, at, "cardinality-changed", fmt.Sprintf("field %s is %s in {reader} and %s in {writer}: all values but one are lost", w.Name(), cardinalityName(r), cardinalityName(w)),
			f.mend("keep it repeated in {reader}", "keep it single in {writer}")+", or add another field")
		return
	}
	f.add(Error, at, "cardinality-changed", fmt.Sprintf("field %s is %s in {reader} and %s in {writer}", w.Name(), cardinalityName(r), cardinalityName(w)),
		f.mend("keep it as it was in {reader}", "keep it as it was in {writer}")+", or add another field")
}

func cardinalityName(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "a map"
	case f.IsList():
		return "repeated"
	default:
		return "single"
	}
}

func (f *protoFinder) fieldType(r, w protoreflect.FieldDescriptor, at string) error {
	same := wireGroup(r.Kind()) == wireGroup(w.Kind())
	switch {
	case r.Kind() == protoreflect.BytesKind && w.Kind() == protoreflect.MessageKind:
		f.add(Warning, at, "type-changed", fmt.Sprintf("field %s is bytes in {reader} and %s in {writer}: {reader} sees the message encoded", w.Name(), typeName(w)),
			"keep the type, or decode the bytes")
		return nil
	case !same:
		f.add(Error, at, "type-changed", fmt.Sprintf("field %s = %d is %s in {reader} and %s in {writer}, which look different on the wire", w.Name(), w.Number(), typeName(r), typeName(w)),
			f.mend("keep the type in {reader}", "keep the type in {writer}")+fmt.Sprintf(", or reserve %d and add a field with another number", w.Number()))
		return nil
	case r.Message() != nil && w.Message() != nil:
		if r.IsMap() || w.IsMap() {
			return f.message(r.Message(), w.Message(), at)
		}
		if rn, wn := relativeName(r.Message()), relativeName(w.Message()); rn != wn {
			f.add(Error, at, "type-changed", fmt.Sprintf("field %s is message %s in {reader} and %s in {writer}", w.Name(), rn, wn),
				f.mend("keep the message in {reader}", "keep the message in {writer}")+fmt.Sprintf(", or reserve %d and add a field with another number", w.Number()))
		}
		return f.message(r.Message(), w.Message(), at)
	case r.Enum() != nil && w.Enum() != nil:
		f.enum(r.Enum(), w.Enum(), at)
	case !holds(r.Kind(), w.Kind()):
		f.add(Warning, at, "type-changed", fmt.Sprintf("field %s is %s in {reader} and %s in {writer}: the bytes are read, but not every value survives", w.Name(), typeName(r), typeName(w)),
			"keep the type unless all values fit both")
	}
	return nil
}

func (f *protoFinder) enum(r, w protoreflect.EnumDescriptor, at string) {
	for i := range w.Values().Len() {
		written := w.Values().Get(i)
		number, name := written.Number(), written.Name()
		read := r.Values().ByNumber(number)
		byName := r.Values().ByName(name)
		switch {
		case byName != nil && byName.Number() != number:
			f.add(Error, at, "enum-value-missing", fmt.Sprintf("value %s of enum %s has number %d in {reader} and %d in {writer}", name, w.Name(), byName.Number(), number),
				f.mend("keep its number in {reader}", "keep its number in {writer}"))
		case read == nil && r.IsClosed():
			f.add(Error, at, "enum-value-missing", fmt.Sprintf("value %s = %d of {writer} is not in enum %s of {reader}, which is closed: the field is lost", name, number, r.Name()),
				f.mend(fmt.Sprintf("keep %s in {reader}", name), fmt.Sprintf("do not write %s by {writer} before every reader knows it", name)))
		case read == nil:
			f.add(Warning, at, "enum-value-unknown", fmt.Sprintf("value %s = %d of {writer} is not in enum %s of {reader}: it is read as a bare number", name, number, r.Name()),
				f.mend(fmt.Sprintf("keep %s in {reader}", name), fmt.Sprintf("do not write %s by {writer} before every reader knows it", name)))
		case byName == nil && w.Values().ByName(read.Name()) == nil:
			f.add(Warning, at, "enum-value-renamed", fmt.Sprintf("number %d of enum %s is %s in {reader} and %s in {writer}", number, w.Name(), read.Name(), name),
				"keep the name; if it means something else, give it a number of its own")
		}
		if read == nil && byName == nil && f.direction == Backwards && (!r.ReservedRanges().Has(number) || !r.ReservedNames().Has(name)) {
			f.add(Warning, at, "enum-number-not-reserved", fmt.Sprintf("value %s = %d of enum %s was removed, and a later value may take its number or name", name, number, r.Name()),
				fmt.Sprintf("add `reserved %d;` and `reserved %q;` to enum %s", number, name, r.Name()))
		}
	}
}

// oneofs looks at what the reader keeps one of. A single field that moves into a new oneof is
// read as before; of two that could be set together, one is lost.
func (f *protoFinder) oneofs(r, w protoreflect.MessageDescriptor, path string) {
	for i := range r.Oneofs().Len() {
		group := r.Oneofs().Get(i)
		if group.IsSynthetic() {
			continue
		}
		var first protoreflect.FieldDescriptor
		for j := range group.Fields().Len() {
			written := w.Fields().ByNumber(group.Fields().Get(j).Number())
			switch {
			case written == nil:
			case first == nil:
				first = written
			case realOneof(first) == nil || realOneof(first) != realOneof(written):
				f.add(Error, path+"."+string(written.Name()), "oneof-changed",
					fmt.Sprintf("fields %s and %s are in oneof %s of {reader}, and {writer} may set both: one is lost", first.Name(), written.Name(), group.Name()),
					f.mend(fmt.Sprintf("keep the fields out of one oneof in {reader}, or add new ones to %s", group.Name()), "keep both in one oneof in {writer}"))
			}
		}
	}
	for i := range w.Oneofs().Len() {
		if group := w.Oneofs().Get(i); !group.IsSynthetic() {
			f.oneofRead(r, group, path)
		}
	}
}

// oneofRead looks at a oneof of the writer: if the reader has some of its fields in a oneof,
// it takes the rest for "none was set".
func (f *protoFinder) oneofRead(r protoreflect.MessageDescriptor, group protoreflect.OneofDescriptor, path string) {
	var kept protoreflect.OneofDescriptor
	for i := range group.Fields().Len() {
		if read := r.Fields().ByNumber(group.Fields().Get(i).Number()); read != nil && realOneof(read) != nil {
			kept = realOneof(read)
		}
	}
	if kept == nil {
		kept = r.Oneofs().ByName(group.Name())
	}
	for i := range group.Fields().Len() {
		written := group.Fields().Get(i)
		at := path + "." + string(written.Name())
		switch read := r.Fields().ByNumber(written.Number()); {
		case read == nil && kept != nil:
			f.add(Error, at, "oneof-field-missing", fmt.Sprintf("field %s is in oneof %s of {writer} and not in {reader}, which takes the oneof for unset", written.Name(), group.Name()),
				f.mend(fmt.Sprintf("keep %s in {reader}", written.Name()), fmt.Sprintf("add %s to {writer} outside of the oneof", written.Name())))
		case read != nil && realOneof(read) == nil:
			f.add(Warning, at, "oneof-changed", fmt.Sprintf("field %s is in oneof %s of {writer} and outside of one in {reader}: who asks the oneof does not see it", written.Name(), group.Name()),
				f.mend(fmt.Sprintf("keep %s in the oneof in {reader}", written.Name()), fmt.Sprintf("keep %s out of the oneof in {writer}", written.Name())))
		}
	}
}

func realOneof(f protoreflect.FieldDescriptor) protoreflect.OneofDescriptor {
	if group := f.ContainingOneof(); group != nil && !group.IsSynthetic() {
		return group
	}
	return nil
}
