package compat_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
)

var rewrite = flag.Bool("rewrite", false, "write what is found into testdata, to be read before it is kept")

// TestStories reads testdata: a change to a schema, version by version, and what it breaks. A
// file "ref/NAME" is a reference of all versions; "name" is the name that they have.
func TestStories(t *testing.T) {
	for folder, kind := range map[string]schema.Kind{"avro": schema.Avro, "protobuf": schema.Protobuf, "json": schema.JSONType} {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
		require.NoError(t, err)
		require.NotEmpty(t, files, "there are stories for %s", folder)
		for _, file := range files {
			t.Run(filepath.ToSlash(strings.TrimSuffix(strings.TrimPrefix(file, "testdata"), ".txt"))[1:], func(t *testing.T) {
				archive, err := txtar.ParseFile(file)
				require.NoError(t, err)
				told, want := tell(t, kind, archive)
				if *rewrite {
					archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "found" })
					archive.Files = append(archive.Files, txtar.File{Name: "found", Data: []byte(told)})
					require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o600))
					return
				}
				require.Equal(t, want, told)
			})
		}
	}
}

func tell(t *testing.T, kind schema.Kind, archive *txtar.Archive) (told, want string) {
	t.Helper()
	var versions []schema.Schema
	var refs []schema.Reference
	name := ""
	for _, f := range archive.Files {
		switch {
		case f.Name == "found":
			want = string(f.Data)
		case f.Name == "name":
			name = strings.TrimSpace(string(f.Data))
		case strings.HasPrefix(f.Name, "ref/"):
			refs = append(refs, schema.Reference{Name: strings.TrimPrefix(f.Name, "ref/"), Text: string(f.Data)})
		default:
			versions = append(versions, schema.Schema{Kind: kind, Text: string(f.Data)})
		}
	}
	for i := range versions {
		versions[i].Name, versions[i].References = name, refs
	}
	require.GreaterOrEqual(t, len(versions), 2, "a story has an old and a new version")
	last := len(versions) - 1

	var b strings.Builder
	for _, mode := range compat.Modes() {
		report, err := mode.Check(versions[last], versions[:last]...)
		require.NoError(t, err)
		verdict := "ok"
		if report.Err() != nil {
			require.ErrorIs(t, report.Err(), schema.ErrIncompatible)
			verdict = "broken"
		}
		fmt.Fprintln(&b, strings.ToLower(string(mode)), verdict)
	}
	report, err := compat.FullTransitive.Check(versions[last], versions[:last]...)
	require.NoError(t, err)
	for _, p := range report.Problems {
		fmt.Fprintf(&b, "\n%s, version %d: %s %s at %s\n    %s\n    > %s\n", p.Direction, p.Against+1, p.Severity, p.Code, p.Path, p.Text, p.Remedy)
	}
	return b.String(), want
}
