package graph

import (
	"cmp"
	"slices"
)

// cell is what takes up room in a layer: a box, or an edge that passes through.
type cell struct {
	step  int // index of the step, -1 for the start; of no meaning for a passing edge
	trunk int // index of the trunk that passes through, -1 for a box
	layer int
	pos   int // in its layer
	lo    int // room that it needs before and behind its middle, in units
	hi    int
	at    int // its middle across the layers, in units
	label bool
	up    []side // in the layer above, and in the one below
	down  []side
}

// side is a neighbour in the next layer.
type side struct{ cell, weight int }

// trunk is all edges of one kind that leave one step in one direction. They share the way
// that they have in common, so that a step that many read from is not lost in lines.
type trunk struct {
	kind    Kind
	from    int  // cell
	upward  bool // an order of undoing may lead to an earlier layer
	payload string
	targets []int       // cells, in other layers
	beside  []int       // cells in the same layer
	passes  map[int]int // layer → cell
}

// grid is the picture as layers of cells.
type grid struct {
	cells  []cell
	trunks []trunk
	layers [][]int
	first  int // the cell of step 0; that of the start is before it
}

// unit is the resolution of places: sixteenths of a pixel, so that integers are enough.
const unit = 16

func newGrid(m *model) *grid {
	g := &grid{first: 1}
	layers := make([]int, len(m.steps))
	deepest := 0
	for i := range m.steps {
		layers[i] = 1
		for _, name := range m.steps[i].After {
			layers[i] = max(layers[i], layers[m.index[name]]+1)
		}
		deepest = max(deepest, layers[i])
	}
	g.layers = make([][]int, deepest+1)
	g.add(cell{step: -1, trunk: -1, layer: 0})
	for i := range m.steps {
		g.add(cell{step: i, trunk: -1, layer: layers[i]})
	}
	g.addTrunks(m)
	for t := range g.trunks {
		g.route(t)
	}
	return g
}

func (g *grid) add(c cell) int {
	c.pos = len(g.layers[c.layer])
	g.cells = append(g.cells, c)
	g.layers[c.layer] = append(g.layers[c.layer], len(g.cells)-1)
	return len(g.cells) - 1
}

// addTrunks gathers the links that are drawn on their own. Compensations that mirror the
// steps are drawn beside the arrows of these.
func (g *grid) addTrunks(m *model) {
	type key struct {
		kind   Kind
		from   int
		upward bool
	}
	known := map[key]int{}
	for _, l := range m.links {
		if l.kind == Undo && m.mirrored() {
			continue
		}
		from, to := g.first+l.from, g.first+l.to
		k := key{l.kind, from, g.cells[to].layer < g.cells[from].layer}
		t, ok := known[k]
		if !ok {
			t = len(g.trunks)
			known[k] = t
			g.trunks = append(g.trunks, trunk{
				kind: l.kind, from: from, upward: k.upward, payload: l.payload, passes: map[int]int{},
			})
		}
		if g.cells[to].layer == g.cells[from].layer {
			g.trunks[t].beside = append(g.trunks[t].beside, to)
		} else {
			g.trunks[t].targets = append(g.trunks[t].targets, to)
		}
	}
}

// route leads a trunk through the layers between its ends.
func (g *grid) route(t int) {
	tr := &g.trunks[t]
	start := g.cells[tr.from].layer
	way := 1
	if tr.upward {
		way = -1
	}
	slices.SortStableFunc(tr.targets, func(a, b int) int {
		return way * cmp.Compare(g.cells[a].layer, g.cells[b].layer)
	})
	before := tr.from
	for _, to := range tr.targets {
		for layer := start + way; layer != g.cells[to].layer; layer += way {
			pass, ok := tr.passes[layer]
			if !ok {
				// The name stands where the trunk begins, and again where it has been a while.
				label := tr.payload != "" && (tr.kind == Uses || tr.kind == UndoUses) && (layer-start)%4 == 1
				pass = g.add(cell{trunk: t, layer: layer, label: label})
				tr.passes[layer] = pass
				g.join(before, pass, way, tr.kind)
			}
			before = pass
		}
		g.join(before, to, way, tr.kind)
		before = tr.from
	}
}

// join makes two cells neighbours.
func (g *grid) join(from, to, way int, kind Kind) {
	if way < 0 {
		from, to = to, from
	}
	main := kind == After || kind == Start
	g.cells[from].down = append(g.cells[from].down, side{to, g.pull(from, to, main)})
	g.cells[to].up = append(g.cells[to].up, side{from, g.pull(to, from, main)})
}

