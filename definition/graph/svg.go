package graph

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/choreo"
)

// SVG draws a saga as an image that needs nothing from elsewhere: no script, no font, no
// other file. It follows the reader's light or dark colours, and says the same in words to
// who cannot see it. Every element of a step has the class "step" and its name in data-step,
// every edge its ends in data-from and data-to, for pages that draw states into it. Its own
// styles hold within the class "choreo-graph" alone, and pictures of several sagas may stand
// in one page.
func SVG(saga choreo.AnySaga, opts Options) []byte {
	m := newModel(saga)
	p := &picture{model: m, Layout: arrange(m, opts)}
	return p.draw()
}

// picture writes the SVG of a layout.
type picture struct {
	*model
	*Layout
	bytes.Buffer
}

const (
	margin     = 20
	header     = 58
	leastWidth = 460
)

func (p *picture) draw() []byte {
	caption := clip(p.caption(), 120)
	width := max(p.Layout.Width+2*margin, textWidth(caption, smallChar)+2*margin, leastWidth)
	legend := p.legend(width - 2*margin)
	height := header + p.Layout.Height + legend.height + margin
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" class="choreo-graph %[3]s" role="img" `+
		`aria-labelledby="%[3]s-title %[3]s-desc" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d">`+"\n",
		width, height, p.scope())
	p.printf("<title id=\"%s-title\">Saga %s</title>\n<desc id=\"%s-desc\">", p.scope(), p.def.String(), p.scope())
	p.printf("%s. ", caption)
	for i := range p.steps {
		p.printf("%s ", p.sentence(i))
	}
	p.WriteString("</desc>\n")
	p.style()
	fmt.Fprintf(p, "<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n", width, height)
	p.printf("<text class=\"title\" x=\"20\" y=\"28\">%s</text>\n", p.def.String())
	p.printf("<text class=\"small\" x=\"20\" y=\"46\">%s</text>\n", caption)
	left := (width - p.Layout.Width) / 2
	p.zone(left, width)
	fmt.Fprintf(p, "<g transform=\"translate(%d %d)\">\n", left, header)
	p.drawEdges()
	p.drawBoxes()
	p.WriteString("</g>\n")
	p.zoneText(left, width)
	fmt.Fprintf(p, "<g transform=\"translate(%d %d)\">\n", margin, header+p.Layout.Height)
	p.Write(legend.Bytes())
	p.WriteString("</g>\n</svg>\n")
	return p.Bytes()
}

// scope is what ids begin with, and a class of its own: several pictures may stand in a page.
func (p *picture) scope() string { return fmt.Sprintf("choreo-%s-%d", p.def.Name(), p.def.Version()) }

// printf writes strings as text that is no markup, whatever stands in them.
func (p *picture) printf(format string, texts ...string) { writeText(&p.Buffer, format, texts...) }

func writeText(w *bytes.Buffer, format string, texts ...string) {
	escaped := make([]any, len(texts))
	for i, text := range texts {
		var b strings.Builder
		// A strings.Builder takes everything.
		_ = xml.EscapeText(&b, []byte(strings.Map(printable, text)))
		escaped[i] = b.String()
	}
	fmt.Fprintf(w, format, escaped...)
}

// zone shades what lies past the pivot.
func (p *picture) zone(left, width int) {
	if p.PastPivot == 0 {
		return
	}
	if p.Direction == Right {
		x := left + p.PastPivot
		fmt.Fprintf(p, "<rect class=\"past\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
			x, header-4, width-x, p.Layout.Height+8)
		fmt.Fprintf(p, "<path class=\"pastline\" d=\"M%d %dV%d\"/>\n", x, header-4, header+p.Layout.Height+4)
		return
	}
	y := header + p.PastPivot
	fmt.Fprintf(p, "<rect class=\"past\" x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", y, width, p.Layout.Height-p.PastPivot+8)
	fmt.Fprintf(p, "<path class=\"pastline\" d=\"M0 %dH%d\"/>\n", y, width)
}

