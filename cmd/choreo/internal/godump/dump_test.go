package godump_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/godump"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
)

func ExampleDump() {
	dir, err := os.MkdirTemp("", "sagas-*")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	saved, err := godump.Dump(context.Background(), "./testdata/good", dir, choreo.JSON)
	if err != nil {
		panic(err)
	}
	for _, s := range saved {
		fmt.Println(s.Saga, s.Variable, filepath.Base(s.File))
	}
	// Output:
	// one/1 One one-1.yaml
	// three/1 Three three-1.yaml
	// two/3 Two two-3.yaml
}

func TestADumpIsTheDefinition(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for", "it")
	before := listing(t, "testdata/good")
	saved, err := godump.Dump(t.Context(), "./testdata/good", dir, choreo.JSON)
	require.NoError(t, err)
	require.Len(t, saved, 3)
	require.Equal(t, before, listing(t, "testdata/good"), "nothing is written into the package")

	two, err := definition.LoadFile(filepath.Join(dir, "two-3.yaml"))
	require.NoError(t, err)
	require.Equal(t, choreo.Avro, two.Definition.EncodingOf(""))
	require.Equal(t, schema.Avro, two.Written("do-it").Schema.Kind)
	one, err := definition.LoadFile(filepath.Join(dir, "one-1.yaml"))
	require.NoError(t, err)
	require.Equal(t, schema.JSONType, one.Written("do-it").Schema.Kind, "what names no encoding has that of the caller")
	require.Contains(t, one.Written("do-it").Schema.Text, "cents")
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWhatCannotBeDumpedSaysWhy(t *testing.T) {
	for _, test := range []struct {
		pattern string
		code    exit.Code
		says    string
	}{
		{"./testdata/hidden", exit.NotFound, "does not export (order): begin their names with a capital letter"},
		{"./testdata/panics", exit.Error, "panics where its variables are made: mend that first"},
		{"./testdata/prints", exit.Error, "let it print to standard error"},
		{"./testdata/program", exit.Usage, "move the definitions to a package of their own"},
		{"./testdata/broken", exit.Error, "undefined: Nothing"},
		{"./testdata/none", exit.Error, "the variable Order is nil"},
		{"./testdata/nowhere", exit.Error, "directory not found"},
		{"../...", exit.Usage, "name one"},
		{"fmt", exit.NotFound, "has no variable of type *choreo.Saga"},
	} {
		t.Run(filepath.Base(test.pattern), func(t *testing.T) {
			_, err := godump.Dump(t.Context(), test.pattern, t.TempDir(), choreo.JSON)
			require.ErrorContains(t, err, test.says)
			require.Equal(t, test.code, exit.Of(err), "%v", err)
		})
	}
}

func TestOutsideOfAModule(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := godump.Dump(t.Context(), ".", t.TempDir(), choreo.JSON)
	require.Error(t, err)
}

func TestADumpThatIsInterruptedSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := godump.Dump(ctx, "./testdata/good", t.TempDir(), choreo.JSON)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTheModuleOfAnotherStaysAsItIs(t *testing.T) {
	root, err := filepath.Abs("../../../..")
	require.NoError(t, err)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	text, err := os.ReadFile("testdata/good/good.go")
	require.NoError(t, err)
	module := fmt.Sprintf("module example.org/shop\n\ngo 1.26.0\n\nrequire github.com/choreo-go/choreo v0.0.0\n\nreplace github.com/choreo-go/choreo => %s\n", filepath.ToSlash(root))
	t.Chdir(t.TempDir())
	t.Setenv("GOWORK", "off")
	require.NoError(t, os.MkdirAll("internal/contract", 0o755))
	files := map[string][]byte{"go.mod": []byte(module), "go.sum": sums, "internal/contract/good.go": text}
	for name, data := range files {
		require.NoError(t, os.WriteFile(name, data, 0o644))
	}
	saved, err := godump.Dump(t.Context(), "./internal/contract", "sagas", choreo.Avro)
	require.NoError(t, err)
	require.Len(t, saved, 3)
	for name, data := range files {
		now, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, string(data), string(now), name)
	}
	require.Equal(t, []string{"good.go"}, listing(t, "internal/contract"))
}
