package graph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
)

// drawDefinition draws a saga of any shape with texts of any kind.
func drawDefinition(t *rapid.T) *choreo.Definition {
	n := rapid.IntRange(1, 14).Draw(t, "steps")
	strategy := rapid.SampledFrom([]choreo.Strategy{
		choreo.ReverseOrder, choreo.ParallelOrder, choreo.BestEffort, choreo.CustomOrder,
	}).Draw(t, "strategy")
	s := choreo.Spec{
		Name: "drawn", Version: 1, Strategy: strategy, Input: rapid.String().Draw(t, "input"),
		Encoding: choreo.MediaType(rapid.String().Draw(t, "encoding")),
		Deadline: time.Duration(rapid.IntRange(0, 3).Draw(t, "deadline")) * time.Minute,
	}
	pivot := rapid.IntRange(-1, n-1).Draw(t, "pivot")
	for i := range n {
		d := step(fmt.Sprintf("s%d", i), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "owner"), rapid.String().Draw(t, "output"))
		low, high := 0, i
		if pivot >= 0 && i > pivot {
			low = pivot
		}
		for k := low; k < high; k++ {
			if i == pivot || rapid.IntRange(0, 3).Draw(t, "after") == 0 {
				d.After = append(d.After, s.Steps[k].Name)
			}
		}
		if len(d.After) == 0 && pivot >= 0 && i > pivot {
			d.After = []string{s.Steps[pivot].Name}
		}
		d.Pivot = i == pivot
		if i != pivot {
			d.Optional = rapid.Bool().Draw(t, "optional")
			d.Condition = rapid.String().Draw(t, "condition")
		}
		if strategy == choreo.CustomOrder && i > 0 && (pivot < 0 || i < pivot) && rapid.Bool().Draw(t, "custom") {
			d.UndoAfter = []string{s.Steps[rapid.IntRange(0, i-1).Draw(t, "undo-after")].Name}
		} else {
			d.NoCompensate = rapid.Bool().Draw(t, "no-compensation")
		}
		s.Steps = append(s.Steps, d)
	}
	used(t, s.Steps)
	def, err := choreo.FromSpec(s)
	require.NoError(t, err)
	return def
}

// used draws what steps read besides their input.
func used(t *rapid.T, steps []choreo.StepDef) {
	before := make([]map[string]bool, len(steps))
	for i := range steps {
		before[i] = map[string]bool{}
		for k := range i {
			if slices.Contains(steps[i].After, steps[k].Name) {
				before[i][steps[k].Name] = true
				for name := range before[k] {
					before[i][name] = true
				}
			}
		}
		for k := range i {
			if before[i][steps[k].Name] && rapid.IntRange(0, 3).Draw(t, "uses") == 0 {
				steps[i].Uses = append(steps[i].Uses, steps[k].Name)
			}
		}
	}
}

func overlap(a, b Box) bool {
	return a.X < b.X+b.Width && b.X < a.X+a.Width && a.Y < b.Y+b.Height && b.Y < a.Y+a.Height
}

// TestLayout checks of any saga: boxes lie within the picture and none on another; a step
// lies past all that it waits for; every link is drawn, from box to box.
func TestLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		def := drawDefinition(t)
		l := Arrange(def, Options{Direction: rapid.SampledFrom([]Direction{Auto, Down, Right}).Draw(t, "direction")})
		boxes := map[string]Box{"": l.Start}
		all := append([]Box{l.Start}, l.Steps...)
		for i, b := range all {
			boxes[b.Step] = b
			require.True(t, b.X >= 0 && b.Y >= 0 && b.X+b.Width <= l.Width && b.Y+b.Height <= l.Height, "%+v", b)
			for _, other := range all[:i] {
				require.False(t, overlap(b, other), "%+v %+v", b, other)
			}
		}
		for _, s := range def.Steps() {
			for _, name := range s.After {
				a, b := boxes[name], boxes[s.Name]
				require.True(t, l.Direction == Down && a.Y+a.Height < b.Y || l.Direction == Right && a.X+a.Width < b.X)
			}
		}
		type ends struct {
			kind     Kind
			from, to string
		}
		drawn := map[ends]int{}
		for _, e := range l.Edges {
			drawn[ends{e.Kind, e.From, e.To}]++
			require.Equal(t, 1, len(e.Curve)%3)
			touches(t, e.Curve[0], boxes[e.From])
			touches(t, e.Curve[len(e.Curve)-1], boxes[e.To])
		}
		m := newModel(def)
		for _, link := range m.links {
			from := ""
			if link.from >= 0 {
				from = m.steps[link.from].Name
			}
			require.Equal(t, 1, drawn[ends{link.kind, from, m.steps[link.to].Name}], "%+v", link)
		}
		require.Len(t, l.Edges, len(m.links))
	})
}

// touches checks that an edge ends at the rim of a box, or a compensation's track beside it.
func touches(t *rapid.T, p Point, b Box) {
	const near = track + 1
	require.True(t, p.X >= b.X-near && p.X <= b.X+b.Width+near && p.Y >= b.Y-near && p.Y <= b.Y+b.Height+near, "%v %+v", p, b)
	require.False(t, p.X > b.X && p.X < b.X+b.Width && p.Y > b.Y && p.Y < b.Y+b.Height, "inside: %v %+v", p, b)
}

