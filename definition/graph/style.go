package graph

import (
	"fmt"
	"strings"
)

// style writes the colours, for light and for dark, and the heads of the arrows.
func (p *picture) style() {
	p.WriteString("<style>\n")
	p.WriteString(styles)
	var dark strings.Builder
	for n := range p.services {
		hue := hueOf(n, len(p.services))
		fmt.Fprintf(p, ".%s .s%d .box{fill:%s;stroke:%s}\n", p.scope(), n, hsl(hue, 72, 94), hsl(hue, 50, 40))
		fmt.Fprintf(&dark, ".%s .s%d .box{fill:%s;stroke:%s}\n", p.scope(), n, hsl(hue, 34, 20), hsl(hue, 50, 62))
	}
	fmt.Fprintf(p, "@media (prefers-color-scheme:dark){\n%s%s}\n</style>\n<defs>\n", darkStyles, dark.String())
	for _, kind := range []Kind{Start, After, Uses, UndoUses, Undo} {
		fmt.Fprintf(p, `<marker id="%s-%s" class="head %s" viewBox="0 0 8 8" refX="7.5" refY="4" `+
			`markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5L8 4L0 7.5z"/></marker>`+"\n",
			p.scope(), kind, kind)
	}
	p.WriteString("</defs>\n")
}

const styles = `.choreo-graph text{font:12px system-ui,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2430}
.choreo-graph .title{font-size:18px;font-weight:600}
.choreo-graph .small{font-size:12px;fill:#4a5161}
.choreo-graph .name,.choreo-graph .label{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace}
.choreo-graph .name{font-size:13px;font-weight:600}
.choreo-graph .step text{text-anchor:middle}
.choreo-graph .mark{font-style:italic}
.choreo-graph .label{font-size:11px}
.choreo-graph .halo{stroke:#fff;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
.choreo-graph .ground{fill:#fff}
.choreo-graph .box{fill:#f4f5f7;stroke:#5a6172;stroke-width:1.5}
.choreo-graph .optional .box{stroke-dasharray:6 4}
.choreo-graph .rim{fill:none;stroke:#1f2430;stroke-width:2}
.choreo-graph .edge{fill:none;stroke:#3b4252;stroke-width:1.6}
.choreo-graph .head path,.choreo-graph .begin circle{fill:#3b4252}
.choreo-graph .edge.uses{stroke:#7a8194;stroke-width:1.1;stroke-dasharray:5 4}
.choreo-graph .head.uses path{fill:#7a8194}
.choreo-graph .label.uses{fill:#5c6375}
.choreo-graph .edge.undo,.choreo-graph .turn{fill:none;stroke:#c2413b;stroke-width:1.3}
.choreo-graph .edge.undo-uses{stroke:#c2413b;stroke-width:1.1;stroke-dasharray:2 4}
.choreo-graph .head.undo path,.choreo-graph .head.undo-uses path{fill:#c2413b}
.choreo-graph .label.undo-uses{fill:#a8322d}
.choreo-graph .strip{stroke:#c2413b;stroke-opacity:.35;fill:none}
.choreo-graph .turn{stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}
.choreo-graph .past{fill:#1f2430;fill-opacity:.045}
.choreo-graph .pastline{stroke:#1f2430;stroke-opacity:.5;stroke-dasharray:8 5}
.choreo-graph .pasttext{font-style:italic}
`

const darkStyles = `.choreo-graph text{fill:#e6e8ee}
.choreo-graph .small{fill:#b4bac8}
.choreo-graph .halo{stroke:#14171d}
.choreo-graph .ground{fill:#14171d}
.choreo-graph .box{fill:#252a34;stroke:#9aa2b4}
.choreo-graph .rim{stroke:#e6e8ee}
.choreo-graph .edge{stroke:#b9c0cf}
.choreo-graph .head path,.choreo-graph .begin circle{fill:#b9c0cf}
.choreo-graph .edge.uses{stroke:#81899b}
.choreo-graph .head.uses path{fill:#81899b}
.choreo-graph .label.uses{fill:#a3abbd}
.choreo-graph .edge.undo,.choreo-graph .edge.undo-uses,.choreo-graph .turn{stroke:#f0837c}
.choreo-graph .head.undo path,.choreo-graph .head.undo-uses path{fill:#f0837c}
.choreo-graph .label.undo-uses{fill:#f0837c}
.choreo-graph .strip{stroke:#f0837c}
.choreo-graph .past{fill:#fff;fill-opacity:.06}
.choreo-graph .pastline{stroke:#e6e8ee}
`

// hueOf spreads the services over the colours and keeps clear of the red of compensations.
func hueOf(n, services int) int {
	const from, span, first = 25, 310, 180
	return from + (first+n*span/services)%span
}

// hsl returns a colour by hue in degrees, saturation and lightness in percent, after the
// conversion in CSS Color 4 (https://www.w3.org/TR/css-color-4/#hsl-to-rgb). It counts in
// integers, so that every machine has the same.
func hsl(hue, saturation, lightness int) string {
	channel := func(n int) int {
		k := (n*30 + hue) % 360 // degrees from the start of the channel
		a := saturation * min(lightness, 100-lightness)
		part := max(-30, min(k-90, 270-k, 30))
		return (lightness*100*30 - a*part) * 255 / (100 * 100 * 30)
	}
	return fmt.Sprintf("#%02x%02x%02x", channel(0), channel(8), channel(4))
}
