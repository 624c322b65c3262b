package models_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/models"
	"github.com/choreo-go/choreo/tracker"
)

func none(string) string { return "" }

func ExampleOpen() {
	model, err := models.Open(context.Background(), "memory", 0, none)
	if err != nil {
		panic(err)
	}
	page, err := model.List(context.Background(), tracker.Query{})
	fmt.Println(len(page.Sagas), err, model.Close())
	// Output: 0 <nil> <nil>
}

func TestAFileIsMadeAndMigrated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.db")
	for range 2 {
		model, err := models.Open(t.Context(), "sqlite:"+file, 0, none)
		require.NoError(t, err)
		_, err = model.List(t.Context(), tracker.Query{})
		require.NoError(t, err)
		require.NoError(t, model.Close())
	}
}

func TestNamesThatMakeNoSense(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	require.NoError(t, os.WriteFile(file, []byte("no url"), 0o600))
	for name, of := range map[string]map[string]string{
		"":                           nil,
		"memory:x":                   nil,
		"sqlite":                     nil,
		"mysql:x":                    nil,
		"postgres":                   nil,
		"redis":                      {"CHOREO_MODEL": "http://x"},
		"redis:":                     {"CHOREO_MODEL": "a", "CHOREO_MODEL_FILE": "b"},
		"rediss":                     {"CHOREO_MODEL_FILE": file},
		"postgresql":                 {"CHOREO_MODEL_FILE": file + "x"},
		"postgres://me:secret@db/x":  nil,
		"redis://:secret@localhost/": nil,
	} {
		_, err := models.Open(t.Context(), name, 0, func(v string) string { return of[v] })
		require.Equal(t, exit.Usage, exit.Of(err), "%s: %v", name, err)
		require.NotContains(t, err.Error(), "secret")
	}
}
