package out_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/cmd/choreo/internal/out"
)

type topic struct {
	Name       string `json:"name"`
	Partitions int    `json:"partitions"`
}

func table(t *out.Text, all []topic) {
	var rows [][]out.Styled
	for _, one := range all {
		rows = append(rows, []out.Styled{out.S(out.Plain, "%s", one.Name), out.S(out.Plain, "%d", one.Partitions)})
	}
	t.Table([]out.Column{{Title: "TOPIC"}, {Title: "PARTITIONS", Right: true}}, rows)
}

func ExampleList() {
	items := []topic{{"shop.order.events", 12}, {"shop.dlq", 3}}
	_ = out.List(&out.Printer{W: os.Stdout}, items, table)
	_ = out.List(&out.Printer{W: os.Stdout, Format: out.JSONL}, items, table)
	// Output:
	// TOPIC              PARTITIONS
	// shop.order.events          12
	// shop.dlq                    3
	// {"name":"shop.order.events","partitions":12}
	// {"name":"shop.dlq","partitions":3}
}

func TestAnEmptyListIsAnEmptyArray(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, out.List(&out.Printer{W: &b, Format: out.JSON}, nil, table))
	require.Equal(t, "[]\n", b.String())
}

func TestOneIsADocument(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, out.One(&out.Printer{W: &b, Format: out.JSON}, topic{"a<b>", 1}, nil))
	require.Contains(t, b.String(), `"a<b>"`, "a shell prints it: nothing is escaped for HTML")
	var back topic
	require.NoError(t, json.Unmarshal(b.Bytes(), &back))
	require.Equal(t, topic{"a<b>", 1}, back)
}

func TestColourIsAskedFor(t *testing.T) {
	for _, colour := range []bool{false, true} {
		text := (&out.Printer{Colour: colour}).Text()
		text.Line(out.S(out.Red, "error"), out.S(out.Plain, ": no"))
		require.Equal(t, colour, strings.Contains(text.String(), "\x1b[31m"))
	}
}

func TestWhatComesFromElsewhereDoesNotSteerTheTerminal(t *testing.T) {
	text := (&out.Printer{Colour: true}).Text()
	text.Line(out.S(out.Plain, "a\x1b[2Jb\u009bc\u202ed\re"))
	text.Para("", "x\x1b]0;title\x07y")
	table(text, []topic{{"n\x1b[1m", 1}})
	for _, forbidden := range []string{"\x1b[2J", "\u009b", "\u202e", "\r", "\x1b]", "\x07", "n\x1b[1m"} {
		require.NotContains(t, text.String(), forbidden)
	}
}

// Property: no line of a paragraph or table is wider than the terminal, and nothing but
// spaces is lost in wrapping.
func TestTextFitsTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(40, 140).Draw(t, "width")
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zäß.\-/]{1,35}`), 1, 30).Draw(t, "words")
		text := (&out.Printer{Width: width}).Text()
		text.Para("  - ", "%s", strings.Join(words, " "))
		cells := rapid.SliceOfN(rapid.StringMatching(`[a-z.\- ]{0,90}`), 3, 3).Draw(t, "cells")
		text.Table([]out.Column{{Title: "A"}, {Title: "B"}, {Title: "C", Right: true}}, [][]out.Styled{
			{out.S(out.Plain, "%s", cells[0]), out.S(out.Plain, "%s", cells[1]), out.S(out.Plain, "%s", cells[2])},
		})
		for line := range strings.Lines(text.String()) {
			line = strings.TrimSuffix(line, "\n")
			require.LessOrEqual(t, utf8.RuneCountInString(line), width, "%q", line)
			require.Equal(t, strings.TrimRight(line, " "), line, "no spaces at the end of a line")
		}
		para, _, _ := strings.Cut(text.String(), "\nA")
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		require.Equal(t, squeeze("- "+strings.Join(words, " ")), squeeze(para))
	})
}

func TestAPathIsNotBroken(t *testing.T) {
	path := strings.Repeat("some-folder/", 9) + "order.yaml"
	text := (&out.Printer{}).Text()
	text.Para("", "see %s for more", path)
	require.Equal(t, "see\n"+path+"\nfor more\n", text.String())
}

func TestAWholeCellIsNotWrapped(t *testing.T) {
	name := strings.Repeat("long-name.", 12)
	text := (&out.Printer{}).Text()
	text.Table([]out.Column{{Title: "NAME", Whole: true}, {Title: "NOTE"}}, [][]out.Styled{
		{out.S(out.Plain, "%s", name), out.S(out.Plain, "short")},
	})
	require.Contains(t, text.String(), name)
}
