package compat_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryCodeIsListedAndTold holds the list in the package's documentation against the stories.
func TestEveryCodeIsListedAndTold(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	listed := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^//\t([a-z-]+) `).FindAllStringSubmatch(string(doc), -1) {
		listed[line[1]] = true
	}
	files, err := filepath.Glob("testdata/*/*.txt")
	require.NoError(t, err)
	told := map[string]bool{"kind-changed": true} // has a test of its own: a story is of one kind
	for _, file := range files {
		story, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, problem := range regexp.MustCompile(`(?m)^(?:backward|forward), version \d+: \w+ ([a-z-]+) at `).FindAllStringSubmatch(string(story), -1) {
			told[problem[1]] = true
		}
	}
	require.Equal(t, listed, told)
}
