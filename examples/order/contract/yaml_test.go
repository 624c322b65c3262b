package contract_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	"github.com/choreo-go/choreo/schema/registry/memory"
)

var rewrite = flag.Bool("rewrite", false, "write the YAML files and their schemas anew from the Go definitions")

// The definitions as YAML, for services in other languages, are what the Go code says.
func TestTheFilesAreTheGoDefinitions(t *testing.T) {
	registry, err := memory.New(nil)
	require.NoError(t, err)
	codec, err := avro.New(registry, nil)
	require.NoError(t, err)
	dir := t.TempDir()
	if *rewrite {
		dir = "yaml"
	}
	for _, saga := range contract.Versions {
		inGo, err := definition.FromGo(saga, map[choreo.MediaType]schema.Describer{choreo.Avro: codec})
		require.NoError(t, err)
		path, err := inGo.Save(dir)
		require.NoError(t, err)
		file, err := definition.LoadFile(filepath.Join("yaml", filepath.Base(path)))
		require.NoError(t, err)
		require.Equal(t, definition.Fingerprint(saga.Definition), definition.Fingerprint(file.Definition))
		require.Empty(t, definition.Diff(inGo, file))
	}
	requireSameFiles(t, dir, "yaml")
}

func requireSameFiles(t *testing.T, want, got string) {
	t.Helper()
	names := func(dir string) (names []string) {
		require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				name, _ := filepath.Rel(dir, path)
				names = append(names, name)
			}
			return err
		}))
		return names
	}
	require.Equal(t, names(want), names(got))
	for _, name := range names(want) {
		wanted, err := os.ReadFile(filepath.Join(want, name))
		require.NoError(t, err)
		there, err := os.ReadFile(filepath.Join(got, name))
		require.NoError(t, err)
		require.Equal(t, string(wanted), string(there), "%s: run this test with -rewrite", name)
	}
}

func TestTheLinterHasNothingAgainstTheFiles(t *testing.T) {
	found, err := definition.LintFiles([]string{"yaml/order-1.yaml", "yaml/order-2.yaml"}, &definition.LintConfig{Services: contract.OrderV2.Services()})
	require.NoError(t, err)
	for _, f := range found {
		require.NotEqual(t, definition.Error, f.Severity, f.String())
		t.Log(f)
	}
}
