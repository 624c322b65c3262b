package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"golang.org/x/tools/txtar"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
	"github.com/choreo-go/choreo/tracker"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out into testdata")

// TestStories runs the sessions in testdata, which read as a terminal would show them: a line
// that begins with "$ " is a command, and what it says stands below, standard error behind
// "! ". Where it does not end with 0, "=> CODE" comes last. Files stand at the end. Known
// commands are choreo, git, and few more, see [story.run]. {brokers} and {registry} are the
// addresses of servers that are started when they are first named.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			file, err := filepath.Abs(file)
			require.NoError(t, err)
			archive, err := txtar.ParseFile(file)
			require.NoError(t, err)
			s := newStory(t, archive)
			got := s.tell(string(archive.Comment))
			if *rewrite {
				archive.Comment = []byte(got)
				require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
				return
			}
			require.Equal(t, string(archive.Comment), got, "look at the change, then run the test with -rewrite")
		})
	}
}

// story is a session in a folder of its own.
type story struct {
	*testing.T
	dir              string
	brokers, servers string
	tracker          string // its URL
	model            tracker.Model
	env              map[string]string
}

func newStory(t *testing.T, archive *txtar.Archive) *story {
	t.Helper()
	s := &story{T: t, dir: t.TempDir(), env: map[string]string{}}
	for _, f := range archive.Files {
		path := filepath.Join(s.dir, filepath.FromSlash(f.Name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, f.Data, 0o644))
	}
	t.Chdir(s.dir)
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1",
		"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
	} {
		t.Setenv(name, value)
	}
	return s
}

// tell runs the commands of a session and returns it with what came out. A line that begins
// with "# " behind an empty line is the story's own.
func (s *story) tell(session string) string {
	var b strings.Builder
	outcome, afterEmpty := false, true
	for line := range strings.Lines(session) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			b.WriteString(line)
			b.WriteString(s.run(strings.TrimSpace(command)))
			outcome = true
		case afterEmpty && strings.HasPrefix(line, "# "):
			b.WriteString(line)
			outcome = false
		case !outcome:
			b.WriteString(line)
		}
		afterEmpty = line == "\n"
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// run runs one command and returns what it said.
func (s *story) run(command string) string {
	s.Helper()
	words := strings.Fields(s.fill(command))
	in, out, head := "", "", -1
	env := map[string]string{}
	var args []string
	for i := 0; i < len(words); i++ {
		word := words[i]
		name, value, isSetting := strings.Cut(word, "=")
		switch {
		case word == "<":
			i++
			in = words[i]
		case word == ">":
			i++
			out = words[i]
		case word == "|" && words[i+1] == "head":
			_, err := fmt.Sscan(words[i+2], &head)
			require.NoError(s, err)
			i += 2
		case len(args) == 0 && isSetting:
			env[name] = value
		default:
			args = append(args, strings.Trim(word, "'"))
		}
	}
	for name, value := range s.env {
		if _, ok := env[name]; !ok {
			env[name] = value
		}
	}
	var stdout, stderr bytes.Buffer
	code := exit.OK
	switch args[0] {
	case "choreo":
		c := &cli{in: s.open(in), out: &stdout, err: &stderr, env: func(name string) string { return env[name] }, now: func() time.Time { return storyTime }}
		code = c.run(s.Context(), args[1:])
		s.checkWidth(args, stdout.String()+stderr.String())
	case "export":
		for _, setting := range args[1:] {
			name, value, _ := strings.Cut(setting, "=")
			s.env[name] = value
		}
	case "publish": // publish SERVICE FILE…: what the service would do when it starts
		s.publish(args[1], args[2:])
	case "snapshots", "statuses", "events": // FILE: what a tracker and services would write
		s.write(args[0], args[1])
	case "git", "cp", "mkdir", "rm", "cat", "ls":
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		require.NoError(s, cmd.Run(), "%v: %s", args, &stderr)
	default:
		s.Fatalf("the story has an unknown command %q", args[0])
	}
	if out != "" {
		require.NoError(s, os.WriteFile(out, stdout.Bytes(), 0o644))
		stdout.Reset()
	}
	return s.said(stdout.String(), stderr.String(), code, head)
}

