package graph

import (
	"cmp"
	"slices"
)

// drawing turns a grid into places: "across" is the axis of a layer, "along" that of the
// direction.
type drawing struct {
	*model
	*grid
	*Layout
	plugs map[plugKey]int // where an edge meets a box, from its middle, in pixels
	// flipped are the cells whose output is named behind the arrow, as others lead away before it.
	flipped map[int]bool
	starts  []int // of each layer, along
	ends    []int
	stubs   []int // how far edges go straight after a layer
	far     []int // how far across the edges go after a layer
}

// plugKey names the place where a trunk meets a box.
type plugKey struct {
	cell, trunk int
	upper       bool // on the side that looks to earlier layers
}

// across and along measure a box on the axes.
func (d *drawing) across(b *Box) int {
	if d.Direction == Right {
		return b.Height
	}
	return b.Width
}

func (d *drawing) along(b *Box) int {
	if d.Direction == Right {
		return b.Width
	}
	return b.Height
}

func (d *drawing) point(across, along int) Point {
	if d.Direction == Right {
		return Point{along, across}
	}
	return Point{across, along}
}

// mirror reports whether a link has a compensation that runs the other way beside it.
func (d *drawing) mirror(from, to int) bool {
	return d.mirrored() && from >= 0 && !d.past[to] && to != d.pivot
}

// doubled reports whether a compensation runs beside some edge of the trunk.
func (d *drawing) doubled(t int) bool {
	tr := &d.trunks[t]
	return tr.kind == After && slices.ContainsFunc(tr.targets, func(to int) bool {
		return d.mirror(tr.from-d.first, to-d.first)
	})
}

// labelled says how wide the name of what a cell hands on is, 0 for none.
func (d *drawing) labelled(c int) int {
	for t := range d.trunks {
		if tr := &d.trunks[t]; tr.from == c && tr.payload != "" && (tr.kind == After || tr.kind == Start) {
			return textWidth(clip(tr.payload, labelLimit), labelChar) + 12
		}
	}
	return 0
}

// size says how much room cells need across their layer.
func (d *drawing) size() {
	meets := d.meets()
	for i := range d.cells {
		c := &d.cells[i]
		if c.trunk >= 0 {
			c.lo, c.hi = 8*unit, 8*unit
			if c.label && d.Direction == Down {
				c.hi = (10 + textWidth(clip(d.trunks[c.trunk].payload, labelLimit), labelChar)) * unit
			} else if c.label {
				c.lo = 16 * unit
			}
			continue
		}
		b := d.box(d.grid, i)
		if d.Direction == Right {
			b.Height = max(b.Height, min(meets[i], 60)*12)
		} else {
			b.Width = max(b.Width, min(meets[i], 60)*12)
		}
		c.lo = d.across(b) * unit / 2
		if d.Direction == Down {
			c.lo = max(c.lo, d.labelled(i)*unit)
		}
		c.hi = c.lo // the name may come to stand on either side
	}
}

// meets counts the trunks that meet a cell, on the side where they are more.
func (d *drawing) meets() []int {
	upper, lower := make([]int, len(d.cells)), make([]int, len(d.cells))
	for t := range d.trunks {
		tr := &d.trunks[t]
		from, to := lower, upper
		if tr.upward {
			from, to = upper, lower
		}
		from[tr.from]++
		for _, c := range tr.targets {
			to[c]++
		}
		for _, c := range tr.beside {
			lower[c]++
		}
	}
	for i := range upper {
		upper[i] = max(upper[i], lower[i])
	}
	return upper
}

// plug says where edges meet boxes. Arrows that a step waits for come in at the middle,
// sorted so that they do not cross; what it reads besides comes in at their sides.
func (d *drawing) plug() {
	type end struct {
		key  plugKey
		peer int // where it comes from or leads to, on average
		main bool
	}
	all := map[[2]int][]end{}
	add := func(cell, t int, upper bool, peers ...int) {
		sum := 0
		for _, p := range peers {
			sum += d.cells[p].at
		}
		side := 0
		if upper {
			side = 1
		}
		main := d.trunks[t].kind == After || d.trunks[t].kind == Start
		k := [2]int{cell, side}
		all[k] = append(all[k], end{plugKey{cell, t, upper}, sum / max(len(peers), 1), main})
	}
	for t := range d.trunks {
		tr := &d.trunks[t]
		if len(tr.targets) > 0 {
			var next []int
			for _, to := range tr.targets {
				next = append(next, d.next(t, to))
			}
			add(tr.from, t, tr.upward, next...)
		} else if len(tr.beside) > 0 {
			add(tr.from, t, false, tr.beside...)
		}
		for _, to := range tr.targets {
			add(to, t, !tr.upward, d.before(t, to))
		}
		for _, to := range tr.beside {
			add(to, t, false, tr.from)
		}
	}
	for c := range d.cells {
		for side := range 2 {
			ends := all[[2]int{c, side}]
			slices.SortStableFunc(ends, func(a, b end) int { return cmp.Compare(a.peer, b.peer) })
			var left, mains, right []plugKey
			for _, e := range ends {
				switch {
				case e.main:
					mains = append(mains, e.key)
				case e.peer < d.cells[c].at:
					left = append(left, e.key)
				default:
					right = append(right, e.key)
				}
			}
			if side == 0 { // one side of the middle is for the name of the output
				if len(left) > len(right) {
					d.flipped[c] = true
					left, right = append(left, right...), nil
				} else {
					left, right = nil, append(left, right...)
				}
			}
			d.spread(c, left, mains, right)
		}
	}
}

