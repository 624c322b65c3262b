package avro_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
)

// long is a number as Avro has it.
func long(n int64) string { return string(binary.AppendVarint(nil, n)) }

// decodeBody reads a body that was written by the schema into an interface.
func decodeBody(t testing.TB, text, body string, config *avro.Config) (any, error) {
	t.Helper()
	r := newRegistry(schema.Confluent)
	id, err := r.Register(context.Background(), "s", schema.Schema{Kind: schema.Avro, Text: text})
	require.NoError(t, err)
	var out any
	err = newCodec(t, r, config).Decode(append(id.Append(nil), body...), &out)
	return out, err
}

const (
	listOfNulls   = `{"type":"array","items":"null"}`
	listOfEmpties = `{"type":"array","items":{"type":"record","name":"E","fields":[]}}`
	listOfInts    = `{"type":"array","items":"int"}`
	mapOfInts     = `{"type":"map","values":"int"}`
	recursive     = `{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}`
	endless       = `{"type":"record","name":"R","fields":[{"name":"next","type":"R"}]}`
	recursiveList = `{"type":"record","name":"R","fields":[{"name":"kids","type":{"type":"array","items":"R"}}]}`
)

func TestHostileBodies(t *testing.T) {
	for _, test := range []struct{ name, schema, body, want string }{
		{"nothing", `"int"`, "", "the payload ends after 0 bytes, where 1 more are wanted"},
		{"half a number", `"long"`, "\x80", "the payload ends after 1 bytes"},
		{"a number without end", `"long"`, strings.Repeat("\x80", 11), "longer than 64 bits"},
		{"a number of 65 bits", `"long"`, strings.Repeat("\xff", 9) + "\x02", "longer than 64 bits"},
		{"a long for an int", `"int"`, long(math.MaxInt32 + 1), "2147483648 is no 32-bit int"},
		{"no boolean", `"boolean"`, "\x02", "a boolean is 2, not 0 or 1"},
		{"half a double", `"double"`, "1234", "the payload ends after 4 bytes, where 4 more are wanted"},
		{"half a float", `"float"`, "123", "where 1 more are wanted"},
		{"half a fixed", `{"type":"fixed","name":"F","size":4}`, "12", "where 2 more are wanted"},
		{"a negative length", `"bytes"`, long(-1), "a length is -1"},
		{"a huge length", `"string"`, long(math.MaxInt64), "where 9223372036854775807 more are wanted"},
		{"no UTF-8", `"string"`, long(2) + "a\xff", "a string is not valid UTF-8"},
		{"no UTF-8 in a key", mapOfInts, long(1) + long(1) + "\xff" + long(1) + long(0), "[0]: a string is not valid UTF-8"},
		{"an unknown branch", `["null","int"]`, long(2), "index 2, where there are 2 branches"},
		{"a negative branch", `["null","int"]`, long(-1), "index -1, where there are 2 branches"},
		{"an unknown symbol", `{"type":"enum","name":"E","symbols":["A"]}`, long(1), "index 1, where there are 1 symbols"},
		{"bytes behind", `"int"`, long(1) + "x", "1 bytes follow after the value"},
		{"a huge block", listOfInts, long(math.MaxInt64), "a block counts 9223372036854775807 items"},
		{"more items than bytes", listOfInts, long(70_000) + long(1), "a block counts 70000 items, where there are bytes for"},
		{"the least count", listOfInts, long(math.MinInt64) + long(1), "a block counts -9223372036854775808 items"},
		{"a negative block size", listOfInts, long(-1) + long(-1), "a block claims -1 bytes"},
		{"a huge block size", listOfInts, long(-1) + long(math.MaxInt64), "a block claims 9223372036854775807 bytes, where 0 are left"},
		{"a block size too small", listOfInts, long(-1) + long(1) + long(1000) + long(0), "a block is 1 bytes longer than it claims"},
		{"a huge negative block", mapOfInts, long(-1<<62) + long(0), "items, where there are bytes for"},
		{"2^62 nulls", listOfNulls, long(1<<62) + long(0), "a block counts 4611686018427387904 items"},
		{"many blocks of nulls", listOfNulls, strings.Repeat(long(60_000), 1000) + long(0), "a block counts 60000 items, where there are bytes for 8531"},
		{"2^62 empty records", listOfEmpties, long(1<<62) + long(0), "a block counts 4611686018427387904 items"},
		{"many empty records", listOfEmpties, strings.Repeat(long(60_000), 2) + long(0), "a block counts 60000 items"},
		{"records of nulls", `{"type":"array","items":{"type":"record","name":"E","fields":[{"name":"a","type":"null"},{"name":"b","type":"null"}]}}`,
			long(60_000) + long(0), "more than 65536 values that take no bytes: send their number"},
		{"a key twice", mapOfInts, long(2) + long(1) + "k" + long(1) + long(1) + "k" + long(2) + long(0), "duplicate key"},
		{"a deep list", recursiveList, strings.Repeat(long(1), 1_000_000), "nests deeper than 64"},
		{"a deep record", recursive, strings.Repeat(long(1), 1_000_000), "nests deeper than 64"},
		{"a record without end", endless, "", "nests deeper than 64"},
		{"in a field", `{"type":"record","name":"A","fields":[{"name":"b","type":` + mapOfInts + `}]}`, long(1) + long(1) + "k", "b[0]: the payload ends"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := decodeBody(t, test.schema, test.body, nil)
			require.ErrorContains(t, err, test.want)
			require.Less(t, len(err.Error()), 500)
		})
	}
}