// harmless checks that an SVG is well-formed, has only elements and attributes of a picture,
// and refers to nothing outside of itself.
func harmless(t require.TestingT, svg []byte) {
	allowed := []string{
		"svg", "title", "desc", "style", "defs", "marker", "path", "rect", "circle", "g", "text",
	}
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		require.Contains(t, allowed, start.Name.Local)
		for _, a := range start.Attr {
			require.False(t, strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href", a.Name.Local)
			if strings.Contains(a.Value, "url(") {
				require.True(t, strings.HasPrefix(a.Value, "url(#choreo-"), a.Value)
			}
		}
	}
}

// Whatever stands in free texts stays text, in all pictures; and they come out the same twice.
func TestFreeTextsStayText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		def := drawDefinition(t)
		opts := Options{Direction: rapid.SampledFrom([]Direction{Auto, Down, Right}).Draw(t, "direction")}
		svg := SVG(def, opts)
		harmless(t, svg)
		require.Equal(t, string(svg), string(SVG(def, opts)))

		plain := strings.Split(Mermaid(def, opts), "\n")
		for _, line := range plain {
			require.Zero(t, strings.Count(line, `"`)%2, line)
			for _, bad := range []string{"<script", "javascript:", "%%", "click ", "\x00", "\r"} {
				require.NotContains(t, line, bad)
			}
		}
		dot := DOT(def, opts)
		require.Equal(t, dot, DOT(def, opts))
		for _, line := range strings.Split(dot, "\n") {
			unescaped := strings.NewReplacer(`\\`, "", `\"`, "").Replace(line)
			require.Zero(t, strings.Count(unescaped, `"`)%2, line)
		}
	})
}

func TestStylesReferToNothingOutside(t *testing.T) {
	for name, def := range fixtures() {
		svg := string(SVG(def, Options{}))
		harmless(t, []byte(svg))
		for _, bad := range []string{"@import", "@font-face", "http://", "https://", "<script", "<foreignObject"} {
			require.NotContains(t, strings.Replace(svg, `xmlns="http://www.w3.org/2000/svg"`, "", 1), bad, name)
		}
		require.Contains(t, svg, `role="img"`)
		require.Contains(t, svg, "prefers-color-scheme:dark")
	}
}

// One that has nothing to undo passes on that it is settled.
func TestUndoLinksLeadThroughStepsWithoutCompensation(t *testing.T) {
	b := step("b", "x", "B", "a")
	b.NoCompensate = true
	m := newModel(spec("s", choreo.ReverseOrder, step("a", "x", "A"), b, step("c", "x", "C", "b"), step("d", "x", "D", "b")))
	require.Equal(t, [][2]int{{2, 0}, {3, 0}}, m.undoLinks())
}

// What is undone past the pivot would never be drawn: there is no way back.
func TestNothingIsUndoneFromThePivotOn(t *testing.T) {
	for _, l := range newModel(travel()).links {
		require.NotEqual(t, Undo, l.kind, "in parallel no compensation waits")
	}
	p := step("b", "x", "B", "a")
	p.Pivot = true
	m := newModel(spec("s", choreo.ReverseOrder, step("a", "x", "A"), p, step("c", "x", "C", "b")))
	require.Equal(t, []bool{false, false, true}, m.past)
	for _, l := range m.links {
		require.NotEqual(t, Undo, l.kind)
	}
}

func TestCrossings(t *testing.T) {
	for name, most := range map[string]int{"order": 0, "travel": 5, "chain": 0, "diamond": 0, "fan": 0, "thirty": 12, "sixty": 30} {
		g := newGrid(newModel(fixtures()[name]))
		before := g.crossings()
		g.order()
		require.LessOrEqual(t, g.crossings(), min(most, before), name)
		require.Equal(t, slowCrossings(g), g.crossings(), name)
	}
}

// slowCrossings looks at every pair of edges.
func slowCrossings(g *grid) int {
	type edge struct{ layer, from, to int }
	var edges []edge
	for i := range g.cells {
		for _, s := range g.cells[i].down {
			edges = append(edges, edge{g.cells[i].layer, g.cells[i].pos, g.cells[s.cell].pos})
		}
	}
	count := 0
	for i, a := range edges {
		for _, b := range edges[:i] {
			if a.layer == b.layer && (a.from-b.from)*(a.to-b.to) < 0 {
				count++
			}
		}
	}
	return count
}

// A large saga is drawn too, and soon: the effort is bounded.
func TestLargeSaga(t *testing.T) {
	def := web("large", 600)
	began := time.Now()
	require.NotEmpty(t, SVG(def, Options{}))
	require.Less(t, time.Since(began), time.Minute)
}

func TestHSL(t *testing.T) {
	for _, test := range []struct {
		hue, saturation, lightness int
		want                       string
	}{
		{0, 100, 50, "#ff0000"}, {120, 100, 50, "#00ff00"}, {240, 100, 50, "#0000ff"},
		{60, 100, 50, "#ffff00"}, {0, 0, 100, "#ffffff"}, {200, 0, 0, "#000000"},
	} {
		require.Equal(t, test.want, hsl(test.hue, test.saturation, test.lightness))
	}
	for n := range 20 {
		require.True(t, hueOf(n, 20) >= 25 && hueOf(n, 20) < 335, "red is for compensations")
	}
}
