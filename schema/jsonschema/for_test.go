package jsonschema_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
	"github.com/choreo-go/choreo/schema/jsonschema"
)

type Order struct {
	ID    string    `json:"id"`
	Total int64     `json:"total_cents"`
	At    time.Time `json:"at"`
	Lines []Line    `json:"lines"`
	Note  *string   `json:"note,omitempty"`
}

type Line struct {
	SKU   string `json:"sku"`
	Count uint16 `json:"count"`
}

func ExampleFor() {
	s, err := jsonschema.For(reflect.TypeFor[Order]())
	fmt.Println(s.Kind, s.Name, err)
	fmt.Println(s.Text)
	// Output:
	// JSON Order <nil>
	// {"type":"object","properties":{"id":{"type":"string"},"total_cents":{"type":"integer"},"at":{"type":"string","format":"date-time"},"lines":{"type":["array","null"],"items":{"$ref":"#/$defs/Line"}},"note":{"type":["string","null"]}},"$schema":"https://json-schema.org/draft/2020-12/schema","$defs":{"Line":{"type":"object","properties":{"sku":{"type":"string"},"count":{"type":"integer","minimum":0,"maximum":65535}},"required":["sku","count"]}},"title":"Order","required":["id","total_cents","at","lines"]}
}

func ExampleCodec() {
	var codec schema.Codec = jsonschema.Codec{}
	data, err := codec.Encode(Line{SKU: "a", Count: 2})
	fmt.Println(codec.ContentType(), string(data), err)
	// Output: application/json {"sku":"a","count":2} <nil>
}

type Scalars struct {
	B   bool
	I   int
	I8  int8
	I32 int32
	U8  uint8
	U32 uint32
	U64 uint64
	F32 float32
	F64 float64
	S   string
	Any any
}

type Holders struct {
	Bytes    []byte
	Named    Blob
	Ints     []int
	Nested   [][]string
	Fixed    [3]int16
	RawBytes [2]byte
	Map      map[string]int
	Numbered map[int32]string
	Unsigned map[uint8]bool
	PtrMap   map[string]*Scalars
	Ptr      *int
	PtrPtr   **string
	Inline   struct {
		X int `json:"x"`
	}
	List List
}

type (
	Blob []byte
	List []List
	Tree struct {
		Value int
		Left  *Tree           `json:"left,omitempty"`
		Right *Tree           `json:"right"`
		Kids  []Tree          `json:"kids"`
		Named map[string]Tree `json:"named,omitempty"`
	}
	Wood struct{ Trees []Tree }
)

type Options struct {
	Skipped   string `json:"-"`
	Dash      string `json:"-,"` //nolint:staticcheck // encoding/json names it "-"
	Empty     int    `json:"empty,omitempty"`
	Zero      Line   `json:"zero,omitzero"`
	Quoted    int    `json:"quoted,string"`
	QuotedPtr *bool  `json:"quoted_ptr,string"`
	QuotedStr string `json:",string"`
	BadName   int    `json:"a\"b"` //nolint:staticcheck // a name that encoding/json does not take
}

type Base struct {
	ID     string `json:"id"`
	Shadow int
	Twice  int
}

type Other struct {
	Twice int
	Mine  bool `json:"mine"`
}

type hidden struct{ Seen string }

type Embeds struct {
	Base
	*Other
	hidden
	Line   `json:"line"`
	Shadow string
}

type Color string

func (c Color) MarshalText() ([]byte, error) { return []byte("#" + string(c)), nil }

type Odd struct{ A int }

func (o Odd) MarshalJSON() ([]byte, error) { return []byte(`[1,"two"]`), nil }

type Custom struct {
	Time    time.Time
	TimePtr *time.Time
	Color   Color
	ByColor map[Color]int
	Odd     Odd
	OddPtr  *Odd
	Raw     json.RawMessage
	Number  json.Number
	Big     *big.Int
	Addr    netip.Addr
	Wait    time.Duration
	Error   error
}

type Page[T any] struct {
	Items []T `json:"items"`
	Next  *Page[T]
}

// TestWhatIsWrittenIsValid is the promise of the package.
func TestWhatIsWrittenIsValid(t *testing.T) {
	t.Run("Order", written[Order])
	t.Run("Scalars", written[Scalars])
	t.Run("Holders", written[Holders])
	t.Run("Tree", written[Tree])
	t.Run("Wood", written[Wood])
	t.Run("List", written[List])
	t.Run("Options", written[Options])
	t.Run("Embeds", written[Embeds])
	t.Run("Custom", written[Custom])
	t.Run("Page", written[Page[Order]])
	t.Run("Map", written[map[string][]Line])
	t.Run("Pointer", written[*Order])
	t.Run("string", written[string])
}

func written[T any](t *testing.T) {
	t.Helper()
	s, err := jsonschema.For(reflect.TypeFor[T]())
	require.NoError(t, err)
	compiled := compile(t, s.Text)
	rapid.Check(t, func(t *rapid.T) {
		value := reflect.New(reflect.TypeFor[T]())
		fill(t, value.Elem(), 4)
		if value.Elem().Kind() == reflect.Pointer && value.Elem().IsNil() {
			return // the schema is that of what a pointer leads to
		}
		for _, v := range []any{value.Elem().Interface(), value.Interface()} {
			data, err := json.Marshal(v)
			require.NoError(t, err)
			doc, err := validator.UnmarshalJSON(strings.NewReader(string(data)))
			require.NoError(t, err)
			require.NoError(t, compiled.Validate(doc), "%s\n%s", data, s.Text)
		}
	})
	again, err := jsonschema.For(reflect.TypeFor[T]())
	require.NoError(t, err)
	require.Equal(t, s, again, "the text is the same every time")
	problems, err := compat.CanRead(s, s)
	require.NoError(t, err)
	require.Empty(t, problems)
}

