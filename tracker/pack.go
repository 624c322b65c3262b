package tracker

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/choreo-go/choreo/choreo"
)

// Packer keeps snapshots as few bytes, for who keeps many of them in memory: what is the same in
// many sagas, such as the names of steps and services, is kept once. What one packer packed
// no other unpacks. It is safe for concurrent use. Make it with [NewPacker].
type Packer struct {
	mu    sync.RWMutex
	ids   map[string]uint64
	texts []string
}

// maxPackedTexts bounds the texts that are kept once; those beyond stand in the packed bytes.
const maxPackedTexts = 1 << 16

// NewPacker returns a packer.
func NewPacker() *Packer { return &Packer{ids: map[string]uint64{}} }

var errPacked = errors.New("tracker: unpack a snapshot: the bytes are cut off or of another packer: hand over what Pack returned")

// writer appends to the packed bytes.
type writer struct {
	p    *Packer
	out  []byte
	base int64 // seconds of the start: the other times are told from there
}

func (w *writer) uint(n uint64) { w.out = binary.AppendUvarint(w.out, n) }
func (w *writer) int(n int64)   { w.out = binary.AppendVarint(w.out, n) }

// text appends a text that is one saga's own.
func (w *writer) text(s string) {
	w.uint(uint64(len(s)) << 1)
	w.out = append(w.out, s...)
}

// name appends a text that many sagas have.
func (w *writer) name(s string) {
	if s == "" {
		w.uint(0)
		return
	}
	if id, ok := w.p.id(s); ok {
		w.uint(id<<1 | 1)
		return
	}
	w.text(s)
}

func (p *Packer) id(s string) (uint64, bool) {
	p.mu.RLock()
	id, ok := p.ids[s]
	full := len(p.texts) >= maxPackedTexts
	p.mu.RUnlock()
	if ok || full || len(s) > 256 {
		return id, ok
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if id, ok = p.ids[s]; ok {
		return id, true
	}
	s = string(append([]byte(nil), s...)) // it must not hold on to a record
	id = uint64(len(p.texts))
	p.ids[s], p.texts = id, append(p.texts, s)
	return id, true
}

func (w *writer) time(t *time.Time) {
	if t == nil {
		w.uint(0)
		return
	}
	w.uint(uint64(t.Nanosecond()) + 1)
	w.int(t.Unix() - w.base)
}

func (w *writer) error(e *Error) {
	if e == nil {
		w.name("")
		return
	}
	w.text("!")
	w.name(string(e.Class))
	w.name(e.Code)
	w.text(e.Message)
}

func bit(on bool, n uint64) uint64 {
	if on {
		return n
	}
	return 0
}

// Bits of a packed snapshot.
const (
	bitUnknown = 1 << iota
	bitFold
	bitRequested
	bitTurned
	bitKept
	bitCause
	bitTrace // as 16 bytes
)

// Pack appends the packed form of a snapshot, all of it but the id, to dst.
func (p *Packer) Pack(dst []byte, s *Snapshot) []byte {
	w := &writer{p: p, out: dst}
	trace, traceErr := hex.DecodeString(s.TraceID)
	short := traceErr == nil && len(trace) == 16 && hex.EncodeToString(trace) == s.TraceID
	var bits uint64
	set := func(on bool, bit uint64) {
		if on {
			bits |= bit
		}
	}
	set(s.Unknown, bitUnknown)
	set(s.Cause != nil, bitCause)
	set(short, bitTrace)
	if f := s.Fold; f != nil {
		set(true, bitFold)
		set(f.Requested, bitRequested)
		set(f.Turned, bitTurned)
		set(f.Kept, bitKept)
	}
	w.uint(bits)
	w.name(s.Saga)
	w.int(int64(s.Version))
	w.name(string(s.Status))
	w.name(s.Initiator)
	w.time(&s.StartedAt)
	w.base = s.StartedAt.Unix()
	w.time(&s.UpdatedAt)
	w.time(s.EndedAt)
	w.time(s.Deadline)
	w.int(int64(s.Partition))
	w.int(s.Offset)
	w.int(s.Events)
	if short {
		w.out = append(w.out, trace...)
	} else {
		w.text(s.TraceID)
	}
	if f := s.Fold; f != nil {
		w.int(f.First)
		w.uint(uint64(len(f.Parkings)))
		for _, id := range f.Parkings {
			w.text(id)
		}
	}
	w.rest(s)
	return w.out
}

func (w *writer) rest(s *Snapshot) {
	w.uint(uint64(len(s.Tags)))
	for name, value := range s.Tags {
		w.name(name)
		w.text(value)
	}
	if c := s.Cause; c != nil {
		w.name(c.Step)
		w.name(string(c.Class))
		w.name(c.Code)
		w.text(c.Message)
		w.text(c.By)
		w.text(c.Note)
	}
	w.uint(uint64(len(s.Parked)))
	for i := range s.Parked {
		w.name(s.Parked[i].Service)
		w.time(&s.Parked[i].Since)
		w.error(s.Parked[i].Error)
	}
	w.uint(uint64(len(s.Steps)))
	for i := range s.Steps {
		k := &s.Steps[i]
		w.name(k.Name)
		w.name(k.Service)
		w.name(string(k.Status))
		odd := k.Seconds != k.seconds()
		w.uint(bit(k.Pivot, 1) | bit(odd, 2))
		w.int(int64(k.Attempts))
		w.time(k.ReadyAt)
		w.time(k.EndedAt)
		w.time(k.UndoneAt)
		if odd {
			w.uint(math.Float64bits(k.Seconds))
		}
		w.error(k.Error)
	}
	w.uint(uint64(len(s.Next)))
	for i := range s.Next {
		n := &s.Next[i]
		w.name(n.Step)
		w.name(n.Service)
		w.name(string(n.Run))
		w.uint(uint64(len(n.WaitsFor))<<1 | bit(n.Ready, 1))
		for _, k := range n.WaitsFor {
			w.name(k)
		}
	}
}

// reader takes packed bytes apart.
type reader struct {
	texts []string
	in    []byte
	base  int64
	bad   bool
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.in)
	if size <= 0 {
		r.bad, r.in = true, nil
		return 0
	}
	r.in = r.in[size:]
	return n
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.in)
	if size <= 0 {
		r.bad, r.in = true, nil
		return 0
	}
	r.in = r.in[size:]
	return n
}

