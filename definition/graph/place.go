package graph

// gap is the least room between two cells of a layer, in pixels.
const gap = 26

// place gives each cell its place across the layers: as near to its neighbours as the
// others of its layer allow. Each sweep solves a layer exactly, by isotonic regression.
func (g *grid) place() {
	for _, layer := range g.layers {
		at := 0
		for n, i := range layer {
			if n > 0 {
				at += g.apart(layer[n-1], i)
			}
			g.cells[i].at = at
		}
	}
	rounds := 40
	if len(g.cells) > maxTranspose {
		rounds = 8
	}
	for n := range rounds {
		last := n >= rounds-8
		for l := range g.layers {
			g.settle(l, true, last)
		}
		for l := range g.layers {
			g.settle(len(g.layers)-1-l, last, true)
		}
	}
	least := g.cells[0].at - g.cells[0].lo
	for i := range g.cells {
		least = min(least, g.cells[i].at-g.cells[i].lo)
	}
	for i := range g.cells {
		g.cells[i].at -= least
	}
}

// apart returns how far the middles of two neighbours in a layer are apart at least.
func (g *grid) apart(a, b int) int {
	room := gap * unit
	if g.cells[a].trunk >= 0 || g.cells[b].trunk >= 0 {
		room = room * 2 / 3
	}
	return g.cells[a].hi + room + g.cells[b].lo
}

// block is a run of cells that stand as close as they may.
type block struct{ sum, weight, size int }

// mean returns where the block wants to be.
func (b block) mean() int { return floorDiv(b.sum, b.weight) }

// settle moves the cells of a layer towards their neighbours above, below or both. With the
// room between cells taken off, their places have to rise: the least squares are found by
// pooling neighbours that are in the wrong order.
func (g *grid) settle(l int, above, below bool) {
	layer := g.layers[l]
	blocks := make([]block, 0, len(layer))
	offset := 0
	for n, i := range layer {
		if n > 0 {
			offset += g.apart(layer[n-1], i)
		}
		want, weight := g.wish(i, above, below)
		blocks = append(blocks, block{(want - offset) * weight, weight, 1})
		for k := len(blocks) - 1; k > 0 && blocks[k-1].mean() > blocks[k].mean(); k-- {
			b := blocks[k]
			blocks[k-1].sum += b.sum
			blocks[k-1].weight += b.weight
			blocks[k-1].size += b.size
			blocks = blocks[:k]
		}
	}
	n, offset := 0, 0
	for _, b := range blocks {
		for range b.size {
			if n > 0 {
				offset += g.apart(layer[n-1], layer[n])
			}
			g.cells[layer[n]].at = b.mean() + offset
			n++
		}
	}
}

// wish returns where a cell wants to be, and how much.
func (g *grid) wish(i int, above, below bool) (at, weight int) {
	c := &g.cells[i]
	sum := 0
	add := func(sides []side) {
		for _, s := range sides {
			sum += g.cells[s.cell].at * s.weight
			weight += s.weight
		}
	}
	if above {
		add(c.up)
	}
	if below {
		add(c.down)
	}
	if weight == 0 {
		return c.at, 1
	}
	return floorDiv(sum, weight), weight
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}
