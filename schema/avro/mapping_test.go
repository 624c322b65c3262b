package avro_test

import (
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
)

type Color string

func (Color) AvroSymbols() []string { return []string{"RED", "GREEN", "UNKNOWN"} }
func (Color) AvroDefault() string   { return "UNKNOWN" }

type Digest [4]byte

type Base struct {
	Trace string `json:"trace"`
}

type Tree struct {
	Value int32            `json:"value"`
	Left  *Tree            `json:"left"`
	Kids  []Tree           `json:"kids"`
	Named map[string]*Tree `json:"named"`
}

type Page[T any] struct {
	Items []T `avro:"items"`
}

type Everything struct {
	Base
	Bool      bool             `avro:"bool"`
	Int8      int8             `avro:"int8"`
	Int16     int16            `avro:"int16"`
	Int32     int32            `avro:"int32"`
	Int64     int64            `avro:"int64"`
	Int       int              `avro:"int_"`
	Uint8     uint8            `avro:"uint8"`
	Uint16    uint16           `avro:"uint16"`
	Uint32    uint32           `avro:"uint32"`
	Uint64    uint64           `avro:"uint64"`
	Float32   float32          `avro:"float32"`
	Float64   float64          `avro:"float64"`
	String    string           `avro:"string_"`
	Bytes     []byte           `avro:"bytes_"`
	Fixed     Digest           `avro:"fixed_"`
	Anonymous [3]byte          `avro:"anonymous"`
	Enum      Color            `avro:"enum_"`
	Size      string           `avro:"size,enum=S|M|L"`
	List      []string         `avro:"list"`
	Pair      [2]int64         `avro:"pair"`
	Map       map[string]int64 `avro:"map_"`
	Sub       Item             `avro:"sub"`
	Again     Item             `avro:"again"`
	Maybe     *Item            `avro:"maybe"`
	Maybes    []*string        `avro:"maybes"`
	Tree      Tree             `avro:"tree"`
	At        time.Time        `avro:"at"`
	Millis    time.Time        `avro:"millis,timestamp-millis"`
	Nanos     time.Time        `avro:"nanos,timestamp-nanos"`
	Local     time.Time        `avro:"local,local-timestamp-micros"`
	Day       time.Time        `avro:"day,date"`
	Took      time.Duration    `avro:"took"`
	Clock     time.Duration    `avro:"clock,time-millis"`
	Clock2    time.Duration    `avro:"clock2,time-micros"`
	Price     *big.Rat         `avro:"price,decimal=12.2"`
	Discount  *big.Rat         `avro:"discount,decimal=12.2,optional"`
	Exact     big.Rat          `avro:"exact,decimal=5"`
	ID        uuid.UUID        `avro:"id"`
	ID2       [16]byte         `avro:"id2,uuid"`
	ID3       uuid.UUID        `avro:"id3,uuid=fixed"`
	ID4       string           `avro:"id4,uuid"`
	Addr      netip.Addr       `avro:"addr"`
	Nothing   struct{}         `avro:"nothing"`
	Inline    struct{ A int32 }
	Page      Page[Item] `avro:"page"`
	Labels    []string   `avro:"labels,optional"`
	Skipped   chan int   `avro:"-"`
	hidden    int
}

func everything() Everything {
	text := "x"
	id := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	return Everything{
		Base: Base{"t"}, Bool: true, Int8: math.MinInt8, Int16: math.MinInt16, Int32: math.MinInt32, Int64: math.MinInt64,
		Int: -1, Uint8: math.MaxUint8, Uint16: math.MaxUint16, Uint32: math.MaxUint32, Uint64: math.MaxInt64,
		Float32: 1.5, Float64: math.Inf(-1), String: "żółć", Bytes: []byte{0, 255}, Fixed: Digest{1, 2, 3, 4},
		Anonymous: [3]byte{9, 8, 7}, Enum: "GREEN", Size: "M", List: []string{"a", ""}, Pair: [2]int64{1, 2},
		Map: map[string]int64{"a": 1, "": 2}, Sub: Item{"pen", 1}, Again: Item{"ink", 2}, Maybe: &Item{"cap", 3},
		Maybes: []*string{nil, &text},
		Tree: Tree{Value: 1, Left: &Tree{Value: 2, Kids: []Tree{}, Named: map[string]*Tree{}}, Kids: []Tree{{Value: 3, Kids: []Tree{}, Named: map[string]*Tree{}}},
			Named: map[string]*Tree{"n": nil}},
		At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Millis: time.Date(1901, 1, 2, 3, 4, 5, 6_000_000, time.UTC),
		Nanos: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Local: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Day: time.Date(1960, 2, 29, 0, 0, 0, 0, time.UTC), Took: -time.Hour, Clock: 23*time.Hour + time.Millisecond, Clock2: time.Microsecond,
		Price: big.NewRat(-12345, 100), Exact: *big.NewRat(7, 1), ID: id, ID2: id, ID3: id, ID4: id.String(),
		Addr: netip.MustParseAddr("10.0.0.1"), Inline: struct{ A int32 }{5}, Page: Page[Item]{[]Item{{"p", 1}}},
		Labels: []string{},
	}
}

