package definition_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
)

// TestHostileFiles hands in what is made to keep a reader busy.
func TestHostileFiles(t *testing.T) {
	const head = "saga: a\nversion: 1\n"
	bomb := "x: &a [a, a, a, a, a, a, a, a, a]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("y%d: &%c [*%[3]c, *%[3]c, *%[3]c, *%[3]c, *%[3]c, *%[3]c, *%[3]c, *%[3]c, *%[3]c]\n", i, 'b'+i, 'a'+i)
	}
	var steps, aliased, dense strings.Builder
	var names []string
	for i := range 400 {
		fmt.Fprintf(&steps, "  s%d: {owner: x}\n", i)
		fmt.Fprintf(&aliased, "  s%d: *s\n", i)
		if i < 100 {
			fmt.Fprintf(&dense, "  s%d: {owner: x, after: [%s]}\n", i, strings.Join(names, ", "))
			names = append(names, fmt.Sprintf("s%d", i))
		}
	}
	var payloads strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&payloads, "  p%d: {schema: a.json}\n", i)
	}
	for name, test := range map[string]struct {
		text string
		code definition.Code
	}{
		"large":             {strings.Repeat("# \n", 1<<19), "too-large"},
		"bomb":              {head + bomb + "steps: *j\n", "unknown-key"},
		"many steps":        {head + "steps:\n" + steps.String(), "too-large"},
		"one step repeated": {head + "x: &s {owner: x, refuses: &r [" + strings.Repeat("a, ", 300) + "]}\nsteps:\n" + aliased.String(), "too-large"},
		"many payloads":     {head + "payloads:\n" + payloads.String(), "too-large"},
		"many faults":       {head + "payloads:\n" + strings.Repeat("  p: {}\n", 20_000), "duplicate-key"},
		"deep flow":         {head + "steps: " + strings.Repeat("[", 20_000), "yaml"},
		"deep mappings":     {head + "steps: " + strings.Repeat("{a: ", 9000) + strings.Repeat("}", 9000), "unknown-key"},
		"deep blocks":       {head + "steps: " + strings.Repeat("- ", 20_000), "yaml"},
		"in itself":         {head + "steps: &s {a: *s}\n", "unknown-key"},
		"no key at all":     {head + "steps: {? [a] : b}\n", "wrong-type"},
		"bad UTF-8":         {head + "input: \"\xff\"\n", "yaml"},
		"another encoding":  {"\xff\xfes\x00a\x00", "wrong-type"},
		"unknown alias":     {head + "steps: *s\n", "yaml"},
		"a tag":             {head + "steps: !!binary aGE=\n", "wrong-type"},
		"an own tag":        {head + "steps: !x {a: {owner: x}}\ninput: !y z\n", "wrong-type"},
		"long number":       {head + "deadline: " + strings.Repeat("9", 5000) + "h\nsteps: {a: {owner: x}}\n", "wrong-type"},
		"a name of lines":   {head + "steps: {a: {owner: \"x\\ny\\0\"}}\n", "name"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := definition.Parse("a.yaml", []byte(test.text))
			findings := definition.FindingsOf(err)
			require.NotEmpty(t, findings)
			require.Less(t, time.Since(start), 5*time.Second)
			require.LessOrEqual(t, len(findings), 502)
			var codes []definition.Code
			for _, f := range findings {
				codes = append(codes, f.Code)
				require.Less(t, len(f.String()), 1000)
			}
			require.Contains(t, codes, test.code, "%.500s", err)
		})
	}
	start := time.Now()
	d, err := definition.Parse("a.yaml", []byte(head+"deadline: 1h\nsteps:\n"+dense.String()))
	require.NoError(t, err)
	definition.Lint([]*definition.Document{d}, nil)
	require.Less(t, time.Since(start), 10*time.Second)
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*")
	require.NoError(f, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // a folder
		}
		f.Add(data)
		for _, part := range txtar.Parse(data).Files {
			f.Add(part.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := definition.Parse("a.yaml", data)
		if err != nil {
			require.NotEmpty(t, definition.FindingsOf(err))
			return
		}
		text := definition.Format(d)
		again, err := definition.Parse("b.yaml", text)
		require.NoError(t, err, string(text))
		require.Equal(t, string(text), string(definition.Format(again)))
		require.Equal(t, withoutEmpty(d.Definition.Spec()), withoutEmpty(again.Definition.Spec()))
		require.Equal(t, definition.Fingerprint(d.Definition), definition.Fingerprint(again.Definition))
		require.Empty(t, definition.Diff(d, again))
		definition.Lint([]*definition.Document{d, again}, nil)
	})
}

// withoutEmpty makes empty lists nil: in a file, "after: []" is no "after".
func withoutEmpty(s choreo.Spec) choreo.Spec {
	for i := range s.Steps {
		step := &s.Steps[i]
		for _, list := range []*[]string{&step.After, &step.Uses, &step.UndoUses, &step.UndoAfter, &step.Refusals} {
			if len(*list) == 0 {
				*list = nil
			}
		}
	}
	return s
}

func FuzzDecodeContract(f *testing.F) {
	f.Add([]byte(`{"format":1,"service":"a","definitions":[{"name":"a","version":1,"fingerprint":"x","owns":[],"document":"saga: a"}]}`))
	f.Add([]byte(`{"format":1,"service":"a","definitions":[{"name":"a","version":1,"fingerprint":"x","owns":["a"],"writes":[{"step":"a","schema":"s"}],"document":""}],"schemas":{"s":{"kind":"AVRO"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := definition.DecodeContract(data)
		if err != nil {
			return
		}
		mine := c
		mine.Service += "-2"
		for _, finding := range definition.Compare(mine, []definition.Contract{c}) {
			require.NotEmpty(t, finding.Reason)
		}
		for _, finding := range definition.Compare(c, []definition.Contract{c}) {
			require.Equal(t, definition.Warning, finding.Severity, "one's own contract refuses nobody")
		}
	})
}