func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.in)) {
		r.bad, r.in = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.in)) {
		r.bad, r.in = true, nil
		return nil
	}
	b := r.in[:n]
	r.in = r.in[n:]
	return b
}

// text reads what text or name wrote.
func (r *reader) text() string {
	n := r.uint()
	if n&1 == 0 {
		return string(r.bytes(n >> 1))
	}
	if n>>1 >= uint64(len(r.texts)) {
		r.bad = true
		return ""
	}
	return r.texts[n>>1]
}

func (r *reader) time() (time.Time, bool) {
	n := r.uint()
	if n == 0 {
		return time.Time{}, false
	}
	return time.Unix(r.int()+r.base, int64(n-1)).UTC(), true
}

func (r *reader) timePointer() *time.Time {
	t, ok := r.time()
	if !ok {
		return nil
	}
	return &t
}

func (r *reader) error() *Error {
	if r.text() == "" {
		return nil
	}
	return &Error{Class: choreo.Class(r.text()), Code: r.text(), Message: r.text()}
}

// Unpack returns the snapshot that was packed, as that of the saga with this id.
func (p *Packer) Unpack(id string, packed []byte) (*Snapshot, error) {
	p.mu.RLock()
	r := &reader{texts: p.texts, in: packed}
	p.mu.RUnlock()
	bits := r.uint()
	s := &Snapshot{ID: id, Unknown: bits&bitUnknown != 0}
	s.Saga, s.Version = r.text(), int(r.int())
	s.Status, s.Initiator = choreo.Status(r.text()), r.text()
	s.StartedAt, _ = r.time()
	r.base = s.StartedAt.Unix()
	s.UpdatedAt, _ = r.time()
	s.EndedAt, s.Deadline = r.timePointer(), r.timePointer()
	s.Partition, s.Offset, s.Events = int32(r.int()), r.int(), r.int()
	if bits&bitTrace != 0 {
		s.TraceID = hex.EncodeToString(r.bytes(16))
	} else {
		s.TraceID = r.text()
	}
	if bits&bitFold != 0 {
		s.Fold = &Fold{
			First: r.int(), Requested: bits&bitRequested != 0, Turned: bits&bitTurned != 0, Kept: bits&bitKept != 0,
		}
		for n := r.count(); n > 0; n-- {
			s.Fold.Parkings = append(s.Fold.Parkings, r.text())
		}
	}
	r.rest(s, bits)
	if r.bad || len(r.in) > 0 {
		return nil, errPacked
	}
	return s, nil
}

func (r *reader) rest(s *Snapshot, bits uint64) {
	if n := r.count(); n > 0 {
		s.Tags = make(map[string]string, n)
		for ; n > 0; n-- {
			name := r.text()
			s.Tags[name] = r.text()
		}
	}
	if bits&bitCause != 0 {
		s.Cause = &Cause{
			Step: r.text(), Class: choreo.Class(r.text()), Code: r.text(), Message: r.text(), By: r.text(), Note: r.text(),
		}
	}
	for n := r.count(); n > 0; n-- {
		p := Parked{Service: r.text()}
		p.Since, _ = r.time()
		p.Error = r.error()
		s.Parked = append(s.Parked, p)
	}
	s.Steps = make([]Step, r.count())
	for i := range s.Steps {
		k := &s.Steps[i]
		k.Name, k.Service, k.Status = r.text(), r.text(), choreo.StepStatus(r.text())
		bits := r.uint()
		k.Attempts, k.Pivot = int(r.int()), bits&1 != 0
		k.ReadyAt, k.EndedAt, k.UndoneAt = r.timePointer(), r.timePointer(), r.timePointer()
		if k.Seconds = k.seconds(); bits&2 != 0 {
			k.Seconds = math.Float64frombits(r.uint())
		}
		k.Error = r.error()
	}
	if n := r.count(); n > 0 {
		s.Next = make([]Next, n)
		for i := range s.Next {
			k := &s.Next[i]
			k.Step, k.Service, k.Run = r.text(), r.text(), choreo.Run(r.text())
			bits := r.uint()
			for k.Ready = bits&1 != 0; bits>>1 > uint64(len(k.WaitsFor)) && !r.bad; {
				k.WaitsFor = append(k.WaitsFor, r.text())
			}
		}
	}
	s.Steps = slices.Clip(s.Steps)
}

// PackedUnknown reports whether the snapshot that was packed is Unknown.
func PackedUnknown(packed []byte) bool { return len(packed) > 0 && packed[0]&bitUnknown != 0 }
