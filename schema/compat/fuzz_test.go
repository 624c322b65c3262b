package compat_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/compat"
)

func FuzzAvro(f *testing.F)     { fuzz(f, "avro", schema.Avro) }
func FuzzProtobuf(f *testing.F) { fuzz(f, "protobuf", schema.Protobuf) }
func FuzzJSON(f *testing.F)     { fuzz(f, "json", schema.JSONType) }

// fuzz demands of any two texts that a comparison ends, that it says the same of them twice, and
// that a schema can read what it wrote itself.
func fuzz(f *testing.F, folder string, kind schema.Kind) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
	require.NoError(f, err)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		require.NoError(f, err)
		var texts []string
		for _, part := range archive.Files {
			if part.Name == "1" || part.Name == "2" {
				texts = append(texts, string(part.Data))
			}
		}
		f.Add(texts[0], texts[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		one, other := schema.Schema{Kind: kind, Text: a}, schema.Schema{Kind: kind, Text: b}
		problems, err := compat.CanRead(one, other)
		again, errAgain := compat.CanRead(one, other)
		require.Equal(t, err == nil, errAgain == nil)
		require.Equal(t, problems, again)
		for _, s := range []schema.Schema{one, other} {
			if problems, err := compat.CanRead(s, s); err == nil {
				require.Empty(t, problems, "a schema reads what it wrote")
			}
		}
	})
}

// TestASchemaReadsWhatItWrote does so for all that the stories tell.
func TestASchemaReadsWhatItWrote(t *testing.T) {
	for folder, kind := range map[string]schema.Kind{"avro": schema.Avro, "protobuf": schema.Protobuf, "json": schema.JSONType} {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
		require.NoError(t, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			archive := txtar.Parse(data)
			s := schema.Schema{Kind: kind}
			for _, part := range archive.Files {
				if len(part.Name) > 4 && part.Name[:4] == "ref/" {
					s.References = append(s.References, schema.Reference{Name: part.Name[4:], Text: string(part.Data)})
				}
			}
			for _, part := range archive.Files {
				if part.Name == "1" || part.Name == "2" {
					s.Text = string(part.Data)
					problems, err := compat.CanRead(s, s)
					require.NoError(t, err)
					require.Empty(t, problems, "%s version %s", file, part.Name)
				}
			}
		}
	}
}
