package graph

import (
	"strings"

	"github.com/choreo-go/choreo/choreo"
)

// Direction says where a saga's steps lead to.
type Direction string

// The directions.
const (
	// Auto is Down, or Right where that makes a picture that is much less wide.
	Auto  Direction = ""
	Down  Direction = "down"
	Right Direction = "right"
)

// Options are the choices of a picture. The zero value is good.
type Options struct {
	// Direction says where the steps lead to. Default: [Auto].
	Direction Direction
}

// Point is a place in a picture, in pixels from its upper left corner.
type Point struct{ X, Y int }

// Box is where a step stands.
type Box struct {
	Step          string // empty: the start of the saga
	Layer         int    // from 1; that of the start is 0
	X, Y          int    // the upper left corner
	Width, Height int
	Lines         []string // the text inside: the name, as many lines as it takes, the owner, the marks
	NameLines     int      // how many of Lines are the name
}

// Label is the name of what an edge hands on.
type Label struct {
	Kind Kind
	Text string // shortened; the whole name is the Payload of the edge
	At   Point  // on the base line
	End  bool   // the text ends there; else it begins there
}

// Edge is an arrow.
type Edge struct {
	Kind     Kind
	From, To string // steps; From is empty where the saga starts
	Payload  string // the name of what is handed on; empty where nothing is
	// Curve is where the edge begins and then, three by three, the two control points and
	// the end of each cubic Bézier curve. Edges of one kind that leave a step share the way
	// that they have in common.
	Curve []Point
}

// Layout is where everything in the picture of a saga stands.
type Layout struct {
	Direction     Direction // Down or Right
	Width, Height int
	Start         Box
	Steps         []Box // in the order of the definition's steps
	Edges         []Edge
	Labels        []Label
	// PastPivot is where the part begins that only goes forward, on the axis of the
	// direction; 0 where there is none.
	PastPivot int
}

// The measures of text, in pixels. The fonts are monospaced, or counted wider than they are.
const (
	nameChar    = 8
	labelChar   = 7
	smallChar   = 7
	line        = 16
	nameLimit   = 24 // of a line, in runes
	textLimit   = 40
	labelLimit  = 26
	padding     = 14
	undoStrip   = 24
	startRadius = 9
	track       = 4 // half the distance between an arrow and the compensation beside it
)

// Arrange lays a saga out.
func Arrange(saga choreo.AnySaga, opts Options) *Layout {
	return arrange(newModel(saga), opts)
}

func arrange(m *model, opts Options) *Layout {
	l := &Layout{Direction: opts.Direction}
	for i := range m.steps {
		l.Steps = append(l.Steps, m.measure(i))
	}
	l.Start = Box{Width: 2 * startRadius, Height: 2 * startRadius}
	g := newGrid(m)
	for c := 0; c <= len(m.steps); c++ {
		l.box(g, c).Layer = g.cells[c].layer
	}
	if l.Direction != Down && l.Direction != Right {
		l.choose(g)
	}
	d := &drawing{model: m, grid: g, Layout: l, plugs: map[plugKey]int{}, flipped: map[int]bool{}}
	d.size()
	g.order()
	g.place()
	d.plug()
	d.bands()
	d.boxes()
	d.edges()
	return l
}

// box returns the box of a cell that is none of a passing edge.
func (l *Layout) box(g *grid, cell int) *Box {
	if cell < g.first {
		return &l.Start
	}
	return &l.Steps[cell-g.first]
}

// measure sizes the box of a step.
func (m *model) measure(i int) Box {
	b := Box{Step: m.steps[i].Name, Lines: wrap(m.steps[i].Name)}
	b.NameLines = len(b.Lines)
	b.Lines = append(b.Lines, clip(m.owner(i), textLimit))
	for _, mark := range m.marks(i) {
		b.Lines = append(b.Lines, clip(mark, textLimit))
	}
	width := 0
	for n, text := range b.Lines {
		char := smallChar
		if n < b.NameLines {
			char = nameChar
		}
		width = max(width, textWidth(text, char))
	}
	b.Width = max(width, 12*nameChar) + 2*padding
	if m.undoable[i] {
		b.Width += undoStrip
	}
	b.Height = len(b.Lines)*line + line
	return b
}

// wrap breaks a name after its dashes into lines that are not too long.
func wrap(name string) []string {
	if len(name) <= nameLimit {
		return []string{name}
	}
	var lines []string
	current := ""
	for _, word := range strings.SplitAfter(name, "-") {
		if current != "" && len(current)+len(word) > nameLimit {
			lines = append(lines, clip(current, nameLimit))
			current = ""
		}
		current += word
	}
	return append(lines, clip(current, nameLimit))
}

// textWidth measures text; ideographs and the like are twice as wide as letters.
func textWidth(text string, char int) int {
	width := 0
	for _, r := range text {
		width += char
		if r >= 0x1100 {
			width += char
		}
	}
	return width
}

// wide is the width, in pixels, up to which a picture is read without scrolling.
const wide = 1100

// choose decides on a direction: down as long as that is not too wide.
func (l *Layout) choose(g *grid) {
	down, right := 0, 0
	for _, layer := range g.layers {
		across, along := 0, 0
		for _, c := range layer {
			if g.cells[c].trunk >= 0 {
				across += gap
				continue
			}
			across += l.box(g, c).Width + gap
			along = max(along, l.box(g, c).Width)
		}
		down = max(down, across)
		right += along + 150
	}
	l.Direction = Down
	if down > wide && right < down {
		l.Direction = Right
	}
}
