package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/topics/embedded"
)

// session is what one command had to say.
type session struct {
	code        exit.Code
	out, stderr string
}

// run runs a command; prepare, if not nil, changes what it has of the world.
func run(ctx context.Context, prepare func(*cli), args ...string) session {
	var stdout, stderr bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &stdout, err: &stderr, env: func(string) string { return "" }}
	if prepare != nil {
		prepare(c)
	}
	code := c.run(ctx, args)
	return session{code, stdout.String(), stderr.String()}
}

func Example() {
	c := &cli{in: os.Stdin, out: os.Stdout, err: os.Stdout, env: func(string) string { return "" }}
	c.run(context.Background(), []string{"definition", "lint", "../../definition/testdata/valid/custom.yaml"})
	// Output: 1 definition: nothing to mend
}

func commandsOf(t *testing.T) []*cobra.Command {
	t.Helper()
	var all []*cobra.Command
	each((&cli{env: os.Getenv}).root(), func(cmd *cobra.Command) { all = append(all, cmd) })
	require.Greater(t, len(all), 15)
	return all
}

func TestEveryCommandIsDocumented(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	for _, cmd := range commandsOf(t) {
		path := cmd.CommandPath()
		require.NotEmpty(t, cmd.Short, path)
		require.False(t, strings.HasSuffix(cmd.Short, "."), path)
		if cmd.IsAdditionalHelpTopicCommand() || cmd.Name() == "help" {
			continue
		}
		require.NotEmpty(t, cmd.Long, path)
		require.Contains(t, cmd.Example, path, "an example shows the command itself")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { require.NotEmpty(t, f.Usage, "%s --%s", path, f.Name) })
		if !cmd.HasSubCommands() {
			require.NotNil(t, cmd.Args, path)
			require.Contains(t, string(readme), "`"+path, "the README lists it")
		}
		var b bytes.Buffer
		help(cmd, &b)
		for line := range strings.Lines(b.String()) {
			if strings.HasPrefix(line, "https://") {
				continue // it is whole, or no use
			}
			require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), 80, "%s: %s", path, line)
			require.NotContains(t, line, "\t", path)
		}
	}
}

func TestCodesAtTheEnd(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never answers
	require.NoError(t, err)
	defer silent.Close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		args []string
		code exit.Code
		says string
	}{
		{"ok", t.Context(), []string{"version"}, exit.OK, ""},
		{"error", t.Context(), []string{"schema", "list", "--registry", "http://127.0.0.1:1"}, exit.Error, "cannot be reached"},
		{"usage", t.Context(), []string{"vrsion"}, exit.Usage, "did you mean version?"},
		{"not found", t.Context(), []string{"definition", "lint", "nowhere.yaml"}, exit.NotFound, "there is no file or folder"},
		{"timed out", t.Context(), []string{"definition", "list", "--brokers", silent.Addr().String(), "--timeout", "100ms"}, exit.TimedOut, "nobody answered in time"},
		{"interrupted", cancelled, []string{"definition", "list", "--brokers", silent.Addr().String()}, exit.Interrupted, "interrupted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := run(test.ctx, nil, test.args...)
			require.Equal(t, test.code, got.code, "%s", got.stderr)
			require.Contains(t, strings.Join(strings.Fields(got.stderr), " "), test.says)
			if test.code != exit.OK {
				require.Empty(t, got.out, "data alone is on standard output")
			}
		})
	}
}

func TestAPersonIsAsked(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("a.yaml", []byte("saga: a\nversion: 1\nsteps: {do: {owner: x}}\n"), 0o644))
	broker, err := embedded.Start(embedded.Config{})
	require.NoError(t, err)
	defer broker.Close()
	apply := []string{"topics", "apply", "a.yaml", "--brokers", broker.Addresses()[0]}
	for answer, code := range map[string]exit.Code{"\n": exit.Error, "": exit.Error, "n\n": exit.Error, "later\n": exit.Error} {
		got := run(t.Context(), func(c *cli) { c.asks, c.in = true, strings.NewReader(answer) }, apply...)
		require.Equal(t, code, got.code)
		require.Contains(t, got.stderr, "Make 6 changes? [y/N] ")
		require.Contains(t, got.stderr, "nothing was changed")
	}
	got := run(t.Context(), func(c *cli) { c.asks, c.in = true, strings.NewReader("Yes\n") }, apply...)
	require.Equal(t, exit.OK, got.code, got.stderr)
	require.Contains(t, got.stderr, "Made 6 changes.")
	got = run(t.Context(), nil, append([]string{"topics", "verify"}, apply[2:]...)...)
	require.Equal(t, exit.OK, got.code, got.out)
}

