package compat_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

var java = flag.Int("java", 0, "draw so many pairs of Avro schemas and have Apache Avro judge them anew (JDK 17, mvn)")

// TestWriteJavaVectors makes testdata/java/vectors.json when asked to. Half of the pairs are a
// schema and another draw of nearly the same, so that many are compatible.
func TestWriteJavaVectors(t *testing.T) {
	if *java == 0 {
		t.Skip("only with -java")
	}
	type pair struct{ Reader, Writer json.RawMessage }
	draw := rapid.Custom(func(t *rapid.T) pair {
		return pair{json.RawMessage(drawAvro(t, "reader", false)), json.RawMessage(drawAvro(t, "writer", false))}
	})
	var pairs []pair
	kept := map[bool]int{}
	seen := map[string]bool{}
	for i := 0; len(pairs) < *java; i++ {
		p := draw.Example(i)
		key := string(p.Reader) + string(p.Writer)
		if seen[key] || len(key) < 40 {
			continue
		}
		seen[key] = true
		fine := avro.CheckCompatibility(avro.MustParse(string(p.Writer)), avro.MustParse(string(p.Reader))) == nil
		if kept[fine] > *java/2 {
			continue
		}
		kept[fine]++
		pairs = append(pairs, p)
	}
	data, err := json.Marshal(pairs)
	require.NoError(t, err)
	in := filepath.Join(t.TempDir(), "pairs.json")
	require.NoError(t, os.WriteFile(in, data, 0o600))
	out, err := filepath.Abs("testdata/java/vectors.json")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "mvn", "-q", "compile", "exec:java", "-Dexec.args="+in+" "+out, "-DbuildDirectory="+t.TempDir())
	cmd.Dir = "testdata/java"
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
}
