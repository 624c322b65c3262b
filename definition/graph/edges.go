package graph

import "slices"

// edges leads every edge through its layers and puts the names beside them.
func (d *drawing) edges() {
	for t := range d.trunks {
		tr := &d.trunks[t]
		targets := slices.Clone(tr.targets)
		slices.Sort(targets)
		shift := 0
		if d.doubled(t) {
			shift = track
		}
		for _, to := range targets {
			path := d.path(t, to)
			e := Edge{Kind: tr.kind, From: d.name(tr.from), To: d.name(to), Payload: tr.payload}
			e.Curve = d.curve(path, -shift)
			d.Edges = append(d.Edges, e)
			if shift > 0 && d.mirror(tr.from-d.first, to-d.first) {
				slices.Reverse(path)
				d.Edges = append(d.Edges, Edge{
					Kind: Undo, From: d.name(to), To: d.name(tr.from), Curve: d.curve(path, shift),
				})
			}
		}
		for _, to := range tr.beside {
			d.Edges = append(d.Edges, Edge{
				Kind: tr.kind, From: d.name(tr.from), To: d.name(to), Payload: tr.payload, Curve: d.arc(t, to),
			})
		}
		d.label(t, shift)
	}
}

func (d *drawing) name(c int) string {
	if c < d.first {
		return ""
	}
	return d.steps[c-d.first].Name
}

// spot is a place on the axes.
type spot struct{ across, along int }

// path returns the places where an edge of a trunk goes from straight to curved and back.
func (d *drawing) path(t, to int) []spot {
	tr := &d.trunks[t]
	if tr.upward { // it is led downwards, and turned round
		down := d.descend(t, to, tr.from)
		slices.Reverse(down)
		return down
	}
	return d.descend(t, tr.from, to)
}

// descend leads an edge from the upper of two boxes to the lower.
func (d *drawing) descend(t, upper, lower int) []spot {
	tr := &d.trunks[t]
	begin := d.meet(upper, t, false)
	l := d.cells[upper].layer
	path := []spot{{begin, d.side(upper, false)}, {begin, d.ends[l] + d.stub(t, upper)}}
	for l++; l < d.cells[lower].layer; l++ {
		at := d.at(tr.passes[l])
		path = append(path, spot{at, d.starts[l]}, spot{at, d.ends[l]})
	}
	end := d.meet(lower, t, true)
	return straighten(append(path, spot{end, d.starts[l] - 12}, spot{end, d.side(lower, true)}))
}

// straighten leaves out the places in the midst of a straight line.
func straighten(path []spot) []spot {
	kept := path[:1]
	for n := 1; n < len(path); n++ {
		if last := kept[len(kept)-1].across; n+1 < len(path) && path[n].across == last && path[n+1].across == last {
			continue
		}
		kept = append(kept, path[n])
	}
	return kept
}

// stub returns how far an edge goes straight before it may swing: past its name, if it has one.
func (d *drawing) stub(t, c int) int {
	if kind := d.trunks[t].kind; kind == After || kind == Start {
		return d.stubs[d.cells[c].layer]
	}
	return 8
}

// curve makes a path of curves: straight along the direction where the place across stays,
// else an S. It runs beside the path by shift.
func (d *drawing) curve(path []spot, shift int) []Point {
	points := []Point{d.point(path[0].across+shift, path[0].along)}
	for n := 1; n < len(path); n++ {
		a, b := path[n-1], path[n]
		middle := (a.along + b.along) / 2
		// Where the way leads across, what runs beside it has to keep apart along.
		if swing, length := b.across-a.across, max(abs(b.along-a.along), 1); a.along < b.along {
			middle -= shift * max(-length, min(swing, length)) * 4 / 3 / length
		} else {
			middle += shift * max(-length, min(swing, length)) * 4 / 3 / length
		}
		points = append(points,
			d.point(a.across+shift, middle), d.point(b.across+shift, middle), d.point(b.across+shift, b.along))
	}
	return points
}

// arc leads an edge to a box in the same layer, around what stands between.
func (d *drawing) arc(t, to int) []Point {
	from := d.trunks[t].from
	a, b := d.meet(from, t, false), d.meet(to, t, false)
	deep := d.ends[d.cells[from].layer] + 36
	return []Point{
		d.point(a, d.side(from, false)), d.point(a, deep), d.point(b, deep), d.point(b, d.side(to, false)),
	}
}

// label puts the name of what a trunk hands on beside its beginning, and beside where it
// passes other steps.
func (d *drawing) label(t, shift int) {
	tr := &d.trunks[t]
	if tr.payload == "" {
		return
	}
	text := clip(tr.payload, labelLimit)
	if tr.kind == After || tr.kind == Start {
		at, end := d.meet(tr.from, t, false)-shift, d.side(tr.from, false)
		label := Label{Kind: tr.kind, Text: text, At: d.point(at-7, end+16), End: true}
		switch flipped := d.flipped[tr.from]; {
		case d.Direction == Right && flipped:
			label = Label{Kind: tr.kind, Text: text, At: d.point(at+2*shift+14, end+7)}
		case d.Direction == Right:
			label = Label{Kind: tr.kind, Text: text, At: d.point(at-6, end+7)}
		case flipped:
			label = Label{Kind: tr.kind, Text: text, At: d.point(at+2*shift+7, end+16)}
		}
		d.Labels = append(d.Labels, label)
	}
	for l := range d.layers {
		c, ok := tr.passes[l]
		if !ok || !d.cells[c].label {
			continue
		}
		label := Label{Kind: tr.kind, Text: text, At: d.point(d.at(c)+6, (d.starts[l]+d.ends[l])/2+4)}
		if d.Direction == Right {
			label.At = d.point(d.at(c)-5, d.starts[l]+4)
		}
		d.Labels = append(d.Labels, label)
	}
}
