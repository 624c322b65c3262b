package closing_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/examples/internal/closing"
)

func ExampleStack() {
	var s closing.Stack
	s.Later("the broker", func() error { return errors.New("it is gone") })
	s.Later("the log", func() error { fmt.Println("the log is closed"); return nil })
	fmt.Println(s.Close())
	fmt.Println(s.Close())
	// Output:
	// the log is closed
	// closing the broker: it is gone
	// <nil>
}

func TestDir(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var s closing.Stack
	temporary, err := s.Dir("", "example-")
	require.NoError(t, err)
	require.DirExists(t, temporary)
	named := filepath.Join(t.TempDir(), "a", "b")
	kept, err := s.Dir(named, "example-")
	require.NoError(t, err)
	require.Equal(t, named, kept)
	require.NoError(t, s.Close())
	require.NoDirExists(t, temporary)
	require.DirExists(t, named)

	file := filepath.Join(named, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = s.Dir(file, "example-")
	require.ErrorContains(t, err, "--data: ")
}
