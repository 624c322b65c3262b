package protobuf

import (
	"errors"
	"reflect"

	"google.golang.org/protobuf/proto"
)

var (
	errNoMessage = errors.New("it is no generated message: use a type that protoc-gen-go made, or a pointer to it")
	errNil       = errors.New("it is nil: use a message, which may be empty")
)

var messageType = reflect.TypeFor[proto.Message]()

// messageOf returns the message that a value is or points to.
func messageOf(v any) (proto.Message, error) {
	if m, ok := v.(proto.Message); ok {
		if rv := reflect.ValueOf(m); rv.Kind() == reflect.Pointer && rv.IsNil() {
			return nil, errNil
		}
		return m, described(m)
	}
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return nil, errNil
	}
	if !reflect.PointerTo(rv.Type()).Implements(messageType) {
		return nil, errNoMessage
	}
	p := reflect.New(rv.Type()) // the methods are those of the pointer
	p.Elem().Set(rv)
	m := p.Interface().(proto.Message)
	return m, described(m)
}

// target returns the message to decode into, and what to call once it is decoded.
func target(into any) (m proto.Message, done func(), err error) {
	rv := reflect.ValueOf(into)
	if rv.Kind() != reflect.Pointer {
		return nil, nil, errNoMessage
	}
	if rv.IsNil() {
		return nil, nil, errNil
	}
	if m, ok := into.(proto.Message); ok {
		return m, func() {}, described(m)
	}
	elem := rv.Type().Elem()
	if elem.Kind() != reflect.Pointer || !elem.Implements(messageType) {
		return nil, nil, errNoMessage
	}
	fresh := reflect.New(elem.Elem())
	m = fresh.Interface().(proto.Message)
	return m, func() { rv.Elem().Set(fresh) }, described(m)
}

// newMessage returns an empty message of a type.
func newMessage(t reflect.Type) (proto.Message, error) {
	if t == nil {
		return nil, errNil
	}
	if t.Kind() != reflect.Pointer {
		t = reflect.PointerTo(t)
	}
	if !t.Implements(messageType) {
		return nil, errNoMessage
	}
	m := reflect.New(t.Elem()).Interface().(proto.Message)
	return m, described(m)
}

// described refuses messages that do not say what they are, such as an empty dynamic one.
func described(m proto.Message) error {
	if m.ProtoReflect() == nil || m.ProtoReflect().Descriptor() == nil {
		return errNoMessage
	}
	return nil
}