func compile(t *testing.T, text string) *validator.Schema {
	t.Helper()
	doc, err := validator.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	compiler := validator.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource("test:///a", doc))
	compiled, err := compiler.Compile("test:///a")
	require.NoError(t, err)
	return compiled
}

// fill draws a value of any type here.
func fill(t *rapid.T, v reflect.Value, depth int) {
	none := depth == 0 || rapid.IntRange(0, 2).Draw(t, "none") == 0
	switch into := v.Addr().Interface().(type) {
	case *time.Time:
		*into = time.Unix(rapid.Int64Range(-1<<32, 1<<35).Draw(t, "time"), 0).UTC()
		return
	case *json.RawMessage:
		*into = json.RawMessage(rapid.SampledFrom([]string{`null`, `{"a":[1]}`, `"x"`}).Draw(t, "raw"))
		return
	case *json.Number:
		*into = json.Number(rapid.SampledFrom([]string{"", "1", "-2.5e3"}).Draw(t, "number"))
		return
	case *big.Int:
		into.SetInt64(rapid.Int64().Draw(t, "big"))
		return
	case *netip.Addr:
		*into = rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("::1")}).Draw(t, "addr")
		return
	case *Color:
		*into = Color(rapid.StringMatching("[a-z]*").Draw(t, "color"))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "string"))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(rapid.Float32Range(-1e30, 1e30).Draw(t, "float")))
	case reflect.Interface:
		if !none && v.NumMethod() == 0 {
			v.Set(reflect.ValueOf(rapid.SampledFrom([]any{1, "a", []int{1}}).Draw(t, "any")))
		}
	case reflect.Pointer:
		if !none {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if !none {
			v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(0, 2).Draw(t, "length"), 2))
			for i := range v.Len() {
				fill(t, v.Index(i), depth-1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), depth-1)
		}
	case reflect.Map:
		if !none {
			v.Set(reflect.MakeMap(v.Type()))
			for range rapid.IntRange(0, 2).Draw(t, "entries") {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(t, key, depth-1)
				fill(t, value, depth-1)
				v.SetMapIndex(key, value)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Field(i), depth)
			}
		}
	default:
		if v.CanInt() {
			v.SetInt(rapid.Int64().Draw(t, "int"))
		} else {
			v.SetUint(rapid.Uint64().Draw(t, "uint"))
		}
	}
}

type (
	withChannel struct{ Inner struct{ Done chan int } }
	withKeys    struct{ M map[float64]int }
)

func TestWhatJSONHasNoFormForIsNamed(t *testing.T) {
	_, err := jsonschema.For(reflect.TypeFor[withChannel]())
	require.ErrorContains(t, err, "withChannel.Inner.Done is a chan int, which JSON has no form for: tag the field")
	_, err = jsonschema.For(reflect.TypeFor[withKeys]())
	require.ErrorContains(t, err, "withKeys.M is a map[float64]int, whose keys JSON has no form for")
	_, err = jsonschema.For(reflect.TypeFor[func()]())
	require.ErrorContains(t, err, "no form for")
	_, err = jsonschema.For(nil)
	require.ErrorContains(t, err, "hand in one")
}

func TestNames(t *testing.T) {
	s, err := jsonschema.For(reflect.TypeFor[Page[Order]]())
	require.NoError(t, err)
	require.Equal(t, "Page_Order", s.Name)
	require.Contains(t, s.Text, `"$ref":"#"`)

	type Line struct{ Other bool }
	s, err = jsonschema.For(reflect.TypeFor[struct {
		A Order
		B Line
	}]())
	require.NoError(t, err)
	require.Empty(t, s.Name)
	for _, name := range []string{`"Line":{`, `"Order":{`, `"jsonschema_test.Line":{`} {
		require.Contains(t, s.Text, name)
	}
	require.Len(t, compile(t, s.Text).Properties, 2)
}

// TestAFieldMoreIsReadByWhoDoesNotKnowIt ties the derived schemas to the rules of evolution.
func TestAFieldMoreIsReadByWhoDoesNotKnowIt(t *testing.T) {
	type Before struct {
		ID string `json:"id"`
		N  int32  `json:"n"`
	}
	type Optional struct {
		ID   string  `json:"id"`
		N    int64   `json:"n"`
		Note *string `json:"note"`
	}
	type Required struct {
		ID   string `json:"id"`
		N    int32  `json:"n"`
		Note string `json:"note"`
	}
	of := func(t reflect.Type) schema.Schema {
		s, err := jsonschema.For(t)
		if err != nil {
			panic(err)
		}
		return s
	}
	before, optional, required := of(reflect.TypeFor[Before]()), of(reflect.TypeFor[Optional]()), of(reflect.TypeFor[Required]())

	report, err := compat.Backward.Check(optional, before)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	report, err = compat.Forward.Check(optional, before)
	require.NoError(t, err)
	require.ErrorContains(t, report.Err(), "$.n: minimum is -2147483648 in the earlier schema and none in the new schema")
	report, err = compat.Forward.Check(required, before)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	report, err = compat.Backward.Check(required, before)
	require.NoError(t, err)
	require.ErrorContains(t, report.Err(), "property note is required by the new schema")
}