func TestColoursAreForTerminals(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("a.yaml", []byte("saga: a\nversion: 0\n"), 0o644))
	const red = "\x1b[31m"
	for _, test := range []struct {
		name     string
		terminal bool
		env      map[string]string
		coloured bool
	}{
		{"a terminal", true, nil, true},
		{"a pipe", false, nil, false},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, false},
		{"a dumb terminal", true, map[string]string{"TERM": "dumb"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			prepare := func(c *cli) {
				c.outTerminal, c.errTerminal = test.terminal, test.terminal
				c.env = func(name string) string { return test.env[name] }
			}
			got := run(t.Context(), prepare, "definition", "lint", "a.yaml")
			require.Equal(t, test.coloured, strings.Contains(got.out, red), "%q", got.out)
			got = run(t.Context(), prepare, "definition", "lint", "a.yaml", "-o", "json")
			require.NotContains(t, got.out, red)
		})
	}
}

func TestAWideTerminalIsUsedInMeasure(t *testing.T) {
	for width, columns := range map[int]int{0: 80, 60: 60, 100: 100, 400: 120} {
		require.Equal(t, columns, (&cli{width: width}).columns())
	}
}

func TestAFullDiskIsAnError(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"version", "-o", "json"}, {"definition", "schema"}} {
		got := run(t.Context(), func(c *cli) { c.out = failing{} }, args...)
		require.Equal(t, exit.Error, got.code, "%v", args)
		require.Contains(t, got.stderr, "writing the output")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestManualPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man", "man1")
	dated := func(epoch string) func(*cli) {
		return func(c *cli) {
			c.env = func(name string) string {
				if name == "SOURCE_DATE_EPOCH" {
					return epoch
				}
				return ""
			}
		}
	}
	got := run(t.Context(), dated("1767225600"), "man", dir)
	require.Equal(t, exit.OK, got.code, got.stderr)
	for _, cmd := range commandsOf(t) {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		if cmd.IsAdditionalHelpTopicCommand() {
			require.NoFileExists(t, filepath.Join(dir, name))
			continue
		}
		require.FileExists(t, filepath.Join(dir, name))
	}
	page, err := os.ReadFile(filepath.Join(dir, "choreo-topics-plan.1"))
	require.NoError(t, err)
	for _, part := range []string{".TH", "CHOREO-TOPICS-PLAN", "Jan 2026", "SYNOPSIS", "EXAMPLE", "--partitions", "SEE ALSO", "[CHOREO_BROKERS]", "table, json, jsonl"} {
		require.Contains(t, string(page), part)
	}
	root, err := os.ReadFile(filepath.Join(dir, "choreo.1"))
	require.NoError(t, err)
	for _, v := range connect.Variables() {
		require.Contains(t, string(root), v.Variable)
	}
	page, err = os.ReadFile(filepath.Join(dir, "choreo-definition-dump.1"))
	require.NoError(t, err)
	require.Contains(t, string(page), "*choreo.Saga or *choreo.Definition", "a star is a star")
	require.Contains(t, string(root), "\nCHOREO_BROKERS            as --brokers\n", "a list stays one")
	got = run(t.Context(), dated("soon"), "man", dir)
	require.Equal(t, exit.Usage, got.code)
	got = run(t.Context(), nil, "man", filepath.Join(dir, "choreo.1"))
	require.Equal(t, exit.Error, got.code)
}

// The broker of demos and tests is nothing that a command line should carry along, nor what runs
// steps: it takes part in no saga.
func TestTheBinaryLinksNoBroker(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.Contains(t, string(deps), "github.com/choreo-go/choreo/topics/kafka\n")
	for _, forbidden := range []string{"topics/embedded", "topics/memory", "kfake", "srfake", "testify", "\ntesting\n", "choreo/participant", "outbox/memory"} {
		require.NotContains(t, string(deps), forbidden)
	}
}

func TestADumpOfGoDefinitions(t *testing.T) {
	dir := t.TempDir()
	got := run(t.Context(), nil, "definition", "dump", "../../examples/order/contract", "--output", dir)
	require.Equal(t, exit.OK, got.code, got.stderr)
	require.Contains(t, got.out, "order/1")
	check := []string{"definition", "dump", "../../examples/order/contract", "--check", "--output", dir}
	got = run(t.Context(), nil, check...)
	require.Equal(t, exit.OK, got.code, got.stderr)

	file := filepath.Join(dir, "order-1.yaml")
	require.NoError(t, os.WriteFile(file, []byte("saga: order\n"), 0o644))
	got = run(t.Context(), nil, check...)
	require.Equal(t, exit.Error, got.code)
	require.Equal(t, file+"\n", got.out)
	require.Contains(t, got.stderr, "1 file differs from the Go definitions")
}
