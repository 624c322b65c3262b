package avro

import (
	"encoding"
	"math/big"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// decoder sets a Go value from goavro's native form of what was written. Values are never nil
// interfaces where the schema has no null: the scanner has seen the body.
type decoder func(native any, into reflect.Value) faults

// reading is a writer's type, the reader's, and the Go type that is to hold the value.
type reading struct {
	writer, reader *typ
	goType         reflect.Type
}

// decoders compiles the decoder of a reading, once for each that a type is made of.
type decoders struct{ done map[reading]*compiledDecoder }

type compiledDecoder struct {
	decode decoder
	faults faults
}

func compileDecoder(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	c := decoders{done: map[reading]*compiledDecoder{}}
	return c.compile(writer, reader, goType)
}

func (c *decoders) compile(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	key := reading{writer, reader, goType}
	if known, ok := c.done[key]; ok {
		if known.decode == nil { // further out in a recursive type
			return func(native any, into reflect.Value) faults { return known.decode(native, into) }, nil
		}
		return known.decode, known.faults.copied()
	}
	entry := &compiledDecoder{}
	c.done[key] = entry
	decode, found := c.build(writer, reader, goType)
	if found != nil {
		decode = refusal(found)
	}
	entry.decode, entry.faults = decode, found.copied()
	return decode, found
}

// refusal is for a branch of a union that can be written and not read: as long as nobody writes it,
// it does no harm.
func refusal(found faults) decoder {
	stays := found.copied()
	return func(any, reflect.Value) faults { return stays.copied() }
}

func (c *decoders) build(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	if writer.kind == kindUnion {
		return c.fromUnion(writer, reader, goType)
	}
	if reader.kind == kindUnion {
		branch := branchFor(writer, reader)
		if branch == nil {
			return nil, faultf("was written as %s, which fits no branch of %s", writer, reader)
		}
		return c.compile(writer, branch, goType)
	}
	if found := mismatch(writer, reader); found != nil {
		return nil, found
	}
	switch {
	case isAny(goType):
		return c.held(writer, reader)
	case reader.kind == kindNull:
		return toNull(goType)
	case isOptional(goType):
		return c.pointer(writer, reader, goType)
	}
	if decode := specialDecoder(writer, reader, goType); decode != nil {
		return decode, nil
	}
	switch reader.kind {
	case kindRecord:
		return c.record(writer, reader, goType)
	case kindArray:
		return c.array(writer, reader, goType)
	case kindMap:
		return c.mapOf(writer, reader, goType)
	case kindEnum:
		return toEnum(writer, reader, goType)
	}
	if isInteger(goType.Kind()) && meaning(writer, reader) != reader.logical {
		return nil, faultf("was written in %s, and %s would be read in %s: make the Go type time.Time or time.Duration",
			writer.logical, goType, reader.logical)
	}
	if decode := plainDecoder(writer, reader, goType); decode != nil {
		return decode, nil
	}
	return nil, faultf("%s cannot hold %s", goType, reader)
}

// fromUnion goes by the branch that was written.
func (c *decoders) fromUnion(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	byName := make(map[string]decoder, len(writer.branches))
	var null decoder
	var found faults
	refused := 0
	for _, b := range writer.branches {
		decode, faults := c.compile(b, reader, goType)
		if faults != nil {
			refused++
			found = found.and(faults)
			decode = refusal(faults)
		}
		if b.kind == kindNull {
			null = decode
		} else {
			byName[b.physical] = decode
		}
	}
	if refused == len(writer.branches) {
		return nil, found
	}
	return func(native any, into reflect.Value) faults {
		if native == nil && null != nil {
			return null(nil, into)
		}
		wrapped, ok := native.(map[string]any)
		if !ok {
			return faultf("goavro returned a %T for a union", native)
		}
		for name, value := range wrapped {
			if decode, ok := byName[name]; ok {
				return decode(value, into)
			}
		}
		return faultf("goavro returned no branch of %s", writer)
	}, nil
}

func toNull(goType reflect.Type) (decoder, faults) {
	if !isOptional(goType) && !hasNil(goType) && goType != reflect.TypeFor[struct{}]() {
		return nil, faultf("is null, which %s cannot hold: make it a pointer", goType)
	}
	return func(_ any, into reflect.Value) faults {
		into.SetZero()
		return nil
	}, nil
}

// held reads into an interface, as the Go type that the schema's is closest to.
func (c *decoders) held(writer, reader *typ) (decoder, faults) {
	if reader.kind == kindNull {
		return func(_ any, into reflect.Value) faults {
			into.SetZero()
			return nil
		}, nil
	}
	closest := closestType(reader)
	decode, found := c.compile(writer, reader, closest)
	if found != nil {
		return nil, found
	}
	return func(native any, into reflect.Value) faults {
		value := reflect.New(closest).Elem()
		if f := decode(native, value); f != nil {
			return f
		}
		into.Set(value)
		return nil
	}, nil
}

// closestType is the Go type of a value of which only the schema is known.
func closestType(t *typ) reflect.Type {
	switch {
	case t.logical.isInstant():
		return reflect.TypeFor[time.Time]()
	case t.logical.isTimeOfDay():
		return reflect.TypeFor[time.Duration]()
	case t.logical == decimal && t.precision <= maxPrecision:
		return reflect.TypeFor[*big.Rat]()
	case t.logical == uuidText:
		return reflect.TypeFor[uuid.UUID]()
	}
	switch t.kind {
	case kindBoolean:
		return reflect.TypeFor[bool]()
	case kindInt:
		return reflect.TypeFor[int32]()
	case kindLong:
		return reflect.TypeFor[int64]()
	case kindFloat:
		return reflect.TypeFor[float32]()
	case kindDouble:
		return reflect.TypeFor[float64]()
	case kindString, kindEnum:
		return reflect.TypeFor[string]()
	case kindBytes, kindFixed:
		return reflect.TypeFor[[]byte]()
	case kindArray:
		return reflect.TypeFor[[]any]()
	default:
		return reflect.TypeFor[map[string]any]()
	}
}

func (c *decoders) pointer(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	inner, found := c.compile(writer, reader, goType.Elem())
	if found != nil {
		return nil, found
	}
	return func(native any, into reflect.Value) faults {
		value := reflect.New(goType.Elem())
		if f := inner(native, value.Elem()); f != nil {
			return f
		}
		into.Set(value)
		return nil
	}, nil
}

// specialDecoder is for types that are not what their kind says; nil where it is none of them.
func specialDecoder(writer, reader *typ, goType reflect.Type) decoder {
	l := meaning(writer, reader)
	switch {
	case isRat(goType) && reader.logical == decimal && reader.precision <= maxPrecision:
		return func(native any, into reflect.Value) faults {
			r, err := reader.ratOf(bytesOf(native))
			if err != nil {
				return faultOf(err)
			}
			if goType.Kind() == reflect.Pointer {
				into.Set(reflect.ValueOf(r))
			} else {
				into.Set(reflect.ValueOf(r).Elem())
			}
			return nil
		}
	case isTime(goType) && reader.logical.isInstant():
		return func(native any, into reflect.Value) faults {
			into.Set(reflect.ValueOf(l.toTime(integerOf(native))))
			return nil
		}
	case isDuration(goType) && reader.logical.isTimeOfDay():
		return func(native any, into reflect.Value) faults {
			d, err := l.toDuration(integerOf(native))
			into.SetInt(int64(d))
			return faultOf(err)
		}
	case isUUID(goType) && reader.kind == kindString && reader.logical == uuidText:
		return func(native any, into reflect.Value) faults {
			text := textOf(native)
			if err := checkUUID(text); err != nil {
				return faultOf(err)
			}
			id, err := uuid.Parse(text)
			reflect.Copy(into, reflect.ValueOf(id))
			return faultOf(err)
		}
	case isText(goType) && !isTime(goType) && !isRat(goType) && (reader.kind == kindString || reader.kind == kindEnum):
		return textDecoder(writer, reader)
	default:
		return nil
	}
}

func checkUUID(text string) error {
	if len(text) != 36 {
		return uuid.Validate("not 36 characters long: " + shorten(text))
	}
	return uuid.Validate(text)
}

func textDecoder(writer, reader *typ) decoder {
	translate := func(text string) (string, faults) { return text, nil }
	if reader.kind == kindEnum {
		translate = symbols(writer, reader)
	}
	return func(native any, into reflect.Value) faults {
		text, found := translate(textOf(native))
		if found != nil {
			return found
		}
		u, ok := into.Addr().Interface().(encoding.TextUnmarshaler)
		if !ok {
			return faultf("%s does not read itself from text", into.Type())
		}
		return faultOf(u.UnmarshalText([]byte(text)))
	}
}

// symbols translates a writer's symbol to the reader's.
func symbols(writer, reader *typ) func(string) (string, faults) {
	known := make(map[string]string, len(writer.symbols))
	for _, s := range writer.symbols {
		if _, found := reader.symbol(s); found == nil {
			known[s] = s
		} else if reader.fallback != "" {
			known[s] = reader.fallback
		}
	}
	return func(text string) (string, faults) {
		if s, ok := known[text]; ok {
			return s, nil
		}
		return "", unknownSymbol(text, reader)
	}
}

func unknownSymbol(text string, reader *typ) faults {
	return faultf("%q is no symbol of the reader's %s, which has %s: give it a default symbol",
		shorten(text), reader, shorten(strings.Join(reader.symbols, ", ")))
}

func toEnum(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	if goType.Kind() != reflect.String {
		return nil, faultf("%s cannot hold %s", goType, reader)
	}
	translate := symbols(writer, reader)
	return func(native any, into reflect.Value) faults {
		symbol, found := translate(textOf(native))
		if found == nil {
			into.SetString(symbol)
		}
		return found
	}, nil
}

// plainDecoder is for simple types; nil where the Go type cannot hold the reader's.
func plainDecoder(writer, reader *typ, goType reflect.Type) decoder {
	k := goType.Kind()
	switch {
	case reader.kind == kindBoolean && k == reflect.Bool:
		return func(native any, into reflect.Value) faults {
			b, _ := native.(bool)
			into.SetBool(b)
			return nil
		}
	case (reader.kind == kindInt || reader.kind == kindLong) && isInteger(k):
		return toInteger(goType)
	case reader.kind == kindFloat && (k == reflect.Float32 || k == reflect.Float64):
		return func(native any, into reflect.Value) faults {
			into.SetFloat(float64(float32Of(native)))
			return nil
		}
	case reader.kind == kindDouble && k == reflect.Float64:
		return func(native any, into reflect.Value) faults {
			into.SetFloat(floatOf(native))
			return nil
		}
	case reader.kind == kindString && k == reflect.String:
		return toString(writer, reader)
	case reader.kind == kindBytes && isBytes(goType):
		return func(native any, into reflect.Value) faults {
			into.SetBytes(bytesOf(native))
			return nil
		}
	case reader.kind == kindFixed && isBytes(goType):
		return func(native any, into reflect.Value) faults {
			into.SetBytes(bytesOf(native))
			return nil
		}
	case reader.kind == kindFixed && isByteArray(goType) && goType.Len() == reader.size:
		return func(native any, into reflect.Value) faults {
			reflect.Copy(into, reflect.ValueOf(bytesOf(native)))
			return nil
		}
	default:
		return nil
	}
}

func toInteger(goType reflect.Type) decoder {
	if goType.Kind() >= reflect.Uint {
		return func(native any, into reflect.Value) faults {
			n := integerOf(native)
			if n < 0 || into.OverflowUint(uint64(n)) {
				return faultf("%d does not fit %s", n, goType)
			}
			into.SetUint(uint64(n))
			return nil
		}
	}
	return func(native any, into reflect.Value) faults {
		n := integerOf(native)
		if into.OverflowInt(n) {
			return faultf("%d does not fit %s", n, goType)
		}
		into.SetInt(n)
		return nil
	}
}

func toString(writer, reader *typ) decoder {
	return func(native any, into reflect.Value) faults {
		text := textOf(native)
		if writer.kind == kindBytes && !utf8.ValidString(text) {
			return faultf("was written as bytes that are not valid UTF-8, and cannot be read as a string")
		}
		if reader.logical == uuidText {
			if err := checkUUID(text); err != nil {
				return faultOf(err)
			}
		}
		into.SetString(text)
		return nil
	}
}

// The functions below take the native form of whatever the writer's type may have been, and so
// promote.

func integerOf(native any) int64 {
	switch n := native.(type) {
	case int32:
		return int64(n)
	case int64:
		return n
	default:
		return 0
	}
}

func floatOf(native any) float64 {
	switch n := native.(type) {
	case float32:
		return float64(n)
	case float64:
		return n
	default:
		return float64(integerOf(native))
	}
}

// float32Of rounds a long once, not by way of a double.
func float32Of(native any) float32 {
	if f, ok := native.(float32); ok {
		return f
	}
	return float32(integerOf(native))
}

func textOf(native any) string {
	switch v := native.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	default:
		return ""
	}
}

// bytesOf copies: goavro's bytes are part of the payload, and a default is part of the schema.
func bytesOf(native any) []byte {
	if b, ok := native.([]byte); ok {
		return append([]byte{}, b...)
	}
	return append([]byte{}, textOf(native)...)
}