func TestBlocksWithTheirSizeAndSeveralOfThem(t *testing.T) {
	out, err := decodeBody(t, listOfInts, long(-2)+long(3)+long(100)+long(1)+long(1)+long(7)+long(0), nil)
	require.NoError(t, err)
	require.Equal(t, []any{int32(100), int32(1), int32(7)}, out)
	out, err = decodeBody(t, listOfNulls, long(3)+long(0), nil)
	require.NoError(t, err)
	require.Equal(t, []any{nil, nil, nil}, out)
	out, err = decodeBody(t, `"long"`, "\x80\x80\x00", nil)
	require.NoError(t, err, "a number may be longer than it has to be")
	require.Equal(t, int64(0), out)
}

func TestDepthIsBounded(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(long(1), n-1) + long(0) }
	for _, depth := range []int{1, 5, 1000} {
		_, err := decodeBody(t, recursive, nested(depth), &avro.Config{MaxDepth: depth})
		require.NoError(t, err)
		_, err = decodeBody(t, recursive, nested(depth+1), &avro.Config{MaxDepth: depth})
		require.ErrorContains(t, err, fmt.Sprintf("nests deeper than %d: raise Config.MaxDepth", depth))
	}
}

// maxFree is how many values that take no bytes a payload may hold.
const maxFree = 1 << 16

// What a payload takes in memory is bounded by its own length and what it may hold for free.
func TestMemoryIsBoundedByTheInput(t *testing.T) {
	const most = 1000 // bytes of memory for each of the payload; two maps for each of them are the worst
	const mostFree = 1000 * maxFree
	for name, test := range map[string]struct {
		schema, body string
		free         int
	}{
		"claims":          {listOfInts, long(1<<15) + strings.Repeat("\x00", 1<<10), 0},
		"small records":   {`{"type":"array","items":{"type":"record","name":"E","fields":[{"name":"a","type":"boolean"}]}}`, long(1<<16) + strings.Repeat("\x00", 1<<16) + long(0), 0},
		"lists in a list": {`{"type":"array","items":{"type":"array","items":"int"}}`, long(1<<16) + strings.Repeat("\x00", 1<<16) + long(0), 0},
		"free records":    {listOfEmpties, long(maxFree) + long(0), mostFree},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = decodeBody(t, test.schema, test.body, nil)
			runtime.ReadMemStats(&after)
			used := after.TotalAlloc - before.TotalAlloc
			require.Less(t, used, uint64(most*len(test.body)+test.free+1<<20), used)
		})
	}
}

