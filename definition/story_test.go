package definition_test

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/choreo-go/choreo/definition"
)

// TestStories plays the archives in testdata. What stands above the files tells the story, with
// settings as "# name: value"; the last file is what the case gives.
//
//	lint/*.txtar     all .yaml files are linted; "services" and "namespace" as in LintConfig
//	diff/*.txtar     b.yaml is compared with a.yaml
//	compare/*.txtar  each folder holds the definitions of a service, by its name; that
//	                 of "mine" is compared with the others. "starts" names the services that
//	                 start sagas; a folder "payments@old" is the contract of an older build.
func TestStories(t *testing.T) {
	for kind, play := range map[string]func(*testing.T, story) []string{"lint": playLint, "diff": playDiff, "compare": playCompare} {
		files, err := filepath.Glob("testdata/" + kind + "/*.txtar")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				archive, err := txtar.ParseFile(file)
				require.NoError(t, err)
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "gives" })
				got := strings.Join(play(t, storyOf(archive)), "\n") + "\n"
				archive.Files = append(archive.Files, txtar.File{Name: "gives", Data: []byte(got)})
				if *rewrite {
					require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
					return
				}
				want, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Equal(t, string(want), string(txtar.Format(archive)), "run with -rewrite once you know that the new output is right")
			})
		}
	}
}

// codeInLine finds the code in a finding or change on one line.
var codeInLine = regexp.MustCompile(`(?m) \[([a-z-]+)\]: `)

// TestEveryCodeHasAStory looks for each code among what the stories give.
func TestEveryCodeHasAStory(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	require.NoError(t, err)
	told := map[string][]string{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		require.NoError(t, err)
		kind := path.Base(path.Dir(filepath.ToSlash(file)))
		for _, m := range codeInLine.FindAllSubmatch(archive.Files[len(archive.Files)-1].Data, -1) {
			told[kind] = append(told[kind], string(m[1]))
		}
	}
	for _, c := range definition.Codes() {
		kind := c.From
		if kind == "file" || kind == "choreo" {
			kind = "lint"
		}
		if slices.Contains(goOnly(), string(c.Code)) {
			continue // see TestFaultsOfGoDefinitions
		}
		require.Contains(t, told[kind], string(c.Code), "no story of %s is about it", kind)
	}
}

type story struct {
	files    fstest.MapFS
	settings map[string]string
	yaml     []string // sorted
}

func storyOf(archive *txtar.Archive) story {
	s := story{files: fstest.MapFS{}, settings: map[string]string{}}
	for _, f := range archive.Files {
		s.files[f.Name] = &fstest.MapFile{Data: f.Data}
		if strings.HasSuffix(f.Name, ".yaml") {
			s.yaml = append(s.yaml, f.Name)
		}
	}
	slices.Sort(s.yaml)
	for line := range strings.Lines(string(archive.Comment)) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# "), ": "); ok && !strings.Contains(name, " ") {
			s.settings[name] = value
		}
	}
	return s
}

func playLint(t *testing.T, s story) []string {
	t.Helper()
	var config definition.LintConfig
	if services, ok := s.settings["services"]; ok {
		config.Services = strings.Split(services, ", ")
	}
	config.Namespace = s.settings["namespace"]
	var docs []*definition.Document
	var findings []definition.Finding
	for _, file := range s.yaml {
		d, err := definition.Load(s.files, file)
		if err == nil {
			docs = append(docs, d)
		}
		findings = append(findings, definition.FindingsOf(err)...)
	}
	findings = append(findings, definition.Lint(docs, &config)...)
	return lines(findings)
}

func lines(findings []definition.Finding) []string {
	var out []string
	for i := range findings {
		out = append(out, findings[i].String())
	}
	return out
}

func playDiff(t *testing.T, s story) []string {
	t.Helper()
	a, errA := definition.Load(s.files, "a.yaml")
	b, errB := definition.Load(s.files, "b.yaml")
	require.NoError(t, errors.Join(errA, errB))
	var out []string
	for _, c := range definition.Diff(a, b) {
		out = append(out, c.String())
	}
	return out
}

func playCompare(t *testing.T, s story) []string {
	t.Helper()
	docs := map[string][]*definition.Document{}
	var services []string
	for _, file := range s.yaml {
		d, err := definition.Load(s.files, file)
		require.NoError(t, err)
		service := path.Dir(file)
		docs[service] = append(docs[service], d)
		services = append(services, service)
	}
	var mine definition.Contract
	var others []definition.Contract
	slices.Sort(services)
	for _, folder := range slices.Compact(services) {
		service, build, _ := strings.Cut(folder, "@")
		config := definition.ContractConfig{Service: service, Build: build}
		if strings.Contains(s.settings["starts"], service) {
			config.Starts = []string{docs[folder][0].Definition.Name()}
		}
		contract, err := definition.NewContract(docs[folder], config)
		require.NoError(t, err)
		data, err := contract.Encode()
		require.NoError(t, err)
		validateContract(t, data)
		contract, err = definition.DecodeContract(data)
		require.NoError(t, err)
		if folder == s.settings["mine"] {
			mine = contract
			continue
		}
		others = append(others, contract)
	}
	return lines(definition.Compare(mine, others))
}