// zoneText says what the shade means, above the edges.
func (p *picture) zoneText(left, width int) {
	place := fmt.Sprintf(`x="8" y="%d"`, header+p.PastPivot+15)
	switch {
	case p.Direction == Right: // below all boxes
		place = fmt.Sprintf(`x="%d" y="%d"`, left+p.PastPivot+8, header+p.Layout.Height-2)
	case p.crossed(150 - left):
		place = fmt.Sprintf(`x="%d" y="%d" text-anchor="end"`, width-8, header+p.PastPivot+15)
	}
	if p.PastPivot > 0 {
		fmt.Fprintf(p, "<text class=\"small halo pasttext\" %s>from here only forward</text>\n", place)
	}
}

// crossed reports whether an edge enters the part past the pivot left of a place.
func (p *picture) crossed(right int) bool {
	return slices.ContainsFunc(p.Edges, func(e Edge) bool {
		for n := 3; n < len(e.Curve); n += 3 {
			a, b := e.Curve[n-3], e.Curve[n]
			if a.Y <= p.PastPivot+20 && b.Y >= p.PastPivot && min(a.X, b.X) < right {
				return true
			}
		}
		return false
	})
}

func (p *picture) drawEdges() {
	edges := slices.Clone(p.Edges)
	rank := map[Kind]int{Uses: 0, UndoUses: 1, Undo: 2, After: 3, Start: 4}
	slices.SortStableFunc(edges, func(a, b Edge) int { return rank[a.Kind] - rank[b.Kind] })
	for _, e := range edges {
		p.printf(`<path class="edge `+string(e.Kind)+`" data-from="%s" data-to="%s" d="`, e.From, e.To)
		fmt.Fprintf(p, "M%d %d", e.Curve[0].X, e.Curve[0].Y)
		for n := 1; n < len(e.Curve); n += 3 {
			p.curveTo(e.Curve[n-1], e.Curve[n], e.Curve[n+1], e.Curve[n+2])
		}
		p.printf(`" marker-end="url(#`+p.scope()+`-`+string(e.Kind)+`)"><title>%s</title></path>`+"\n", edgeTitle(e))
	}
	for _, l := range p.Labels {
		anchor := ""
		if l.End {
			anchor = ` text-anchor="end"`
		}
		p.printf(fmt.Sprintf(`<text class="label halo %s" x="%d" y="%d"%s>`, l.Kind, l.At.X, l.At.Y, anchor)+"%s</text>\n", l.Text)
	}
}

// curveTo continues a path, straight where the curve is.
func (p *picture) curveTo(a, b, c, d Point) {
	if a.X == d.X && b.X == a.X && c.X == a.X || a.Y == d.Y && b.Y == a.Y && c.Y == a.Y {
		fmt.Fprintf(p, "L%d %d", d.X, d.Y)
		return
	}
	fmt.Fprintf(p, "C%d %d %d %d %d %d", b.X, b.Y, c.X, c.Y, d.X, d.Y)
}

// edgeTitle says in words what an arrow stands for.
func edgeTitle(e Edge) string {
	what := e.Payload
	if what == "" {
		what = "no data"
	}
	switch e.Kind {
	case Start:
		return fmt.Sprintf("%s starts the saga and goes to %s", what, e.To)
	case After:
		return fmt.Sprintf("%s waits for %s and gets %s", e.To, e.From, what)
	case Uses:
		return fmt.Sprintf("%s also reads %s of %s", e.To, what, e.From)
	case UndoUses:
		return fmt.Sprintf("the compensation of %s also reads %s of %s", e.To, what, e.From)
	case Undo:
	}
	return fmt.Sprintf("%s is undone after %s", e.To, e.From)
}

func (p *picture) drawBoxes() {
	s := &p.Start
	p.printf("<g class=\"begin\"><title>%s</title>", "The saga starts with "+p.inputName())
	fmt.Fprintf(p, "<circle cx=\"%d\" cy=\"%d\" r=\"%d\"/></g>\n", s.X+s.Width/2, s.Y+s.Height/2, startRadius)
	for i := range p.Steps {
		p.drawStep(i)
	}
}

func (p *picture) inputName() string {
	if name := p.def.InputName(); name != "" {
		return name
	}
	return "no data"
}

