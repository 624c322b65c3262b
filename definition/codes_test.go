package definition_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/definition"
)

// docTable is how the package's documentation lists the codes of one origin.
func docTable(from string) string {
	var b strings.Builder
	for _, c := range definition.Codes() {
		if c.From != from {
			continue
		}
		var kinds []string
		for _, s := range c.Severities {
			kinds = append(kinds, string(s))
		}
		for _, s := range c.Safeties {
			kinds = append(kinds, string(s))
		}
		fmt.Fprintf(&b, "//\t%-22s  %s", c.Code, c.Meaning)
		if from == "file" || from == "choreo" {
			b.WriteString("\n") // all of them errors
			continue
		}
		fmt.Fprintf(&b, " (%s)\n", strings.Join(kinds, ", "))
	}
	return b.String()
}

func TestTheDocumentationListsAllCodes(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for _, from := range []string{"file", "choreo", "lint", "compare", "diff"} {
		require.Contains(t, string(doc), docTable(from), "codes of %s", from)
	}
	require.Equal(t, len(definition.Codes()), strings.Count(string(doc), "\n//\t")-exampleLines(string(doc)))
}

// exampleLines counts the indented lines of the documentation that are no codes.
func exampleLines(doc string) int {
	example := doc[strings.Index(doc, "# Files"):strings.Index(doc, "[JSONSchema] describes")]
	return strings.Count(example, "\n//\t")
}

// codePattern finds codes where the sources hand them over.
var codePattern = regexp.MustCompile(`(?:\bd\.(?:add|course|setting|list|flag|function|schemaChange)\(|\b[cl]\.add\(|\.fault\(|Code: )"([a-z-]+)"`)

func TestEveryCodeOfTheSourcesIsInTheTable(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	inSources := map[string]bool{}
	for _, file := range append(files, "../choreo/check.go", "../choreo/spec.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range codePattern.FindAllStringSubmatch(string(data), -1) {
			inSources[m[1]] = true
		}
	}
	require.Greater(t, len(inSources), 50)
	for code := range inSources {
		require.True(t, slices.ContainsFunc(definition.Codes(), func(c definition.CodeInfo) bool { return string(c.Code) == code }), code)
	}
	for _, c := range definition.Codes() {
		require.True(t, inSources[string(c.Code)], "%s is in the table, but nothing finds it", c.Code)
	}
}