// next returns the cell to which a trunk goes first on its way to a target.
func (d *drawing) next(t, to int) int {
	tr := &d.trunks[t]
	l := d.cells[tr.from].layer + 1
	if tr.upward {
		l -= 2
	}
	if pass, ok := tr.passes[l]; ok && l != d.cells[to].layer {
		return pass
	}
	return to
}

// before returns the cell from which a trunk reaches one of its targets.
func (d *drawing) before(t, to int) int {
	tr := &d.trunks[t]
	way := 1
	if tr.upward {
		way = -1
	}
	if pass, ok := tr.passes[d.cells[to].layer-way]; ok && d.cells[to].layer-way != d.cells[tr.from].layer {
		return pass
	}
	return tr.from
}

// spread puts the ends of edges on the side of a box, the mains around its middle.
func (d *drawing) spread(c int, left, mains, right []plugKey) {
	if d.cells[c].trunk >= 0 {
		return
	}
	half := d.across(d.box(d.grid, c))/2 - 8
	const step = 20
	offsets := map[plugKey]int{}
	for n, k := range mains {
		offsets[k] = (2*n - len(mains) + 1) * step / 2
	}
	edge := max(len(mains)-1, 0) * step / 2
	for n, k := range right {
		offsets[k] = edge + (n+1)*step
	}
	for n, k := range left {
		offsets[k] = -edge - (len(left)-n)*step
	}
	widest := 1
	for _, o := range offsets {
		widest = max(widest, o, -o)
	}
	for k, o := range offsets {
		if widest > half {
			o = o * max(half, 0) / widest
		}
		d.plugs[k] = o
	}
}

// at returns where a cell's middle is across, in pixels.
func (d *drawing) at(c int) int { return floorDiv(d.cells[c].at+unit/2, unit) }

// meet returns where a trunk meets a box across, in pixels.
func (d *drawing) meet(c, t int, upper bool) int { return d.at(c) + d.plugs[plugKey{c, t, upper}] }

// bands says where layers begin and end along the direction. The wider edges have to
// swing between two layers, the further these are apart.
func (d *drawing) bands() {
	n := len(d.layers)
	d.starts, d.ends, d.stubs, d.far = make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	for i := range d.cells {
		for _, s := range d.cells[i].down {
			d.far[d.cells[i].layer] = max(d.far[d.cells[i].layer], abs(d.at(i)-d.at(s.cell)))
		}
	}
	at := 4
	for l, layer := range d.layers {
		thick := 0
		d.stubs[l] = 24
		beside := false
		for _, c := range layer {
			if d.cells[c].trunk >= 0 {
				if d.Direction == Right && d.cells[c].label {
					thick = max(thick, textWidth(clip(d.trunks[d.cells[c].trunk].payload, labelLimit), labelChar)+8)
				}
				continue
			}
			thick = max(thick, d.along(d.box(d.grid, c)))
			if d.Direction == Right {
				d.stubs[l] = max(d.stubs[l], d.labelled(c)+6)
			}
		}
		for t := range d.trunks {
			beside = beside || len(d.trunks[t].beside) > 0 && d.cells[d.trunks[t].from].layer == l
		}
		d.starts[l], d.ends[l] = at, at+thick
		at += thick + d.stubs[l] + min(max(26, d.far[l]/5), 120) + 14
		if beside {
			at += 20
		}
		if p := d.pivot; p >= 0 && l == d.cells[d.first+p].layer && l+1 < n {
			d.PastPivot = at - 2
			at += 22 // for the words that say so
		}
	}
}

func abs(n int) int { return max(n, -n) }

// boxes puts the boxes into the middle of their layers.
func (d *drawing) boxes() {
	across := 0
	for c := range d.cells {
		across = max(across, d.at(c)+d.cells[c].hi/unit)
		if d.cells[c].trunk >= 0 {
			continue
		}
		b := d.box(d.grid, c)
		l := d.cells[c].layer
		p := d.point(d.at(c)-d.across(b)/2, d.starts[l]+(d.ends[l]-d.starts[l]-d.along(b))/2)
		b.X, b.Y = p.X, p.Y
	}
	size := d.point(across+4, d.ends[len(d.ends)-1]+4)
	for t := range d.trunks {
		if len(d.trunks[t].beside) > 0 && d.cells[d.trunks[t].from].layer == len(d.layers)-1 {
			size = d.point(across+4, d.ends[len(d.ends)-1]+40)
		}
	}
	d.Width, d.Height = size.X, size.Y
	if d.Direction == Right && d.PastPivot > 0 {
		d.Height += 20 // for the words about what lies past the pivot
	}
}

// side returns where a box ends along the direction, or begins.
func (d *drawing) side(c int, upper bool) int {
	b := d.box(d.grid, c)
	at := b.Y
	if d.Direction == Right {
		at = b.X
	}
	if upper {
		return at
	}
	return at + d.along(b)
}
