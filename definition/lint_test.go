package definition_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
)

// goOnly returns the codes that a file cannot give cause for.
func goOnly() []string {
	return []string{"no-owner", "duplicate-step", "condition", "type", "payload-name", "binding"}
}

type (
	placed  struct{ ID string }
	created struct{ ID string }
)

func TestFaultsOfGoDefinitions(t *testing.T) {
	one, two := choreo.NewStep[placed, created]("one"), choreo.NewStep[placed, placed]("two")
	_, err := choreo.Define[placed]("a", 1,
		one.OwnedBy(""), one.OwnedBy("x").When("rich", nil), two.OwnedBy("x").OutputName("created"))
	_, types := choreo.Define[placed]("b", 1, one.OwnedBy("x"), two.OwnedBy("x").After(one))
	_, bindings := definition.Parse("c.yaml", []byte("saga: c\nversion: 1\nsteps: {a: {owner: x}}\n"),
		choreo.BindWhen("rich", func(placed) bool { return true }))
	found := map[string]definition.Finding{}
	for _, err := range []error{err, types, bindings} {
		require.Error(t, err)
		for _, f := range definition.FindingsOf(err) {
			require.Equal(t, definition.Error, f.Severity)
			require.NotEmpty(t, f.WayOut, f.Code)
			found[string(f.Code)] = f
		}
	}
	for _, code := range goOnly() {
		require.Contains(t, found, code)
	}
	require.Equal(t, "a/1", found["no-owner"].Definition)
	require.Equal(t, 3, found["binding"].Line)
	require.Nil(t, definition.FindingsOf(errors.New("another")))
}

func TestAGoDefinitionIsLintedWithoutPlaces(t *testing.T) {
	one := choreo.NewStep[placed, struct{}]("one")
	define := func(version int) *definition.Document {
		saga, err := choreo.Define[placed]("a", version, one.OwnedBy("x").Encoding("text"), choreo.Encoding("a b"))
		require.NoError(t, err)
		d, err := definition.FromGo(saga, nil)
		require.NoError(t, err)
		require.Same(t, saga.Definition, d.Def())
		return d
	}
	var lines []string
	for _, f := range definition.Lint([]*definition.Document{define(1), define(1)}, nil) {
		require.Zero(t, f.Line)
		lines = append(lines, string(f.Code)+" "+f.Step)
	}
	require.Equal(t, []string{
		"duplicate-version ", "encoding ", "encoding ", "encoding one", "encoding one", "no-schema ", "no-schema ",
	}, lines)
}

// TestTheLongestWayIsThatOfAllAttempts finds the shortest deadline that is not too short, by
// adding up what one step may take.
func TestTheLongestWayIsThatOfAllAttempts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy(t)
		p.Jitter = 0
		if p == (choreo.RetryPolicy{}) {
			p = choreo.FixedRetry(2, time.Second)
		}
		timeout := time.Duration(rapid.IntRange(1, 1000).Draw(t, "timeout")) * time.Millisecond
		sum := timeout
		for attempt := 1; !p.Exhausted(attempt); attempt++ {
			delay := p.Delay(attempt, 0)
			if delay > 1000*time.Hour || sum > 100_000*time.Hour {
				t.Skip("longer than anyone would wait")
			}
			sum += delay + timeout
		}
		short := func(deadline time.Duration) bool {
			def, err := choreo.FromSpec(choreo.Spec{
				Name: "a", Version: 1, Deadline: deadline,
				Steps: []choreo.StepDef{{Name: "one", Owner: "x", Timeout: timeout, Retry: p, NoCompensate: true}},
			})
			require.NoError(t, err)
			findings := definition.Lint([]*definition.Document{{Definition: def}}, nil)
			return slices.ContainsFunc(findings, func(f definition.Finding) bool { return f.Code == "deadline-short" })
		}
		require.False(t, short(sum))
		require.True(t, sum == 1 || short(sum-1))
	})
}

func TestLintFilesTellsFaultsAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	require.NoError(t, os.WriteFile(good, []byte("saga: a\nversion: 1\ninput: In\nsteps: {a: {owner: x}}\n"), 0o600))
	require.NoError(t, os.WriteFile(bad, []byte("saga: a\n"), 0o600))
	findings, err := definition.LintFiles([]string{good, bad, dir, filepath.Join(dir, "gone.yaml")}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "it is no regular file")
	require.Equal(t, definition.Error, definition.Worst(findings))
	var codes []definition.Code
	for _, f := range findings {
		codes = append(codes, f.Code)
	}
	require.Equal(t, []definition.Code{"missing-key", "missing-key", "no-schema"}, codes)
}

func TestFindingsAsJSON(t *testing.T) {
	data, err := definition.EncodeFindings(nil)
	require.NoError(t, err)
	require.Equal(t, "[]", string(data))

	_, err = definition.Parse("order.yaml", []byte("saga: order\nversion: 1\nsteps:\n  pay: {owner: x, timout: 1s}\n"))
	data, err = definition.EncodeFindings(definition.FindingsOf(err))
	require.NoError(t, err)
	require.JSONEq(t, `[{"code": "unknown-key", "severity": "error", "definition": "order/1", "step": "pay",
		"file": "order.yaml", "line": 4, "column": 19,
		"reason": "steps.pay has no key \"timout\"", "way_out": "did you mean \"timeout\"?"}]`, string(data))
	var back []definition.Finding
	require.NoError(t, json.Unmarshal(data, &back))
	require.Len(t, back, 1)
}