func TestEveryGoTypeComesBack(t *testing.T) {
	in := everything()
	in.hidden = 1
	out := roundTrip(t, in)
	in.hidden = 0
	require.Equal(t, in, out)

	// As a pointer, too, and over what stands there already.
	again := roundTrip(t, &in)
	require.Equal(t, &in, again)

	// The zero value, whose nil slices and maps are empty ones once read.
	zero := Everything{Enum: "RED", Size: "S", Price: new(big.Rat), ID4: uuid.Nil.String(), At: time.Time{}, Nanos: time.Unix(0, 0)}
	got := roundTrip(t, zero)
	require.Equal(t, []string{}, got.List)
	require.Equal(t, map[string]int64{}, got.Map)
	require.Equal(t, []byte{}, got.Bytes)
	require.Nil(t, got.Labels, "an optional nil stays nil")
	require.Nil(t, got.Discount)
	require.Nil(t, got.Maybe)
	require.True(t, got.At.IsZero())
}

func TestPayloadsThatAreNoRecords(t *testing.T) {
	require.Equal(t, "text", roundTrip(t, "text"))
	require.Equal(t, 7, roundTrip(t, 7))
	require.Equal(t, uint64(7), roundTrip(t, uint64(7)))
	require.Equal(t, []byte{1}, roundTrip(t, []byte{1}))
	require.Equal(t, []Item{{"a", 1}}, roundTrip(t, []Item{{"a", 1}}))
	require.Equal(t, map[string]Item{"k": {"a", 1}}, roundTrip(t, map[string]Item{"k": {"a", 1}}))
	require.Equal(t, []*Item{nil, {"a", 1}}, roundTrip(t, []*Item{nil, {"a", 1}}))
	require.Equal(t, struct{}{}, roundTrip(t, struct{}{}))
	require.Equal(t, Color("RED"), roundTrip(t, Color("RED")))
	require.Equal(t, Digest{1}, roundTrip(t, Digest{1}))
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	require.Equal(t, at, roundTrip(t, at))

	c := prepared(t, nil, reflect.TypeFor[struct{}]())
	data, err := c.Encode(struct{}{})
	require.NoError(t, err)
	require.Len(t, data, 5, "the id alone")
}

func TestTimesOfAZone(t *testing.T) {
	type Times struct {
		Day   time.Time `avro:"day,date"`
		Local time.Time `avro:"local,local-timestamp-millis"`
		At    time.Time `avro:"at,timestamp-millis"`
	}
	zone := time.FixedZone("", 3*3600)
	for year := 1958; year < 2030; year += 8 {
		at := time.Date(year, 2, 28, 1, 2, 3, 999_999_999, zone) // the day before, in UTC
		require.Equal(t, Times{
			Day: time.Date(year, 2, 28, 0, 0, 0, 0, time.UTC), Local: time.Date(year, 2, 28, 1, 2, 3, 999_000_000, time.UTC),
			At: time.Date(year, 2, 27, 22, 2, 3, 999_000_000, time.UTC),
		}, roundTrip(t, Times{at, at, at}))
	}
}

type hidden struct {
	Seen string `avro:"seen"`
}

func TestEmbeddedStructs(t *testing.T) {
	type Inner struct {
		A string `avro:"a"`
		B string `avro:"b"`
	}
	type Outer struct {
		hidden
		Inner
		Named Inner `avro:"named"`
		B     int64 `avro:"b"`
	}
	in := Outer{hidden{"s"}, Inner{A: "1"}, Inner{"2", "3"}, 4}
	require.Equal(t, in, roundTrip(t, in))
	s, err := newCodec(t, newRegistry(schema.Confluent), nil).Schema(reflect.TypeFor[Outer]())
	require.NoError(t, err)
	require.Contains(t, s.Text, `"fields":[{"name":"seen","type":"string"},{"name":"a","type":"string"},{"name":"b","type":"long"},{"name":"named"`)
}