func TestHostileSchemas(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 100_000) + `"int"` + strings.Repeat("}", 100_000)
	double := `"int"`
	for i := range 60 { // 2^60 fields without one byte
		double = fmt.Sprintf(`{"type":"record","name":"D%d","fields":[{"name":"a","type":%s},{"name":"b","type":"D%d"}]}`, i, double, i-1)
		if i == 0 {
			double = `{"type":"record","name":"D0","fields":[{"name":"a","type":"null"}]}`
		}
	}
	for name, text := range map[string]string{
		"deep": deep, "huge": strings.Repeat(" ", 2<<20), "wide decimal": `{"type":"bytes","logicalType":"decimal","precision":2000000000,"scale":2000000000}`,
		"doubling": double, "a default of itself": `{"type":"record","name":"R","fields":[{"name":"a","type":"R","default":{}}]}`,
		"huge fixed": `{"type":"fixed","name":"F","size":9223372036854775807}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeBody(t, text, "\x02\x01", nil)
			if name != "wide decimal" {
				require.Error(t, err)
			}
		})
	}
}

// Binary is a tree: what does not fit at the bottom of a writer's is found on every way down.
type Binary struct {
	_     struct{} `avro:"Tree"`
	Left  *Binary  `avro:"left"`
	Right *Binary  `avro:"right"`
}

func TestFaultsDoNotDouble(t *testing.T) {
	text := `"int"`
	for i := range 40 {
		other := fmt.Sprintf(`"n%d.Tree"`, i-1)
		if i == 0 {
			other = `"string"`
		}
		text = fmt.Sprintf(`{"type":"record","name":"n%d.Tree","fields":[{"name":"left","type":%s},{"name":"right","type":%s}]}`, i, text, other)
	}
	r := newRegistry(schema.Confluent)
	id, err := r.Register(context.Background(), "s", schema.Schema{Kind: schema.Avro, Text: text})
	require.NoError(t, err)
	var out Binary
	err = newCodec(t, r, nil).Decode(id.Append(nil), &out)
	require.ErrorContains(t, err, "was written as int, which fits no branch of union of null, record avro_test.Tree")
	require.Less(t, len(err.Error()), 10_000)
	require.Equal(t, 20, strings.Count(err.Error(), "was written as"))
}

var fuzzed = []string{
	`"string"`, `"int"`, `["null","int","string"]`, listOfNulls, listOfEmpties, listOfInts, mapOfInts, recursive, recursiveList,
	`{"type":"array","items":{"type":"map","values":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}]}}`,
	`{"type":"record","name":"T","fields":[{"name":"t","type":{"type":"long","logicalType":"timestamp-nanos"}},
		{"name":"d","type":{"type":"int","logicalType":"date"}},{"name":"m","type":{"type":"int","logicalType":"time-millis"}},
		{"name":"u","type":{"type":"string","logicalType":"uuid"}},{"name":"f","type":{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}},
		{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"b","type":"boolean"},{"name":"x","type":"double"}]}`,
}

func FuzzDecode(f *testing.F) {
	for i := range fuzzed {
		f.Add(byte(i), []byte(long(1)+long(1)+"k"+long(0)))
		f.Add(byte(i), []byte(long(-1)+long(1)+long(1)+long(0)))
	}
	r := newRegistry(schema.Confluent)
	ids := make([]schema.ID, len(fuzzed))
	for i, text := range fuzzed {
		var err error
		ids[i], err = r.Register(context.Background(), "s", schema.Schema{Kind: schema.Avro, Text: text})
		require.NoError(f, err)
	}
	c := newCodec(f, r, nil)
	require.NoError(f, c.Prepare(context.Background(), "t", []reflect.Type{reflect.TypeFor[Everything]()}))
	sample, err := c.Encode(everything())
	require.NoError(f, err)
	f.Add(byte(len(fuzzed)), sample[5:])
	everythingID, _, err := schema.ParseID(sample)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		if int(which) >= len(ids) {
			var out Everything
			if c.Decode(append(everythingID.Append(nil), body...), &out) == nil {
				data, err := c.Encode(out)
				require.NoError(t, err, "what was read can be written")
				var again Everything
				require.NoError(t, c.Decode(data, &again))
			}
			return
		}
		var out any
		_ = c.Decode(append(ids[which].Append(nil), body...), &out)
		_ = c.Decode(body, &out)
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("id", int64(1), []byte("raw"), 1.5, int32(3), true)
	type Payload struct {
		ID    string            `avro:"id"`
		Count int64             `avro:"count"`
		Raw   []byte            `avro:"raw"`
		Share float64           `avro:"share"`
		List  []*int32          `avro:"list"`
		Map   map[string]string `avro:"map"`
		Flag  bool              `avro:"flag"`
	}
	c := prepared(f, nil, reflect.TypeFor[Payload]())
	f.Fuzz(func(t *testing.T, id string, count int64, raw []byte, share float64, n int32, flag bool) {
		in := Payload{ID: id, Count: count, Raw: append([]byte{}, raw...), Share: share, List: []*int32{nil, &n}, Map: map[string]string{id: "x"}, Flag: flag}
		data, err := c.Encode(in)
		if err != nil {
			require.ErrorContains(t, err, "not valid UTF-8")
			return
		}
		var out Payload
		require.NoError(t, c.Decode(data, &out))
		if math.IsNaN(share) {
			in.Share, out.Share = 0, 0
		}
		require.Equal(t, in, out)
	})
}
