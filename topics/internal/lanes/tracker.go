package lanes

import "sync"

// tracker knows up to which offset all records of one partition are handled. It keeps
// a list of the records that are not, in the order in which they were submitted, and
// nothing of those that are: whatever the lanes overtake, it is no longer than the
// records in flight.
type tracker struct {
	mu    sync.Mutex
	nodes []node // nodes[0] is the list's head, a sentinel; the others are records
	free  int32  // first of the unused nodes, linked by next; 0: none

	// The sentinel's after is the next offset to commit; reported is what Offsets
	// returned last.
	reported int64
}

// node is a record in flight. after is the next offset to commit once it and all
// before it are handled: that of the record behind the handled ones that follow it.
type node struct {
	after      int64
	prev, next int32
}

// unknown is the next offset of a partition of which nothing has been handled.
const unknown = -1

func newTracker() *tracker {
	return &tracker{nodes: []node{{after: unknown}}, reported: unknown}
}

// skip notes a record that needs no handling.
func (t *tracker) skip(offset int64) {
	t.mu.Lock()
	t.nodes[t.nodes[0].prev].after = offset + 1
	t.mu.Unlock()
}

// add notes a record in flight and returns its place for done.
func (t *tracker) add(offset int64) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.free
	if i == 0 {
		i = int32(len(t.nodes))
		t.nodes = append(t.nodes, node{})
	} else {
		t.free = t.nodes[i].next
	}
	last := t.nodes[0].prev
	t.nodes[i] = node{after: offset + 1, prev: last, next: 0}
	t.nodes[last].next = i
	t.nodes[0].prev = i
	return i
}

// done notes that the record at place i is handled: the one before it, or the
// sentinel, takes over its claim.
func (t *tracker) done(i int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[i]
	t.nodes[n.prev].after = n.after
	t.nodes[n.prev].next = n.next
	t.nodes[n.next].prev = n.prev
	t.nodes[i].next = t.free
	t.free = i
}

// changed returns the next offset to commit, and whether it is another than at the
// last call.
func (t *tracker) changed() (offset int64, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	offset = t.nodes[0].after
	changed = offset != t.reported
	t.reported = offset
	return offset, changed
}