func TestDerivedSchemas(t *testing.T) {
	type Renamed struct {
		_     struct{} `avro:"com.acme.Order,alias=Bestellung|com.old.Order"`
		ID    string   `json:"id" avro:",alias=key|nr"`
		Count int      `avro:"count,default=1"`
		Text  string   `avro:"text,default=a,b"`
		Opt   *string  `avro:"opt,default=x"`
		Empty *int64   `avro:"empty,default=null"`
		Size  string   `avro:"size,enum=S|M,enum-default=M,default=S"`
		Price *big.Rat `avro:"price,decimal=4.2,default=-1.28"`
		Tags  []string `avro:"tags,default=[]"`
	}
	for _, test := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[Renamed](), `{"type":"record","name":"Order","namespace":"com.acme","aliases":["Bestellung","com.old.Order"],"fields":[` +
			`{"name":"id","aliases":["key","nr"],"type":"string"},` +
			`{"name":"count","type":"long","default":1},` +
			`{"name":"text","type":"string","default":"a,b"},` +
			`{"name":"opt","type":["string","null"],"default":"x"},` +
			`{"name":"empty","type":["null","long"],"default":null},` +
			`{"name":"size","type":{"type":"enum","name":"Order_size","namespace":"com.acme","symbols":["S","M"],"default":"M"},"default":"S"},` +
			`{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},"default":"` + "\u0080" + `"},` +
			`{"name":"tags","type":{"type":"array","items":"string"},"default":[]}]}`},
		{reflect.TypeFor[struct{}](), `{"type":"record","name":"Empty","fields":[]}`},
		{reflect.TypeFor[Tree](), `{"type":"record","name":"Tree","namespace":"avro_test","fields":[{"name":"value","type":"int"},` +
			`{"name":"left","type":["null","avro_test.Tree"],"default":null},{"name":"kids","type":{"type":"array","items":"avro_test.Tree"}},` +
			`{"name":"named","type":{"type":"map","values":["null","avro_test.Tree"]}}]}`},
		{reflect.TypeFor[Page[Item]](), `{"type":"record","name":"Page_Item","namespace":"avro_test","fields":[{"name":"items","type":{"type":"array",` +
			`"items":{"type":"record","name":"Item","namespace":"avro_test","fields":[{"name":"sku","type":"string"},{"name":"quantity","type":"long"}]}}}]}`},
		{reflect.TypeFor[*Color](), `{"type":"enum","name":"Color","namespace":"avro_test","symbols":["RED","GREEN","UNKNOWN"],"default":"UNKNOWN"}`},
	} {
		c := newCodec(t, newRegistry(schema.Confluent), nil)
		s, err := c.Schema(test.typ)
		require.NoError(t, err)
		require.Equal(t, test.want, s.Text)
		require.Equal(t, schema.Avro, s.Kind)
	}
	c := newCodec(t, newRegistry(schema.Confluent), &avro.Config{Namespace: "shop.events"})
	s, err := c.Schema(reflect.TypeFor[Item]())
	require.NoError(t, err)
	require.Equal(t, "shop.events.Item", s.Name)
}

func TestWhatHasNoSchema(t *testing.T) {
	type secret struct{ a int }
	type Twice struct {
		A string `avro:"x"`
		B string `avro:"x"`
	}
	type Embedded struct{ *Base }
	type Item struct{ Other string }
	type TwoItems struct {
		A Item
		B Page[OrderCreated]
	}
	for _, test := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[struct{ A chan int }](), "define it as a type of its own"},
		{reflect.TypeFor[chan int](), "chan int cannot be written in Avro"},
		{reflect.TypeFor[func()](), "cannot be written"},
		{reflect.TypeFor[complex64](), "cannot be written"},
		{reflect.TypeFor[uintptr](), "cannot be written"},
		{reflect.TypeFor[any](), "says nothing of what it holds"},
		{reflect.TypeFor[map[int]string](), "no plain strings"},
		{reflect.TypeFor[secret](), "no exported field"},
		{reflect.TypeFor[Twice](), "B: is named x, as A is"},
		{reflect.TypeFor[Embedded](), "Base: an embedded pointer has no place for nil"},
		{reflect.TypeFor[big.Rat](), "needs its digits"},
		{reflect.TypeFor[TwoItems](), "B.Items[].Items[]: avro_test.Item and avro_test.Item would both be named avro_test.Item"},
		{reflect.TypeFor[[3]byte](), "has no name"},
		{reflect.TypeFor[func(x **string)](), "cannot be written"},
		{reflect.TypeFor[[]**string](), "pointer to a pointer"},
	} {
		c := newCodec(t, newRegistry(schema.Confluent), nil)
		_, err := c.Schema(test.typ)
		require.ErrorContains(t, err, "avro: schema of", test.typ)
		require.ErrorContains(t, err, test.want, test.typ)
	}
	_, err := newCodec(t, newRegistry(schema.Confluent), nil).Schema(nil)
	require.ErrorContains(t, err, "nil has no type")
	_ = secret{}.a
}

