package integration

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/definition/asyncapi"
	"github.com/choreo-go/choreo/definition/graph"
	"github.com/choreo-go/choreo/examples/order/contract"
)

// unavailable skips the test where a tool is missing, or fails it where no test may be skipped.
func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CHOREO_TEST_REQUIRE_SERVERS") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// check has files read by the tools from npm, and returns what they say.
func check(t *testing.T, files ...string) (said string, err error) {
	t.Helper()
	for _, tool := range []string{"bash", "node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			unavailable(t, tool+" is not installed: integration/scripts/install.sh gets it on Debian")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "scripts/node.sh", "install").CombinedOutput(); err != nil {
		unavailable(t, "the packages cannot be had from npm: "+string(out))
	}
	out, err := exec.CommandContext(ctx, "scripts/node.sh", append([]string{"check"}, files...)...).CombinedOutput()
	return string(out), err
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for i := range files {
		files[i], err = filepath.Abs(files[i])
		require.NoError(t, err)
	}
	return files
}

// TestOfficialParserTakesAsyncAPI reads documents with the parser of the AsyncAPI initiative:
// it must find neither errors nor warnings.
func TestOfficialParserTakesAsyncAPI(t *testing.T) {
	files := glob(t, "../definition/asyncapi/testdata/*.*")
	for _, format := range []asyncapi.Format{asyncapi.JSON, asyncapi.YAML} {
		data, err := asyncapi.Document([]asyncapi.Saga{{Definition: contract.Order}}, asyncapi.Options{Namespace: "choreo", Format: format})
		require.NoError(t, err)
		files = append(files, write(t, "order."+string(format), data))
	}
	said, err := check(t, files...)
	require.NoError(t, err, said)
	require.Equal(t, len(files), strings.Count(said, " channels, "), said)
}

// The check itself can fail: on a document that lacks what the specification demands, on one
// with a schema that is none, and on a flowchart with an arrow to nowhere.
func TestToolsFindFaults(t *testing.T) {
	faulty := map[string]string{
		"no-info.yaml": "asyncapi: 3.0.0\n",
		"avro.yaml": "asyncapi: 3.0.0\ninfo: {title: a, version: 1.0.0}\ncomponents:\n  messages:\n    a:\n      payload:\n" +
			"        schemaFormat: application/vnd.apache.avro;version=1.9.0\n        schema: {type: record}\n",
		"arrow.mmd": "flowchart TB\n  a -->\n",
	}
	var files []string
	for name, text := range faulty {
		files = append(files, write(t, name, []byte(text)))
	}
	said, err := check(t, files...)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, said)
	require.Equal(t, 1, exit.ExitCode(), said)
	for name := range faulty {
		require.Contains(t, said, name+": ", said)
	}
	require.NotContains(t, said, " channels, ", "none of them is right")
}

func TestMermaidTakesFlowcharts(t *testing.T) {
	files := append(glob(t, "../definition/graph/testdata/*.mmd"),
		write(t, "order.mmd", []byte(graph.Mermaid(contract.Order, graph.Options{Direction: graph.Right}))))
	said, err := check(t, files...)
	require.NoError(t, err, said)
	require.Equal(t, len(files), strings.Count(said, ": flowchart"), said)
}

func TestGraphvizTakesDOT(t *testing.T) {
	if _, err := exec.LookPath("dot"); err != nil {
		unavailable(t, "Graphviz is not installed: integration/scripts/install.sh gets it on Debian")
	}
	for _, file := range glob(t, "../definition/graph/testdata/*.dot") {
		var complaints bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "dot", "-Tsvg", file)
		cmd.Stderr = &complaints
		drawn, err := cmd.Output()
		require.NoError(t, err, "%s: %s", file, complaints.String())
		require.Empty(t, complaints.String(), file)
		d := xml.NewDecoder(bytes.NewReader(drawn))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, file)
			if start, ok := token.(xml.StartElement); ok {
				require.NotEqual(t, "script", start.Name.Local, file)
			}
		}
	}
}