func (p *picture) drawStep(i int) {
	b := &p.Steps[i]
	class := fmt.Sprintf("step s%d", p.serviceOf(i))
	if p.steps[i].Optional {
		class += " optional"
	}
	if i == p.pivot {
		class += " pivot"
	}
	p.printf(`<g class="`+class+`" data-step="%s" data-service="%s"><title>%s</title>`, b.Step, p.steps[i].Owner, p.sentence(i))
	if i == p.pivot {
		fmt.Fprintf(p, `<rect class="rim" x="%d" y="%d" width="%d" height="%d" rx="10"/>`, b.X-4, b.Y-4, b.Width+8, b.Height+8)
	}
	fmt.Fprintf(p, `<rect class="box" x="%d" y="%d" width="%d" height="%d" rx="7"/>`, b.X, b.Y, b.Width, b.Height)
	middle := b.X + b.Width/2
	if p.undoable[i] {
		middle -= undoStrip / 2
		x := b.X + b.Width - undoStrip
		fmt.Fprintf(p, `<path class="strip" d="M%d %dv%d"/>`, x, b.Y+6, b.Height-12)
		// An arrow that turns back.
		fmt.Fprintf(p, `<path class="turn" d="M%d %dh7a4 4 0 0 1 0 8h-4m1 -11l-4 3l4 3"/>`, x+7, b.Y+b.Height/2-4)
	}
	y := b.Y + (b.Height-len(b.Lines)*line)/2 + 12
	for n, text := range b.Lines {
		class := "name"
		if n == b.NameLines {
			class = "small"
		} else if n > b.NameLines {
			class = "small mark"
		}
		fmt.Fprintf(p, `<text class=%q x="%d" y="%d">`, class, middle, y+n*line)
		p.printf("%s</text>", text)
	}
	p.WriteString("</g>\n")
}

// key is the legend beneath a picture.
type key struct {
	bytes.Buffer
	width, x, y int
	height      int
}

// entry writes an entry of the legend, on a new line where this one is full.
func (k *key) entry(symbol, text string) {
	w := 34 + textWidth(text, smallChar-1) + 24
	if k.x > 0 && k.x+w > k.width {
		k.x, k.y = 0, k.y+20
	}
	fmt.Fprintf(k, `<g transform="translate(%d %d)">%s`, k.x, k.y, symbol)
	writeText(&k.Buffer, "<text class=\"small\" x=\"34\" y=\"4\">%s</text></g>\n", text)
	k.x += w
	k.height = k.y + 16
}

// legend explains the colours and lines that the picture has.
func (p *picture) legend(width int) *key {
	k := &key{width: width, y: 28}
	for n, service := range p.services {
		k.entry(fmt.Sprintf(`<g class="step s%d"><rect class="box" x="2" y="-7" width="24" height="14" rx="4"/></g>`, n), clip(service, 60))
	}
	k.x, k.y = 0, k.y+22
	has := func(kind Kind) bool {
		return slices.ContainsFunc(p.Edges, func(e Edge) bool { return e.Kind == kind })
	}
	for _, l := range []struct {
		kind Kind
		text string
	}{
		{After, "waits for, gets its output"},
		{Uses, "also reads its output"},
		{UndoUses, "reads it when undone"},
		{Undo, "is undone after"},
	} {
		if has(l.kind) {
			k.entry(fmt.Sprintf(`<path class="edge %s" d="M0 0H26" marker-end="url(#%s-%s)"/>`, l.kind, p.scope(), l.kind), l.text)
		}
	}
	if slices.Contains(p.undoable, true) {
		k.entry(`<path class="turn" d="M8 -4h7a4 4 0 0 1 0 8h-4m1 -11l-4 3l4 3"/>`, "has a compensation")
	}
	if slices.ContainsFunc(p.steps, func(s choreo.StepDef) bool { return s.Optional }) {
		k.entry(`<g class="step optional"><rect class="box" x="2" y="-7" width="24" height="14" rx="4"/></g>`, "optional")
	}
	if p.pivot >= 0 {
		k.entry(`<g class="step pivot"><rect class="rim" x="0" y="-9" width="28" height="18" rx="6"/>`+
			`<rect class="box" x="3" y="-6" width="22" height="12" rx="4"/></g>`, "pivot")
	}
	return k
}
