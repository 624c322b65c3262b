package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// Options configures [New]. The zero value of a field is its default.
type Options struct {
	// MaxEnded bounds how many sagas that have ended are kept; those that ended first make room.
	// Sagas that have not ended are never dropped. Default: 1,000,000; negative: no bound.
	MaxEnded int
}

// Model is a read model in memory. Make it with [New]. It is safe for concurrent use.
type Model struct {
	options Options
	packer  *tracker.Packer

	mu        sync.RWMutex
	closed    bool
	rows      map[key]uint32
	free      []uint32
	columns   columns
	classes   classes
	texts     texts
	ended     int
	positions map[place]int64
}

var _ tracker.Model = (*Model)(nil)

type key struct{ saga, id string }

type place struct {
	topic     string
	partition int32
}

// columns are the rows by what queries ask of them. A free row has the class none.
type columns struct {
	class   []uint32
	started []int64
	updated []int64
	ended   []int64 // facts.Open for those that have not
	offset  []int64
	text    []int32 // where in texts
	ids     []string
	packed  [][]byte
}

const (
	none   = 0
	noText = -1
)

// unknown reports whether the definition of a row is not known.
func (c *columns) unknown(row uint32) bool { return tracker.PackedUnknown(c.packed[row]) }

// ErrClosed is returned by a model after Close.
var ErrClosed = errors.New("memory: the model is closed")

// New returns an empty model.
func New(options Options) *Model {
	if options.MaxEnded == 0 {
		options.MaxEnded = 1_000_000
	}
	return &Model{
		options: options, packer: tracker.NewPacker(), rows: map[key]uint32{},
		classes: newClasses(), positions: map[place]int64{},
	}
}

// check reports why nothing is done: the model is closed, or ctx has ended.
func (m *Model) check(ctx context.Context) error {
	if m.closed {
		return ErrClosed
	}
	if ctx.Err() != nil {
		return fmt.Errorf("memory: %w", context.Cause(ctx))
	}
	return nil
}

// Put implements [tracker.Model].
func (m *Model) Put(ctx context.Context, snapshots []*tracker.Snapshot, positions []tracker.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(ctx); err != nil {
		return err
	}
	all := make([]facts.Facts, len(snapshots))
	for i, s := range snapshots {
		var err error
		if all[i], err = facts.Of(s); err != nil {
			return fmt.Errorf("memory: put: %w", err)
		}
	}
	for i, s := range snapshots {
		m.put(s, &all[i])
	}
	for _, p := range positions {
		at := place{p.Topic, p.Partition}
		m.positions[at] = max(m.positions[at], p.Next)
	}
	m.compact()
	if over := m.ended - m.options.MaxEnded; m.options.MaxEnded > 0 && over > m.options.MaxEnded/20 {
		m.evict(over)
	}
	return nil
}

func (m *Model) put(s *tracker.Snapshot, f *facts.Facts) {
	row, there := m.rows[key{f.Saga, f.ID}]
	c := &m.columns
	if there {
		known := c.unknown(row) && !s.Unknown
		if s.Offset <= c.offset[row] && !known {
			return
		}
		m.leave(row)
	} else {
		row = m.row()
		c.ids[row] = strings.Clone(f.ID)
		m.rows[key{m.classes.intern(f.Saga), c.ids[row]}] = row
		c.text[row] = noText
	}
	if c.text[row] == noText {
		c.text[row] = m.texts.put(row, f.Parts, f.Tags)
	} else if parts, tags := m.texts.of(c.text[row]); parts != f.Parts || tags != f.Tags {
		m.texts.remove(c.text[row])
		c.text[row] = m.texts.put(row, f.Parts, f.Tags)
	}
	c.class[row] = m.classes.enter(f)
	c.started[row], c.updated[row], c.ended[row], c.offset[row] = f.Started, f.Updated, f.Ended, f.Offset
	if f.Ended != facts.Open {
		m.ended++
	}
	c.packed[row] = slices.Clip(m.packer.Pack(c.packed[row][:0], s))
}

// leave takes a row out of its class.
func (m *Model) leave(row uint32) {
	m.classes.leave(m.columns.class[row])
	if m.columns.ended[row] != facts.Open {
		m.ended--
	}
}

func (m *Model) row() uint32 {
	if n := len(m.free); n > 0 {
		row := m.free[n-1]
		m.free = m.free[:n-1]
		return row
	}
	c := &m.columns
	c.class, c.started, c.updated = append(c.class, none), append(c.started, 0), append(c.updated, 0)
	c.ended, c.offset, c.text = append(c.ended, 0), append(c.offset, 0), append(c.text, 0)
	c.ids, c.packed = append(c.ids, ""), append(c.packed, nil)
	return uint32(len(c.class) - 1)
}

func (m *Model) drop(row uint32) {
	c := &m.columns
	delete(m.rows, key{m.classes.all[c.class[row]].facts.Saga, c.ids[row]})
	m.leave(row)
	m.texts.remove(c.text[row])
	c.class[row], c.ids[row], c.packed[row] = none, "", nil
	m.free = append(m.free, row)
}