func TestFaultyTagsAreAllNamed(t *testing.T) {
	type Faulty struct {
		A string   `avro:"a-b"`
		B int      `avro:"b,date"`
		C string   `avro:"c,nonsense"`
		D *big.Rat `avro:"d,decimal=2.5"`
	}
	_, err := newCodec(t, newRegistry(schema.Confluent), nil).Schema(reflect.TypeFor[Faulty]())
	require.ErrorContains(t, err, `C: tag has the unknown option "nonsense"`)
	require.ErrorContains(t, err, "D: tag has decimal=2.5")

	type Faulty2 struct {
		A string   `avro:"a-b"`
		B int      `avro:"b,date"`
		C *big.Rat `avro:"c,decimal=4.2,default=1.234"`
		D int      `avro:"d,default=x"`
		E int      `avro:"e,optional"`
	}
	_, err = newCodec(t, newRegistry(schema.Confluent), nil).Schema(reflect.TypeFor[Faulty2]())
	require.ErrorContains(t, err, `A: "a-b" is no name`)
	require.ErrorContains(t, err, "B: tag says date, which int cannot be")
	require.ErrorContains(t, err, "C: default: 617/500 has more than 2 digits")
	require.ErrorContains(t, err, `D: default "x" is no JSON`)
	require.ErrorContains(t, err, "E: tag says optional")

	type BadDefault struct {
		A int32 `avro:"a,default=4294967296"`
	}
	_, err = newCodec(t, newRegistry(schema.Confluent), nil).Schema(reflect.TypeFor[BadDefault]())
	require.ErrorContains(t, err, "schema is not valid")
}

func TestValuesThatDoNotFit(t *testing.T) {
	loop := &Tree{}
	loop.Left = loop
	for _, test := range []struct {
		break_ func(*Everything)
		want   string
	}{
		{func(e *Everything) { e.Uint64 = math.MaxUint64 }, "uint64: 18446744073709551615 does not fit a long"},
		{func(e *Everything) { e.String = "\xff" }, "string_: a string is not valid UTF-8"},
		{func(e *Everything) { e.Map = map[string]int64{"\xff": 1} }, "map_[0]: a string is not valid UTF-8"},
		{func(e *Everything) { e.Enum = "BLUE" }, `enum_: "BLUE" is no symbol of enum avro_test.Color, which has RED, GREEN, UNKNOWN`},
		{func(e *Everything) { e.Price = nil }, "price: is nil, where the schema has bytes (decimal, precision 12, scale 2)"},
		{func(e *Everything) { e.Price = big.NewRat(1, 3) }, "price: 1/3 has more than 2 digits after the point"},
		{func(e *Everything) { e.Price = big.NewRat(10_000_000_000, 1) }, "price: 10000000000.00 has more than 12 digits"},
		{func(e *Everything) { e.ID4 = "no" }, "id4: invalid UUID"},
		{func(e *Everything) { e.Nanos = time.Time{} }, "nanos: the year 1 is out of the range of timestamp-nanos"},
		{func(e *Everything) { e.At = time.Date(400_000, 1, 1, 0, 0, 0, 0, time.UTC) }, "at: the year 400000 is out of the range"},
		{func(e *Everything) { e.Clock = 24 * time.Hour }, "clock: 24h0m0s is no time of day"},
		{func(e *Everything) { e.Clock2 = -1 }, "clock2: -1ns is no time of day"},
		{func(e *Everything) { e.Tree.Left = loop }, "nests deeper than 64"},
	} {
		in := everything()
		test.break_(&in)
		c := prepared(t, nil, reflect.TypeFor[Everything]())
		_, err := c.Encode(in)
		require.ErrorContains(t, err, "avro: encode avro_test.Everything")
		require.ErrorContains(t, err, test.want)
	}
	c := prepared(t, nil, reflect.TypeFor[[]struct{}](), reflect.TypeFor[Item]())
	_, err := c.Encode(make([]struct{}, 1<<16))
	require.NoError(t, err)
	_, err = c.Encode(make([]struct{}, 1<<16+1))
	require.ErrorContains(t, err, "values that take no bytes")
	_, err = c.Encode(nil)
	require.ErrorContains(t, err, "encode nil")
	_, err = c.Encode((*Item)(nil))
	require.ErrorContains(t, err, "is nil")
}
