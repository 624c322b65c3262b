package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
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
	ended   []int64 // notEnded for those that have not
	offset  []int64
	text    []int32 // where in texts
	ids     []string
	packed  [][]byte
}

const (
	none     = 0
	notEnded = math.MaxInt64
)

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

// nanos returns a time as nanoseconds, and those that are out of range as the nearest.
func nanos(t time.Time) int64 {
	switch {
	case t.Year() < 1700:
		return math.MinInt64
	case t.Year() > 2200:
		return notEnded - 1
	}
	return t.UnixNano()
}

// Put implements [tracker.Model].
func (m *Model) Put(_ context.Context, snapshots []*tracker.Snapshot, positions []tracker.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	for _, s := range snapshots {
		m.put(s)
	}
	for _, p := range positions {
		m.positions[place{p.Topic, p.Partition}] = p.Next
	}
	if over := m.ended - m.options.MaxEnded; m.options.MaxEnded > 0 && over > m.options.MaxEnded/20 {
		m.evict(over)
	}
	return nil
}

func (m *Model) put(s *tracker.Snapshot) {
	row, there := m.rows[key{s.Saga, s.ID}]
	c := &m.columns
	if there {
		wasUnknown := m.classes.all[c.class[row]].unknown
		if s.Offset <= c.offset[row] && (!wasUnknown || s.Unknown) {
			return
		}
		m.leave(row)
	} else {
		row = m.row()
		saga := m.classes.intern(s.Saga)
		c.ids[row] = strings.Clone(s.ID)
		m.rows[key{saga, c.ids[row]}] = row
		c.text[row] = m.texts.add(row, s)
	}
	c.class[row] = m.classes.enter(s)
	c.started[row], c.updated[row], c.ended[row], c.offset[row] = nanos(s.StartedAt), nanos(s.UpdatedAt), notEnded, s.Offset
	if s.EndedAt != nil {
		c.ended[row] = nanos(*s.EndedAt)
		m.ended++
	}
	c.packed[row] = slices.Clip(m.packer.Pack(c.packed[row][:0], s))
}

// leave takes a row out of its class.
func (m *Model) leave(row uint32) {
	m.classes.leave(m.columns.class[row])
	if m.columns.ended[row] != notEnded {
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
	delete(m.rows, key{m.classes.all[c.class[row]].saga, c.ids[row]})
	m.leave(row)
	m.texts.remove(c.text[row])
	c.class[row], c.ids[row], c.packed[row] = none, "", nil
	m.free = append(m.free, row)
}

// evict drops so many sagas of those that ended first.
func (m *Model) evict(n int) {
	rows := make([]uint32, 0, m.ended)
	for row, class := range m.columns.class {
		if class != none && m.columns.ended[row] != notEnded {
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
			m.columns.text[row] = m.texts.put(uint32(row), old.of(m.columns.text[row]))
		}
	}
}

// Positions implements [tracker.Model].
func (m *Model) Positions(_ context.Context, topic string) ([]tracker.Position, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
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
func (m *Model) Get(_ context.Context, saga, id string) (*tracker.Snapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, ErrClosed
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
	if m.closed {
		return 0, ErrClosed
	}
	before, n := nanos(endedBefore), int64(0)
	for row, class := range m.columns.class {
		if class != none && m.columns.ended[row] < before {
			m.drop(uint32(row))
			n++
		}
	}
	m.compact()
	return n, ctx.Err()
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
	unknown         bool
	saga            string
	version         int
	status          choreo.Status
	steps, services []string
	codes           []string
	count           int64
	name            string
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

func (c *classes) enter(s *tracker.Snapshot) uint32 {
	steps, services := s.WaitingAt()
	codes := s.Codes()
	c.key = fmt.Appendf(c.key[:0], "%s\x00%d\x00%s\x00%t", s.Saga, s.Version, s.Status, s.Unknown)
	for _, list := range [][]string{steps, services, codes} {
		c.key = append(c.key, 1)
		for _, name := range list {
			c.key = append(append(c.key, name...), 0)
		}
	}
	if id, ok := c.ids[string(c.key)]; ok {
		c.all[id].count++
		return id
	}
	one := &class{
		unknown: s.Unknown, saga: c.intern(s.Saga), version: s.Version, status: choreo.Status(strings.Clone(string(s.Status))),
		steps: clone(steps), services: clone(services), codes: clone(codes), count: 1, name: string(c.key),
	}
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
