package graph

import (
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/choreo"
)

// DOT draws a saga in the language of Graphviz (https://graphviz.org/doc/info/lang.html), a
// cluster a service. A compensation is a node of its own beside its step.
func DOT(saga choreo.AnySaga, opts Options) string {
	m := newModel(saga)
	w := &dot{model: m}
	direction := "TB"
	if opts.Direction == Right || opts.Direction == Auto && arrange(m, opts).Direction == Right {
		direction = "LR"
	}
	w.line("digraph %s {", dotText(m.def.String()))
	w.line("  graph [rankdir=%s, newrank=true, labelloc=t, fontname=\"Helvetica\", label=%s]",
		direction, dotText(m.def.String(), clip(m.caption(), 120)))
	w.line("  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=12]")
	w.line("  edge [fontname=\"Helvetica\", fontsize=10, color=\"#3b4252\"]")
	w.line("  start [shape=circle, label=\"\", width=0.25, fillcolor=\"#3b4252\"]")
	w.clusters()
	w.edges()
	w.line("}")
	return w.String()
}

type dot struct {
	*model
	strings.Builder
}

func (w *dot) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

func (w *dot) clusters() {
	for n, service := range w.services {
		hue := hueOf(n, len(w.services))
		w.line("  subgraph cluster_%d {", n)
		w.line("    label=%s; color=\"%s\"; fontcolor=\"#4a5161\"", dotText(service), hsl(hue, 50, 70))
		for i := range w.steps {
			if w.serviceOf(i) != n {
				continue
			}
			looks := ""
			if w.steps[i].Optional {
				looks += ", style=\"rounded,filled,dashed\""
			}
			if i == w.pivot {
				looks += ", peripheries=2, penwidth=2"
			}
			w.line("    step%d [label=%s, fillcolor=\"%s\", color=\"%s\"%s]",
				i, dotText(w.lines(i)...), hsl(hue, 72, 94), hsl(hue, 50, 40), looks)
			if w.undoable[i] {
				w.line("    undo%d [label=%s, fillcolor=\"#fdf1f0\", color=\"#c2413b\"]", i, dotText("undo "+w.steps[i].Name))
				w.line("    {rank=same; step%d; undo%d}", i, i)
			}
		}
		w.line("  }")
	}
}

func (w *dot) edges() {
	for _, l := range w.links {
		from, to := "start", fmt.Sprintf("step%d", l.to)
		if l.from >= 0 {
			from = fmt.Sprintf("step%d", l.from)
		}
		looks := ""
		switch l.kind {
		case Undo:
			continue
		case Uses:
			looks = ", style=dashed, penwidth=0.7, color=\"#7a8194\", fontcolor=\"#5c6375\""
		case UndoUses:
			to = fmt.Sprintf("undo%d", l.to)
			looks = ", style=dotted, color=\"#c2413b\", fontcolor=\"#a8322d\""
		case Start, After:
		}
		w.line("  %s -> %s [label=%s%s]", from, to, dotText(clip(l.payload, 60)), looks)
	}
	for i := range w.steps {
		if w.undoable[i] {
			w.line("  step%d -> undo%d [dir=none, style=dotted, color=\"#c2413b\"]", i, i)
		}
	}
	for _, l := range w.undoLinks() { // they run against the ranks that the steps give
		w.line("  undo%d -> undo%d [constraint=false, color=\"#c2413b\"]", l[0], l[1])
	}
}

// dotText is a quoted text of lines, in which neither Graphviz's escapes nor its entities
// have a meaning.
func dotText(lines ...string) string {
	escaped := make([]string, len(lines))
	for n, text := range lines {
		escaped[n] = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`).Replace(strings.Map(printable, text))
	}
	return `"` + strings.Join(escaped, `\n`) + `"`
}
