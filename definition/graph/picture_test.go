package graph

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write the pictures in testdata anew")

// golden compares a picture with the file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "look at the new picture, then run with -rewrite")
}

func TestPictures(t *testing.T) {
	for name, def := range fixtures() {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".svg", SVG(def, Options{}))
			golden(t, name+".mmd", []byte(Mermaid(def, Options{})))
			golden(t, name+".dot", []byte(DOT(def, Options{})))
		})
	}
}
