package source_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/source"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/memory"
)

func ExampleFind() {
	dir, err := os.MkdirTemp("", "schemas-*")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "order.avsc"), []byte(`"string"`), 0o600); err != nil {
		panic(err)
	}
	place, err := source.Find(context.Background(), dir)
	if err != nil {
		panic(err)
	}
	files, err := place.Under(source.Extensions()...)
	fmt.Println(files, err)
	s, err := place.Schema(files[0])
	fmt.Println(s.Kind, s.Text, err)
	// Output:
	// [order.avsc] <nil>
	// AVRO "string" <nil>
}

// repository makes a git repository of files, commits them, and makes it the current folder.
func repository(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	git(t, "init", "-q", "-b", "main")
	git(t, "add", "-A")
	git(t, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first")
}

func git(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("git", args...).CombinedOutput()
	require.NoError(t, err, "git %v: %s", args, out)
}

func TestARevisionIsAFileSystem(t *testing.T) {
	repository(t, map[string]string{"a.yaml": "a", "deep/er/b.avsc": "b", "deep/ümläut und so.json": "c", "empty.txt": ""})
	place, err := source.Find(t.Context(), "main:.")
	require.NoError(t, err)
	require.NoError(t, fstest.TestFS(place.FS, "a.yaml", "deep/er/b.avsc", "deep/ümläut und so.json", "empty.txt"))
}

func TestARevisionIsNotTheWorkingTree(t *testing.T) {
	repository(t, map[string]string{"schemas/a.avsc": "old", "schemas/gone.avsc": "gone"})
	require.NoError(t, os.WriteFile("schemas/a.avsc", []byte("new"), 0o644))
	require.NoError(t, os.Remove("schemas/gone.avsc"))
	for arg, want := range map[string]map[string]string{
		"main:schemas":        {"a.avsc": "old", "gone.avsc": "gone"},
		"HEAD:schemas/":       {"a.avsc": "old", "gone.avsc": "gone"},
		"HEAD:./schemas":      {"a.avsc": "old", "gone.avsc": "gone"},
		"schemas":             {"a.avsc": "new"},
		"main:schemas/a.avsc": {".": "old"},
	} {
		place, err := source.Find(t.Context(), arg)
		require.NoError(t, err, arg)
		files, err := place.Under(source.Extensions()...)
		require.NoError(t, err)
		got := map[string]string{}
		for _, file := range files {
			data, err := place.Read(file)
			require.NoError(t, err)
			got[file] = string(data)
		}
		require.Equal(t, want, got, arg)
	}
}

func TestPathsOfARevision(t *testing.T) {
	repository(t, map[string]string{"top.avsc": "1", "sub/inner.avsc": "2"})
	t.Chdir("sub")
	for _, arg := range []string{"HEAD:sub/inner.avsc", "HEAD:./inner.avsc", "HEAD:../top.avsc", "HEAD:top.avsc", "HEAD:/top.avsc"} {
		_, err := source.Find(t.Context(), arg)
		require.NoError(t, err, arg)
	}
	_, err := source.Find(t.Context(), "HEAD:inner.avsc")
	require.ErrorContains(t, err, "write HEAD:./inner.avsc")
	_, err = source.Find(t.Context(), "HEAD:../../out.avsc")
	require.Error(t, err, "above the repository")
}

func TestLinksOfARevisionLeadNowhere(t *testing.T) {
	repository(t, map[string]string{"real.avsc": `"string"`})
	require.NoError(t, os.Symlink("/etc/passwd", "link.avsc"))
	git(t, "add", "-A")
	git(t, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "link")
	place, err := source.Find(t.Context(), "HEAD:.")
	require.NoError(t, err)
	files, err := place.Under(source.Extensions()...)
	require.NoError(t, err)
	require.Equal(t, []string{"real.avsc"}, files)
	place, err = source.Find(t.Context(), ".")
	require.NoError(t, err)
	files, err = place.Under(source.Extensions()...)
	require.NoError(t, err)
	require.Equal(t, []string{"real.avsc"}, files, "nor do those of a folder")
}

func TestWhatIsNotThere(t *testing.T) {
	repository(t, map[string]string{"a.avsc": "a"})
	for arg, code := range map[string]exit.Code{
		"nowhere": exit.NotFound, "nowhere:a.avsc": exit.NotFound, "HEAD:nowhere": exit.NotFound,
		":a.avsc": exit.Usage, "": exit.Usage, "--output=/tmp/x:a": exit.NotFound, os.DevNull: exit.Usage,
		"HEAD^{tree}:a.avsc": exit.NotFound,
	} {
		_, err := source.Find(t.Context(), arg)
		require.Error(t, err, arg)
		require.Equal(t, code, exit.Of(err), "%q: %v", arg, err)
	}
	t.Chdir(t.TempDir())
	_, err := source.Find(t.Context(), "HEAD:a.avsc")
	require.ErrorContains(t, err, "in no git repository")
}

func TestAnEndedContextEndsGit(t *testing.T) {
	repository(t, map[string]string{"a.avsc": "a"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := source.Find(ctx, "HEAD:a.avsc")
	require.ErrorIs(t, err, context.Canceled)
}

func TestHugeFilesAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	f, err := os.Create("huge.avsc")
	require.NoError(t, err)
	require.NoError(t, f.Truncate(17<<20))
	require.NoError(t, f.Close())
	place, err := source.Find(t.Context(), "huge.avsc")
	require.NoError(t, err)
	_, err = place.Schema(".")
	require.ErrorContains(t, err, "larger than 16 MiB")
}

func TestImportsComeBeforeWhatNeedsThem(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"root/a/b/main.proto": "syntax = \"proto3\";\nimport \"x/one.proto\";\nimport public \"two.proto\";\nimport \"google/protobuf/any.proto\";\n",
		"root/x/one.proto":    `import "two.proto"; import "x/one.proto";`,
		"root/a/two.proto":    `message {{{ torn`,
		"root/bad.proto":      `import "../outside.proto";`,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	place, err := source.Find(t.Context(), "root")
	require.NoError(t, err)
	s, err := place.Schema("a/b/main.proto")
	require.NoError(t, err)
	var names []string
	for _, ref := range s.References {
		names = append(names, ref.Name)
	}
	require.Equal(t, []string{"two.proto", "x/one.proto"}, names)
	_, err = place.Schema("bad.proto")
	require.ErrorContains(t, err, "no plain path")
}

func TestTypesOfOtherFilesAreFound(t *testing.T) {
	repository(t, map[string]string{
		"s/order.avsc":      `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"lines","type":{"type":"array","items":"Line"}},{"name":"by","type":["null","people.Person"]}]}`,
		"s/line.avsc":       `{"type":"record","name":"shop.Line","fields":[{"name":"cents","type":{"type":"map","values":"Money"}},{"name":"order","type":["null","Order"]}]}`,
		"s/deep/money.avsc": `{"type":"fixed","name":"Money","namespace":"shop","size":8}`,
		"s/person.avsc":     `{"type":"record","name":"Person","namespace":"people","fields":[{"name":"next","type":["null","Person"]}]}`,
		"s/unused.avsc":     `{"type":"record","name":"Unused","fields":[]}`,
		"s/torn.avsc":       `{"type":`,
	})
	for arg, want := range map[string][]string{
		"s":            {"shop.Money", "shop.Line", "people.Person"},
		"HEAD:s":       {"shop.Money", "shop.Line", "people.Person"},
		"s/order.avsc": {"shop.Line", "people.Person"}, // its own folder alone
	} {
		place, err := source.Find(t.Context(), arg)
		require.NoError(t, err)
		inside := "order.avsc"
		if !place.Dir {
			inside = "."
		}
		s, err := place.Schema(inside)
		require.NoError(t, err)
		var names []string
		for _, ref := range s.References {
			names = append(names, ref.Name)
		}
		require.ElementsMatch(t, want, names, arg)
		if len(names) == 3 {
			require.Less(t, slices.Index(names, "shop.Money"), slices.Index(names, "shop.Line"))
		}
	}
}

func TestNoTextIsNoSchema(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("a.avsc", []byte("\xff\xfe"), 0o644))
	place, err := source.Find(t.Context(), "a.avsc")
	require.NoError(t, err)
	_, err = place.Schema(".")
	require.ErrorContains(t, err, "no text in UTF-8")
}

func TestSubjects(t *testing.T) {
	for arg, want := range map[string]source.Subject{
		"subject:a": {Name: "a"}, "subject:a@3": {Name: "a", Version: 3}, "subject:a@latest": {Name: "a"}, "subject:a@b@2": {Name: "a@b", Version: 2},
	} {
		got, ok, err := source.ParseSubject(arg)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	for _, arg := range []string{"subject:", "subject:@3", "subject:a@0", "subject:a@x", "subject:a@"} {
		_, ok, err := source.ParseSubject(arg)
		require.True(t, ok)
		require.Equal(t, exit.Usage, exit.Of(err), arg)
	}
	_, ok, err := source.ParseSubject("file.avsc")
	require.NoError(t, err)
	require.False(t, ok)
}

func TestVersionsUntilTheOneThatIsMeant(t *testing.T) {
	registry, err := memory.New(nil)
	require.NoError(t, err)
	for n := range 3 {
		text := fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, n+1)
		_, err := registry.Register(t.Context(), "f", schema.Schema{Kind: schema.Avro, Text: text})
		require.NoError(t, err)
	}
	for version, want := range map[int]int{0: 3, 1: 1, 3: 3} {
		versions, err := source.Subject{Name: "f", Version: version}.Until(t.Context(), registry)
		require.NoError(t, err)
		require.Len(t, versions, want)
	}
	_, err = source.Subject{Name: "f", Version: 4}.Until(t.Context(), registry)
	require.Equal(t, exit.NotFound, exit.Of(err))
	_, err = source.Subject{Name: "g"}.Until(t.Context(), registry)
	require.Equal(t, exit.NotFound, exit.Of(err))
}

// FuzzImports: whatever stands in a .proto file, to look for its imports neither panics nor
// finds more than the text can hold.
func FuzzImports(f *testing.F) {
	f.Add([]byte("syntax = \"proto3\";\nimport \"a.proto\";\nmessage M { string s = 1; }\n"))
	f.Add([]byte("import weak \"a\" \"b\"; import;"))
	f.Fuzz(func(t *testing.T, data []byte) {
		source.ImportsOf(schema.Avro, data)
		names := 0
		for _, name := range source.ImportsOf(schema.Protobuf, data) {
			names += len("import\"\"") + len(name)/utf8.UTFMax
		}
		require.LessOrEqual(t, names, len(data))
	})
}