// pull says how much a neighbour draws a cell to its side. A box goes by the arrows that it
// waits for and sends, and what passes makes room: so a chain of steps stays straight.
func (g *grid) pull(c, other int, main bool) int {
	box, otherBox := g.cells[c].trunk < 0, g.cells[other].trunk < 0
	switch {
	case box && !main:
		return 0
	case box && otherBox:
		return 40000
	case box:
		return 10000
	case main && otherBox:
		return 800
	case main:
		return 1600
	case otherBox:
		return 1
	}
	return 6
}

// The effort that goes into order is bounded: a definition may come from a file that wants
// to be drawn for ever.
const (
	sweeps       = 24
	maxTranspose = 3000 // cells above which neighbours are no longer exchanged one by one
	maxSweep     = 60000
)

// order sorts the cells of each layer so that few edges cross.
func (g *grid) order() {
	if len(g.cells) > maxSweep {
		return
	}
	best, least := g.positions(), g.crossings()
	for n := range sweeps {
		if least == 0 {
			break
		}
		down := n%2 == 0
		for i := range g.layers {
			layer := i
			if !down {
				layer = len(g.layers) - 1 - i
			}
			g.sortLayer(layer, down, n%4 >= 2)
		}
		if len(g.cells) <= maxTranspose {
			g.transpose()
		}
		if c := g.crossings(); c < least {
			best, least = g.positions(), c
		}
	}
	for i, pos := range best {
		g.cells[i].pos = pos
	}
	for _, layer := range g.layers {
		slices.SortFunc(layer, func(a, b int) int { return cmp.Compare(g.cells[a].pos, g.cells[b].pos) })
	}
}

func (g *grid) positions() []int {
	all := make([]int, len(g.cells))
	for i := range g.cells {
		all[i] = g.cells[i].pos
	}
	return all
}

// sortLayer puts each cell where its neighbours are on average. Where two are equal, flip
// says whether they change places: that leads out of orders that are good only nearby.
func (g *grid) sortLayer(layer int, down, flip bool) {
	centre := make(map[int]int, len(g.layers[layer]))
	for _, i := range g.layers[layer] {
		c := &g.cells[i]
		sides := c.down
		if down {
			sides = c.up
		}
		sum := 0
		for _, s := range sides {
			sum += g.cells[s.cell].pos
		}
		centre[i] = c.pos * 1024
		if len(sides) > 0 {
			centre[i] = sum * 1024 / len(sides)
		}
	}
	sign := 1
	if flip {
		sign = -1
	}
	slices.SortFunc(g.layers[layer], func(a, b int) int {
		return cmp.Or(cmp.Compare(centre[a], centre[b]), sign*cmp.Compare(g.cells[a].pos, g.cells[b].pos))
	})
	for pos, i := range g.layers[layer] {
		g.cells[i].pos = pos
	}
}

// transpose exchanges neighbours in a layer where fewer edges cross then.
func (g *grid) transpose() {
	for range 4 {
		better := false
		for _, layer := range g.layers {
			for n := 1; n < len(layer); n++ {
				a, b := layer[n-1], layer[n]
				ca, cb := &g.cells[a], &g.cells[b]
				as, swapped := g.between(ca.up, cb.up)
				as2, swapped2 := g.between(ca.down, cb.down)
				if swapped+swapped2 < as+as2 {
					layer[n-1], layer[n] = b, a
					ca.pos, cb.pos = cb.pos, ca.pos
					better = true
				}
			}
		}
		if !better {
			return
		}
	}
}

// between counts how often edges to a and to b, which stands behind a, cross: as they
// stand, and if they changed places.
func (g *grid) between(a, b []side) (as, swapped int) {
	for _, x := range a {
		for _, y := range b {
			switch px, py := g.cells[x.cell].pos, g.cells[y.cell].pos; {
			case px > py:
				as++
			case px < py:
				swapped++
			}
		}
	}
	return as, swapped
}

// crossings counts the edges that cross, by inversions in a binary indexed tree, after Barth,
// Jünger and Mutzel, "Simple and efficient bilayer cross counting" (GD 2002).
func (g *grid) crossings() int {
	total := 0
	for l := 0; l+1 < len(g.layers); l++ {
		tree := make([]int, len(g.layers[l+1])+1)
		seen := 0
		for _, i := range g.layers[l] {
			ends := make([]int, 0, len(g.cells[i].down))
			for _, s := range g.cells[i].down {
				ends = append(ends, g.cells[s.cell].pos)
			}
			for _, end := range ends {
				upTo := 0
				for n := end + 1; n > 0; n -= n & -n {
					upTo += tree[n]
				}
				total += seen - upTo
			}
			for _, end := range ends {
				for n := end + 1; n < len(tree); n += n & -n {
					tree[n]++
				}
			}
			seen += len(ends)
		}
	}
	return total
}