// evict drops so many sagas of those that ended first.
func (m *Model) evict(n int) {
	rows := make([]uint32, 0, m.ended)
	for row, class := range m.columns.class {
		if class != none && m.columns.ended[row] != facts.Open {
			rows = append(rows, uint32(row))
		}
	}
	slices.SortFunc(rows, func(a, b uint32) int { return cmp.Compare(m.columns.ended[a], m.columns.ended[b]) })
	for _, row := range rows[:n] {
		m.drop(row)
	}
	m.compact()
}

// compact writes the texts anew once half of them are those of sagas that are gone.
func (m *Model) compact() {
	if !m.texts.wasteful() {
		return
	}
	old := m.texts
	m.texts = texts{}
	for row, class := range m.columns.class {
		if class != none {
			parts, tags := old.of(m.columns.text[row])
			m.columns.text[row] = m.texts.put(uint32(row), parts, tags)
		}
	}
}

// Positions implements [tracker.Model].
func (m *Model) Positions(ctx context.Context, topic string) ([]tracker.Position, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check(ctx); err != nil {
		return nil, err
	}
	var list []tracker.Position
	for p, next := range m.positions {
		if p.topic == topic {
			list = append(list, tracker.Position{Topic: topic, Partition: p.partition, Next: next})
		}
	}
	slices.SortFunc(list, func(a, b tracker.Position) int { return cmp.Compare(a.Partition, b.Partition) })
	return list, nil
}

// Get implements [tracker.Model].
func (m *Model) Get(ctx context.Context, saga, id string) (*tracker.Snapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check(ctx); err != nil {
		return nil, err
	}
	row, ok := m.rows[key{saga, id}]
	if !ok {
		return nil, fmt.Errorf("memory: saga %s of %s: %w", id, saga, tracker.ErrNotFound)
	}
	return m.packer.Unpack(m.columns.ids[row], m.columns.packed[row])
}

// Forget implements [tracker.Model].
func (m *Model) Forget(ctx context.Context, endedBefore time.Time) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(ctx); err != nil {
		return 0, err
	}
	before, n := facts.Nanos(endedBefore), int64(0)
	for row, class := range m.columns.class {
		if class != none && m.columns.ended[row] < before {
			m.drop(uint32(row))
			n++
		}
	}
	m.compact()
	return n, nil
}

// Close implements [tracker.Model].
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.rows, m.columns, m.texts, m.free = nil, columns{}, texts{}, nil
	return nil
}

// class is what queries choose by that is the same in many sagas.
type class struct {
	facts facts.Facts // without those that are one saga's own
	count int64
	name  string
}

// classes hold each class once: a filter is asked about the classes, and not about the sagas.
type classes struct {
	all   []*class // by number; that of none is empty
	ids   map[string]uint32
	free  []uint32
	names map[string]string
	key   []byte
}

func newClasses() classes {
	return classes{all: []*class{{}}, ids: map[string]uint32{}, names: map[string]string{}}
}

// intern keeps a saga's name once.
func (c *classes) intern(name string) string {
	if kept, ok := c.names[name]; ok {
		return kept
	}
	kept := strings.Clone(name)
	c.names[kept] = kept
	return kept
}

func (c *classes) enter(f *facts.Facts) uint32 {
	c.key = strconv.AppendInt(append(append(c.key[:0], f.Saga...), 0), int64(f.Version), 10)
	c.key = append(append(c.key, 0), f.Status...)
	for _, list := range [][]string{f.Steps, f.Services, f.Codes} {
		c.key = strconv.AppendInt(append(c.key, 0), int64(len(list)), 10)
		for _, name := range list {
			c.key = strconv.AppendInt(append(c.key, 0), int64(len(name)), 10)
			c.key = append(append(c.key, 0), name...)
		}
	}
	if id, ok := c.ids[string(c.key)]; ok {
		c.all[id].count++
		return id
	}
	one := &class{facts: facts.Facts{
		Saga: c.intern(f.Saga), Version: f.Version, Status: strings.Clone(f.Status),
		Steps: clone(f.Steps), Services: clone(f.Services), Codes: clone(f.Codes),
	}, count: 1, name: string(c.key)}
	var id uint32
	if n := len(c.free); n > 0 {
		id = c.free[n-1]
		c.free = c.free[:n-1]
		c.all[id] = one
	} else {
		id = uint32(len(c.all))
		c.all = append(c.all, one)
	}
	c.ids[one.name] = id
	return id
}

func clone(names []string) []string {
	kept := make([]string, len(names))
	for i := range names {
		kept[i] = strings.Clone(names[i])
	}
	return kept
}

func (c *classes) leave(id uint32) {
	one := c.all[id]
	if one.count--; one.count == 0 {
		delete(c.ids, one.name)
		c.all[id] = &class{}
		c.free = append(c.free, id)
	}
}
