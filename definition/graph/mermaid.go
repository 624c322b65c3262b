package graph

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/choreo"
)

// Mermaid draws a saga as a flowchart for Mermaid (https://mermaid.js.org/syntax/flowchart.html),
// without the fence that Markdown puts around it. A compensation is a node of its own beside
// its step.
func Mermaid(saga choreo.AnySaga, opts Options) string {
	m := newModel(saga)
	w := &mermaid{model: m}
	direction := "TB"
	if opts.Direction == Right || opts.Direction == Auto && arrange(m, opts).Direction == Right {
		direction = "LR"
	}
	w.line("---")
	w.line("title: \"%s\"", titleText(m.def.String()+" · "+clip(m.caption(), 120)))
	w.line("---")
	w.line("flowchart %s", direction)
	w.line("  start((\" \")):::start")
	w.nodes()
	w.edges()
	w.classes()
	return w.String()
}

type mermaid struct {
	*model
	strings.Builder
	links int
	red   []string // the positions of the links of compensations
}

func (w *mermaid) line(format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...)
}

func (w *mermaid) nodes() {
	for n, service := range w.services {
		w.line("  subgraph service%d[%s]", n, mermaidText(service))
		for i := range w.steps {
			if w.serviceOf(i) != n {
				continue
			}
			open, shut := "[", "]"
			if i == w.pivot {
				open, shut = "{{", "}}"
			}
			w.line("    step%d%s%s%s", i, open, mermaidText(w.lines(i)...), shut)
			w.line("    class step%d color%d", i, n)
			if i == w.pivot {
				w.line("    class step%d pivot", i)
			}
			if w.steps[i].Optional {
				w.line("    class step%d optional", i)
			}
			if w.undoable[i] {
				w.line("    undo%d([%s]):::undo", i, mermaidText("undo "+w.steps[i].Name))
			}
		}
		w.line("  end")
	}
}

// lines are the lines of text in a step's node.
func (m *model) lines(i int) []string {
	lines := append([]string{m.steps[i].Name}, clip(m.owner(i), 60))
	for _, mark := range m.marks(i) {
		lines = append(lines, clip(mark, 60))
	}
	if m.past[i] {
		lines = append(lines, "past the pivot: only forward")
	}
	return lines
}

func (w *mermaid) edges() {
	for _, l := range w.model.links {
		from := "start"
		if l.from >= 0 {
			from = fmt.Sprintf("step%d", l.from)
		}
		to := fmt.Sprintf("step%d", l.to)
		arrow := "-->"
		switch l.kind {
		case Undo:
			continue
		case Uses:
			arrow = "-.->"
		case UndoUses:
			arrow, to = "-.->", fmt.Sprintf("undo%d", l.to)
		case Start, After:
		}
		if l.payload != "" {
			arrow += "|" + mermaidText(clip(l.payload, 60)) + "|"
		}
		w.link(l.kind == UndoUses, from, arrow, to)
	}
	for i := range w.steps {
		if w.undoable[i] {
			w.link(true, fmt.Sprintf("step%d", i), "-.-", fmt.Sprintf("undo%d", i))
		}
	}
	for _, l := range w.undoLinks() {
		w.link(true, fmt.Sprintf("undo%d", l[0]), "-->", fmt.Sprintf("undo%d", l[1]))
	}
}

func (w *mermaid) link(red bool, from, arrow, to string) {
	w.line("  %s %s %s", from, arrow, to)
	if red {
		w.red = append(w.red, strconv.Itoa(w.links))
	}
	w.links++
}

func (w *mermaid) classes() {
	w.line("  classDef start fill:#3b4252,stroke:#3b4252")
	w.line("  classDef undo fill:#fdf1f0,stroke:#c2413b,color:#1f2430")
	w.line("  classDef optional stroke-dasharray:6 4")
	w.line("  classDef pivot stroke-width:4px")
	for n := range w.services {
		hue := hueOf(n, len(w.services))
		w.line("  classDef color%d fill:%s,stroke:%s,color:#1f2430", n, hsl(hue, 72, 94), hsl(hue, 50, 40))
	}
	if len(w.red) > 0 {
		w.line("  linkStyle %s stroke:#c2413b", strings.Join(w.red, ","))
	}
}

// mermaidText is a quoted text of lines in which nothing has a meaning: what is no letter,
// digit or plain sign stands as its code.
func mermaidText(lines ...string) string {
	var b strings.Builder
	b.WriteByte('"')
	for n, text := range lines {
		if n > 0 {
			b.WriteString("<br/>")
		}
		for _, r := range text {
			switch r = printable(r); {
			case r == ' ' || r == '-' || r == '.' || r == ',' || r == '/' || r == '_' || r > 0x9F,
				r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
				b.WriteRune(r)
			default:
				fmt.Fprintf(&b, "#%d;", r)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

// titleText keeps text that a quoted YAML string holds as it is: control characters are gone, and
// what a caption may not say in a header of a flowchart is left out.
func titleText(text string) string {
	return strings.Map(func(r rune) rune {
		switch r = printable(r); r {
		case '"', '\\', '<', '>', '%', '{', '}', '&', '#', ';':
			return '\''
		}
		return r
	}, text)
}