// said returns the outcome of a command as the story has it.
func (s *story) said(stdout, stderr string, code exit.Code, head int) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(s.unfill(stdout)) {
		if n++; head >= 0 && n > head {
			break
		}
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	for line := range strings.Lines(s.unfill(stderr)) {
		b.WriteString(strings.TrimRight("! "+strings.TrimRight(line, "\n"), " ") + "\n")
	}
	if code != exit.OK {
		fmt.Fprintf(&b, "=> %d\n", code)
	}
	b.WriteByte('\n')
	return strings.ReplaceAll(b.String(), "\n\n\n", "\n\n")
}

// checkWidth checks that what is for people fits the narrowest terminal.
func (s *story) checkWidth(args []string, said string) {
	s.Helper()
	line := strings.Join(args, " ")
	for _, raw := range []string{"-o json", "graph", "asyncapi", "format", "show", "definition schema", "__complete", "completion"} {
		if strings.Contains(line, raw) && !strings.Contains(line, "help") {
			return
		}
	}
	for text := range strings.Lines(said) {
		if !strings.Contains(strings.TrimSpace(text), " ") {
			continue // a word that is copied stays whole
		}
		require.LessOrEqual(s, utf8.RuneCountInString(strings.TrimRight(text, "\n")), 80, "%s\n%s", line, text)
	}
}

// fill puts the addresses of servers in, which it starts.
func (s *story) fill(command string) string {
	s.Helper()
	if strings.Contains(command, "{brokers}") && s.brokers == "" {
		broker, err := embedded.Start(embedded.Config{})
		require.NoError(s, err)
		s.Cleanup(func() { require.NoError(s, broker.Close()) })
		s.brokers = strings.Join(broker.Addresses(), ",")
	}
	if strings.Contains(command, "{registry}") && s.servers == "" {
		registry := srfake.New()
		s.Cleanup(registry.Close)
		s.servers = registry.URL()
	}
	if strings.Contains(command, "{tracker}") && s.tracker == "" {
		s.track()
	}
	return strings.NewReplacer("{tracker}", s.tracker, "{brokers}", s.brokers, "{registry}", s.servers, "{tmp}", s.dir).Replace(command)
}

func (s *story) unfill(text string) string {
	pairs := []string{s.dir, "{tmp}"}
	if s.brokers != "" {
		pairs = append(pairs, s.brokers, "{brokers}")
	}
	if s.tracker != "" {
		pairs = append(pairs, s.tracker, "{tracker}")
	}
	if s.servers != "" {
		pairs = append(pairs, s.servers, "{registry}")
	}
	text = regexp.MustCompile(`\b(eyJ[\w-]{20,})`).ReplaceAllString(text, "{cursor}")
	text = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}\b`).ReplaceAllString(text, "{id}")
	return strings.NewReplacer(pairs...).Replace(text)
}

func (s *story) open(file string) *bytes.Reader {
	s.Helper()
	if file == "" {
		return bytes.NewReader(nil)
	}
	data, err := os.ReadFile(file)
	require.NoError(s, err)
	return bytes.NewReader(data)
}

// publish writes the contract of a service to the topic of definitions.
func (s *story) publish(service string, files []string) {
	s.Helper()
	var docs []*definition.Document
	for _, file := range files {
		doc, err := definition.LoadFile(file)
		require.NoError(s, err)
		docs = append(docs, doc)
	}
	var starts []string
	if first := docs[0].Definition.Steps()[0]; first.Owner == service {
		starts = []string{docs[0].Definition.Name()}
	}
	contract, err := definition.NewContract(docs, definition.ContractConfig{Service: service, Build: "v1.4.0", Starts: starts})
	require.NoError(s, err)
	value, err := contract.Encode()
	require.NoError(s, err)
	log, err := kafka.New(kafka.Config{Brokers: strings.Split(s.brokers, ",")})
	require.NoError(s, err)
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	require.Nil(s, log.Publish(ctx, []choreo.Record{{
		Topic: "choreo.definitions", Partition: choreo.AnyPartition, Key: []byte(contract.Key()), Value: value,
	}}))
	require.NoError(s, log.Close())
}
