package definition_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
)

// TestFingerprintsDifferWhereTheCourseDoes changes one thing of a random definition. Diff and
// Fingerprint, which decide by themselves, must agree on whether that is for all to know.
func TestFingerprintsDifferWhereTheCourseDoes(t *testing.T) {
	changed, same := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		a := drawDocument(t)
		spec := a.Definition.Spec()
		mutate(t, &spec)
		def, err := choreo.FromSpec(spec)
		if err != nil {
			t.Skip("the change makes no definition")
		}
		b := &definition.Document{Definition: def, Payloads: a.Payloads}
		equal := definition.Fingerprint(a.Definition) == definition.Fingerprint(b.Definition)
		agreed := true
		for _, c := range definition.Diff(&definition.Document{Definition: a.Definition, Payloads: a.Payloads}, b) {
			schemas := []definition.Code{"schema-changed", "schema-added", "schema-removed", "view-changed"}
			if c.Safety != definition.Safe && !slices.Contains(schemas, c.Code) {
				agreed = false
			}
			require.NotEmpty(t, c.Reason)
			require.NotEmpty(t, c.WayOut)
		}
		require.Equal(t, equal, agreed)
		if equal {
			same++
		} else {
			changed++
		}
	})
	require.Positive(t, same)
	require.Positive(t, changed)
}

// mutate changes one thing, which may leave no definition.
func mutate(t *rapid.T, spec *choreo.Spec) {
	s := &spec.Steps[rapid.IntRange(0, len(spec.Steps)-1).Draw(t, "step")]
	other := spec.Steps[rapid.IntRange(0, len(spec.Steps)-1).Draw(t, "other")].Name
	toggle := func(list *[]string) {
		if i := slices.Index(*list, other); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
		} else {
			*list = append(*list, other)
		}
		if len(*list) == 0 {
			*list = nil
		}
	}
	changes := []func(){
		func() { s.Timeout += time.Second }, func() { s.Retry.Attempts++ }, func() { s.UndoRetry.Initial++ },
		func() { spec.Deadline++ }, func() { s.Refusals = append(s.Refusals, "one more") }, func() { s.Output += "x" },
		func() { spec.Input += "x" }, func() { slices.Reverse(spec.Steps) }, func() { slices.Reverse(s.After) },
		func() { s.Owner += "x" }, func() { s.Name += "x" }, func() { s.Pivot = !s.Pivot }, func() { s.Optional = !s.Optional },
		func() { s.NoCompensate = !s.NoCompensate }, func() { s.Condition += "x" }, func() { s.CompensateIf += "x" },
		func() { s.Condition = "" }, func() { s.CompensateIf = "" },
		func() { s.Encoding += "x" }, func() { spec.Encoding += "x" }, func() { spec.Strategy = choreo.ParallelOrder },
		func() { toggle(&s.After) }, func() { toggle(&s.Uses) }, func() { toggle(&s.UndoUses) }, func() { toggle(&s.UndoAfter) },
		func() { s.Uses, s.UndoUses = s.UndoUses, s.Uses },
	}
	changes[rapid.IntRange(0, len(changes)-1).Draw(t, "change")]()
}

func TestADefinitionDoesNotDifferFromItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDocument(t)
		require.Empty(t, definition.Diff(d, d))
		c, err := definition.NewContract([]*definition.Document{d}, definition.ContractConfig{Service: "x", Starts: []string{d.Definition.Name()}})
		require.NoError(t, err)
		for _, service := range d.Definition.Services() {
			other, err := definition.NewContract([]*definition.Document{d}, definition.ContractConfig{Service: service})
			require.NoError(t, err)
			for _, f := range definition.Compare(c, []definition.Contract{other}) {
				require.Equal(t, definition.Code("cannot-read"), f.Code, "%s", f.String()) // a view that was drawn blindly
			}
		}
	})
}

// TestFingerprintsAreKept: services of old and new builds compare them, so they never change
// for what a file already says.
func TestFingerprintsAreKept(t *testing.T) {
	for file, want := range map[string]string{
		"order":  "af7ccf2505cb422b6aad94ff8c5183da",
		"travel": "5f89ac2065b6f4d00d48cf36afae91d3",
		"custom": "c9ea8c4246083d510f87cb67e587fa7e",
	} {
		d, err := definition.LoadFile("testdata/valid/" + file + ".yaml")
		require.NoError(t, err)
		require.Equal(t, want, definition.Fingerprint(d.Definition), file)
	}
}
