package avro

import (
	"encoding"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Enum is a string type whose values are the symbols of an enum. The method is called on the zero
// value. A type that has also a method AvroDefault() string names by it the symbol that
// readers take in place of one that they do not know.
type Enum interface{ AvroSymbols() []string }

type enumDefault interface{ AvroDefault() string }

// isRat says whether the type is *big.Rat or big.Rat, which are decimals.
func isRat(t reflect.Type) bool {
	return t == reflect.TypeFor[*big.Rat]() || t == reflect.TypeFor[big.Rat]()
}

func isTime(t reflect.Type) bool     { return t == reflect.TypeFor[time.Time]() }
func isDuration(t reflect.Type) bool { return t == reflect.TypeFor[time.Duration]() }
func isAny(t reflect.Type) bool      { return t.Kind() == reflect.Interface && t.NumMethod() == 0 }

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
}

func isByteArray(t reflect.Type) bool {
	return t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8
}

// isUUID says whether the type is a UUID of github.com/google/uuid, or another 16 bytes.
func isUUID(t reflect.Type) bool { return isByteArray(t) && t.Len() == len(uuid.UUID{}) }

// isText says whether values write and read themselves as text.
func isText(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface &&
		pointer.Implements(reflect.TypeFor[encoding.TextMarshaler]()) &&
		pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isPlainStruct says whether the type is a struct whose fields are what it holds.
func isPlainStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !isTime(t) && !isRat(t) && !isText(t)
}

// isOptional says whether the type is a pointer only so that it can be nil.
func isOptional(t reflect.Type) bool { return t.Kind() == reflect.Pointer && !isRat(t) }

// hasNil says whether a value of the type can be nil without being a pointer for it.
func hasNil(t reflect.Type) bool {
	return t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t == reflect.TypeFor[*big.Rat]()
}

// symbolsOf returns what the type's methods say.
func symbolsOf(t reflect.Type) (symbols []string, fallback string) {
	if t.Kind() != reflect.String {
		return nil, ""
	}
	zero := reflect.New(t).Interface()
	if e, ok := zero.(Enum); ok {
		symbols = e.AvroSymbols()
	}
	if e, ok := zero.(enumDefault); ok {
		fallback = e.AvroDefault()
	}
	return symbols, fallback
}

// recordName makes an Avro name of the name of a Go type: Page[example.com/shop.Item] becomes
// Page_Item.
func recordName(t reflect.Type) string {
	var out strings.Builder
	word := ""
	flush := func() {
		out.WriteString(word[strings.LastIndexByte(word, '.')+1:])
		word = ""
	}
	for _, r := range t.Name() {
		switch {
		case r == '[' || r == ',':
			flush()
			out.WriteByte('_')
		case r == '/':
			word = ""
		case r == '.' || isNameRune(r):
			word += string(r)
		}
	}
	flush()
	return out.String()
}

func isNameRune(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// packageName is the last element of the path that is a name, rather than a version.
func packageName(path string) string {
	elements := strings.Split(path, "/")
	last := elements[len(elements)-1]
	if len(elements) > 1 && len(last) > 1 && last[0] == 'v' && strings.Trim(last[1:], "0123456789") == "" {
		last = elements[len(elements)-2]
	}
	name := strings.Map(func(r rune) rune {
		if isNameRune(r) {
			return r
		}
		return '_'
	}, last)
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name
}

func isName(text string) bool {
	if text == "" || text[0] >= '0' && text[0] <= '9' {
		return false
	}
	for _, r := range text {
		if !isNameRune(r) {
			return false
		}
	}
	return true
}
