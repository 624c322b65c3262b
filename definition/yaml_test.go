package definition_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/definition"
)

var rewrite = flag.Bool("rewrite", false, "write what the cases in testdata give into them")

func TestCanonicalFilesFormatToThemselves(t *testing.T) {
	files, err := filepath.Glob("testdata/valid/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			d, err := definition.LoadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(data), string(definition.Format(d)))
		})
	}
}

func TestEveryDefinitionSurvivesItsFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDocument(t)
		text := definition.Format(d)
		again, err := definition.Parse("a.yaml", text)
		require.NoError(t, err, string(text))
		require.Equal(t, d.Definition.Spec(), again.Definition.Spec(), string(text))
		require.Equal(t, d.Views, again.Views)
		require.Equal(t, string(text), string(definition.Format(again)))
		require.Equal(t, definition.Fingerprint(d.Definition), definition.Fingerprint(again.Definition))
	})
}
