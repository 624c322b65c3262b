package choreo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTagsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tags := rapid.MapOfN(rapid.StringMatching(`[a-z0-9_.-]{1,64}`), rapid.StringOfN(rapid.Rune(), 0, 60, MaxTagValue), 0, MaxTags).Draw(t, "tags")
		if CheckTags(tags) != nil {
			t.Skip("a value that tags cannot have")
		}
		got, err := ParseTags(FormatTags(tags))
		require.NoError(t, err)
		require.Len(t, got, len(tags))
		for name, value := range tags {
			require.Equal(t, value, got[name])
		}
	})
}

func TestTagsAtTheirBounds(t *testing.T) {
	tags := make(map[string]string)
	for i := range MaxTags {
		tags[fmt.Sprintf("%0*d", MaxTagName, i)] = strings.Repeat("<", MaxTagValue) // each an escape of 6 bytes
	}
	require.NoError(t, CheckTags(tags))
	got, err := ParseTags(FormatTags(tags))
	require.NoError(t, err)
	require.Equal(t, tags, got)
	tags["one-more"] = ""
	require.ErrorContains(t, CheckTags(tags), "17 tags: at most 16")
}

func TestWhatIsNoTagIsRefused(t *testing.T) {
	for says, tag := range map[string][2]string{
		"its name is empty":                  {"", "v"},
		"its name is 65 bytes long":          {strings.Repeat("n", 65), "v"},
		"its name holds 'N'":                 {"Name", "v"},
		"its name holds 'ä'":                 {"nä", "v"},
		"its value is 257 bytes long":        {"n", strings.Repeat("v", 257)},
		"its value is not UTF-8":             {"n", "\xff"},
		`its value holds the control charac`: {"n", "a\nb"},
	} {
		require.ErrorContains(t, CheckTags(map[string]string{tag[0]: tag[1]}), says)
	}
	require.ErrorContains(t, CheckTags(map[string]string{"A": "", "B": ""}), `tag "B"`, "every fault")
	for says, text := range map[string]string{
		"a JSON object of texts is expected": `["a"]`,
		"cannot unmarshal number":            `{"a":1}`,
		"its name holds 'A'":                 `{"A":"b"}`,
		"bytes long: at most":                strings.Repeat(" ", 1<<16),
	} {
		_, err := ParseTags(text)
		require.ErrorContains(t, err, says)
	}
}

func TestAdmissionTellsTheTagsOfAQueuedSaga(t *testing.T) {
	d := MustDefine[string]("s", 1, NewStep[string, string]("a").OwnedBy("o")).Definition
	tags := map[string]string{"customer": "c-1"}
	row := Row{
		State: RowQueued, Inputs: []Output{{Data: []byte("in")}},
		Origin: Origin{CausationID: "e-1", Tags: FormatTags(tags), Commands: "c"},
	}
	decision := Admit(d, row)
	require.Equal(t, []Emission{{Type: Started, Output: Output{Data: []byte("in")}, Tags: tags}}, decision.Emit)
	require.Equal(t, Origin{Commands: "c"}, decision.Row.Origin)
}
