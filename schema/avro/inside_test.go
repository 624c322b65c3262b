package avro

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// The maps of records are used again, and hold on to nothing meanwhile.
func TestMapsAreGivenBackEmpty(t *testing.T) {
	type R struct {
		A string `avro:"a"`
	}
	root, err := parse(schemaOf(`{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}`))
	require.NoError(t, err)
	encode, found := newEncoders(&dynamicEncoders{}).compile(root, typeOf[R]())
	require.NoError(t, found.err())
	w := &writing{maxDepth: DefaultMaxDepth}
	native, found := encode(w, reflect.ValueOf(R{"secret"}))
	require.NoError(t, found.err())
	require.Equal(t, map[string]any{"a": "secret"}, native)
	require.Len(t, w.used, 1)
	w.release()
	require.Empty(t, native)
	require.Empty(t, w.used)
}

func TestNamesMatchAsTheSpecificationSays(t *testing.T) {
	fixed := func(name string, size int, aliases ...string) *typ {
		return &typ{kind: kindFixed, name: name, size: size, aliases: aliases}
	}
	for _, test := range []struct {
		writer, reader *typ
		match          bool
	}{
		{fixed("a.F", 1), fixed("a.F", 1), true},
		{fixed("a.F", 1), fixed("b.F", 1), true},
		{fixed("a.F", 1), fixed("G", 1), false},
		{fixed("a.F", 1), fixed("G", 1, "F"), true},
		{fixed("a.F", 1), fixed("G", 1, "a.F"), true},
		{fixed("a.F", 1), fixed("G", 1, "b.F"), false},
		{fixed("a.F", 1), fixed("a.F", 2), false},
	} {
		require.Equal(t, test.match, mismatch(test.writer, test.reader) == nil, "%v %v", test.writer, test.reader.aliases)
		union := &typ{kind: kindUnion, branches: []*typ{{kind: kindNull}, test.reader}}
		require.Equal(t, test.match, branchFor(test.writer, union) != nil, "%v %v", test.writer, test.reader.aliases)
	}
	union := &typ{kind: kindUnion, branches: []*typ{fixed("x.F", 2), fixed("y.F", 1), fixed("a.F", 1)}}
	require.Equal(t, "a.F", branchFor(fixed("a.F", 1), union).name, "the full name goes first")
	require.Equal(t, "y.F", branchFor(fixed("b.F", 1), union).name, "then the first of the size")
}
