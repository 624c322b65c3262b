package tracker

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
)

// jsonReader reads the JSON of snapshots as encoding/json does, and many times as fast where it is as
// AppendJSON writes it: the same keys in the same order, and no spaces. What is not, such as the
// snapshots of another build, it leaves to encoding/json as a whole. What it returns holds on to
// nothing of the bytes that it read. It serves one goroutine at a time. Make it with newJSONReader.
type jsonReader struct {
	names names
	in    []byte
	at    int  // how far in it is read; a number, as storing what is left of it costs a write barrier
	other bool // it is not as AppendJSON writes it

	date  [len(dateLayout)]byte // the last day that a time was of, in UTC
	begin int64                 // and when it began, in seconds since 1970

	times []time.Time // room for those that snapshots point to: one allocation for many
	steps int         // how many the last snapshot had: most sagas are of few definitions
	next  int
}

func newJSONReader() *jsonReader {
	r := &jsonReader{names: names{seed: maphash.MakeSeed()}}
	copy(r.date[:], time.Unix(0, 0).UTC().Format(dateLayout))
	return r
}

func (r *jsonReader) read(data []byte) (*Snapshot, error) {
	if s := r.fast(data); s != nil {
		return s, nil
	}
	var s Snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// fast returns nil where the data are not as AppendJSON writes them.
func (r *jsonReader) fast(data []byte) *Snapshot {
	r.in, r.at, r.other = data, 0, false
	s := &Snapshot{}
	r.snapshot(s)
	whole := !r.other && r.at == len(data)
	r.in = nil
	if !whole {
		return nil
	}
	return s
}

func (r *jsonReader) snapshot(s *Snapshot) {
	r.want(`{"id":`)
	s.ID = r.text()
	r.want(`,"saga":`)
	s.Saga = r.name()
	r.want(`,"version":`)
	s.Version = int(r.int(strconv.IntSize))
	r.want(`,"status":`)
	s.Status = choreo.Status(r.name())
	if r.has(`,"initiator":`) {
		s.Initiator = r.name()
	}
	if r.has(`,"tags":{`) {
		s.Tags = r.tags()
	}
	r.want(`,"started_at":`)
	s.StartedAt = r.time()
	r.want(`,"updated_at":`)
	s.UpdatedAt = r.time()
	s.EndedAt = r.moment(`,"ended_at":`)
	s.Deadline = r.moment(`,"deadline":`)
	if r.has(`,"cause":{`) {
		s.Cause = r.cause()
	}
	if r.has(`,"parked":[`) {
		s.Parked = readList(r, 1, (*jsonReader).parked)
	}
	switch {
	case r.has(`,"steps":null`):
	case r.has(`,"steps":[]`):
		s.Steps = []Step{}
	default:
		r.want(`,"steps":[`)
		s.Steps = readList(r, r.steps, (*jsonReader).step)
		r.steps = len(s.Steps)
	}
	if r.has(`,"next":[`) {
		s.Next = readList(r, r.next, (*jsonReader).following)
		r.next = len(s.Next)
	}
	if r.has(`,"trace_id":`) {
		s.TraceID = r.text()
	}
	s.Unknown = r.has(`,"definition_unknown":true`)
	r.want(`,"partition":`)
	s.Partition = int32(r.int(32))
	r.want(`,"offset":`)
	s.Offset = r.int(64)
	r.want(`,"events":`)
	s.Events = r.int(64)
	if r.has(`,"fold":{"first":`) {
		s.Fold = r.fold()
	}
	r.want(`}`)
}

func (r *jsonReader) tags() map[string]string {
	tags := map[string]string{}
	for {
		name := r.name()
		r.want(`:`)
		tags[name] = r.text()
		if r.has(`}`) || r.other {
			return tags
		}
		r.want(`,`)
	}
}

func (r *jsonReader) cause() *Cause {
	c, first := &Cause{}, true
	if r.member(&first, `"step":`) {
		c.Step = r.name()
	}
	if r.member(&first, `"class":`) {
		c.Class = choreo.Class(r.name())
	}
	if r.member(&first, `"code":`) {
		c.Code = r.name()
	}
	if r.member(&first, `"message":`) {
		c.Message = r.text()
	}
	if r.member(&first, `"by":`) {
		c.By = r.text()
	}
	if r.member(&first, `"note":`) {
		c.Note = r.text()
	}
	r.want(`}`)
	return c
}

func (r *jsonReader) failure() *Error {
	if !r.has(`,"error":{`) {
		return nil
	}
	e, first := &Error{}, true
	if r.member(&first, `"class":`) {
		e.Class = choreo.Class(r.name())
	}
	if r.member(&first, `"code":`) {
		e.Code = r.name()
	}
	if r.member(&first, `"message":`) {
		e.Message = r.text()
	}
	r.want(`}`)
	return e
}

func (r *jsonReader) parked(p *Parked) {
	r.want(`{"service":`)
	p.Service = r.name()
	r.want(`,"since":`)
	p.Since = r.time()
	p.Error = r.failure()
	r.want(`}`)
}

func (r *jsonReader) step(k *Step) {
	r.want(`{"name":`)
	k.Name = r.name()
	if r.has(`,"service":`) {
		k.Service = r.name()
	}
	r.want(`,"status":`)
	k.Status = choreo.StepStatus(r.name())
	k.Pivot = r.has(`,"pivot":true`)
	if r.has(`,"attempts":`) {
		k.Attempts = int(r.int(strconv.IntSize))
	}
	k.ReadyAt = r.moment(`,"ready_at":`)
	k.EndedAt = r.moment(`,"ended_at":`)
	k.UndoneAt = r.moment(`,"undone_at":`)
	if r.has(`,"duration_seconds":`) {
		k.Seconds = r.float()
	}
	k.Error = r.failure()
	r.want(`}`)
}

func (r *jsonReader) following(n *Next) {
	r.want(`{"step":`)
	n.Step = r.name()
	if r.has(`,"service":`) {
		n.Service = r.name()
	}
	r.want(`,"run":`)
	n.Run = choreo.Run(r.name())
	if n.Ready = r.has(`,"ready":true`); !n.Ready {
		r.want(`,"ready":false`)
	}
	if r.has(`,"waits_for":[`) {
		n.WaitsFor = readList(r, 1, func(r *jsonReader, step *string) { *step = r.name() })
	}
	r.want(`}`)
}

func (r *jsonReader) fold() *Fold {
	f := &Fold{First: r.int(64)}
	f.Requested = r.has(`,"requested":true`)
	f.Turned = r.has(`,"turned":true`)
	f.Kept = r.has(`,"kept":true`)
	if r.has(`,"parkings":[`) {
		f.Parkings = readList(r, 1, func(r *jsonReader, id *string) { *id = r.text() })
	}
	r.want(`}`)
	return f
}

// readList reads a list that has at least one item, from behind its bracket on.
func readList[T any](r *jsonReader, room int, one func(*jsonReader, *T)) []T {
	all := make([]T, 0, room)
	for {
		all = slices.Grow(all, 1)[:len(all)+1]
		one(r, &all[len(all)-1])
		if r.has(`]`) || r.other {
			return all
		}
		r.want(`,`)
	}
}

// has takes a text that may be there.
func (r *jsonReader) has(text string) bool {
	end := r.at + len(text)
	if len(r.in) < end || string(r.in[r.at:end]) != text {
		return false
	}
	r.at = end
	return true
}

// want takes a text that has to be there.
func (r *jsonReader) want(text string) {
	if !r.has(text) {
		r.giveUp()
	}
}

// giveUp leaves nothing to read, so that all that follows ends at once.
func (r *jsonReader) giveUp() { r.at, r.other = len(r.in), true }

// member takes the key of a member that may be there, and the comma before all but the first.
func (r *jsonReader) member(first *bool, key string) bool {
	was := r.at
	if !*first && !r.has(`,`) || !r.has(key) {
		r.at = was
		return false
	}
	*first = false
	return true
}

// quoted returns what stands between the quotes that are next, up to the first that closes; that
// is not the end of the text where a backslash stands before it.
func (r *jsonReader) quoted() []byte {
	if left := r.in[r.at:]; len(left) > 0 && left[0] == '"' {
		if n := bytes.IndexByte(left[1:], '"'); n >= 0 {
			return left[1 : 1+n]
		}
	}
	r.giveUp()
	return nil
}

// pass goes on behind the text that quoted returned.
func (r *jsonReader) pass(text []byte) {
	if !r.other {
		r.at += len(text) + 2
	}
}

// text reads a text that is one saga's own.
func (r *jsonReader) text() string {
	text := r.quoted()
	if !plain(text) {
		return r.escaped()
	}
	r.pass(text)
	return string(text)
}

// name reads a text that many sagas have.
func (r *jsonReader) name() string {
	text := r.quoted()
	kept := r.names.slot(text)
	if kept == nil {
		return r.text()
	}
	if *kept != string(text) {
		if !plain(text) {
			return r.escaped() // which is not kept: a kept text stands for itself
		}
		*kept = string(text)
	}
	r.pass(text)
	return *kept
}

// plain reports whether a text stands for itself in JSON. A text with a byte that is no UTF-8 does not.
func plain(text []byte) bool {
	ascii := true
	for _, c := range text {
		if c < ' ' || c == '\\' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(text)
}

// escaped leaves a text that does not stand for itself to encoding/json.
func (r *jsonReader) escaped() string {
	left := r.in[r.at:]
	for i := 1; i < len(left); i++ {
		switch left[i] {
		case '\\':
			i++
		case '"':
			var s string
			if json.Unmarshal(left[:i+1], &s) != nil {
				r.giveUp()
				return ""
			}
			r.at += i + 1
			return s
		}
	}
	r.giveUp()
	return ""
}

// dateLayout is how a time in JSON begins.
const dateLayout = "2006-01-02T"

func (r *jsonReader) time() (t time.Time) {
	if t, ok := r.sameDay(); ok {
		return t
	}
	text := r.quoted()
	if r.other || t.UnmarshalJSON(r.in[r.at:r.at+len(text)+2]) != nil {
		r.giveUp()
		return time.Time{}
	}
	r.pass(text)
	if t.Location() == time.UTC {
		t.AppendFormat(r.date[:0], dateLayout)
		r.begin = t.Truncate(24 * time.Hour).Unix()
	}
	return t
}

// sameDay reads a time of the day that the one before was of, as most are: their calendar is known.
func (r *jsonReader) sameDay() (time.Time, bool) {
	left := r.in[r.at:]
	const clock, fraction = len(`"` + dateLayout), len(`"` + dateLayout + "15:04:05")
	if len(left) < fraction+2 || left[0] != '"' || !bytes.Equal(left[1:clock], r.date[:]) ||
		left[clock+2] != ':' || left[clock+5] != ':' {
		return time.Time{}, false
	}
	hour, minute, second := twoDigits(left[clock:]), twoDigits(left[clock+3:]), twoDigits(left[clock+6:])
	if hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	n, nanos := fraction, int64(0)
	if left[n] == '.' {
		unit := int64(time.Second)
		for n++; n < len(left) && isDigit(left[n]); n++ {
			unit /= 10 // what is less than a nanosecond is left out
			nanos += int64(left[n]-'0') * unit
		}
		if unit == int64(time.Second) {
			return time.Time{}, false // there are no digits
		}
	}
	if n+2 > len(left) || string(left[n:n+2]) != `Z"` {
		return time.Time{}, false
	}
	r.at += n + 2
	return time.Unix(r.begin+hour*3600+minute*60+second, nanos).UTC(), true
}

// twoDigits returns 100 where there are none.
func twoDigits(b []byte) int64 {
	if !isDigit(b[0]) || !isDigit(b[1]) {
		return 100
	}
	return int64(b[0]-'0')*10 + int64(b[1]-'0')
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// moment reads a time that may be there.
func (r *jsonReader) moment(key string) *time.Time {
	if !r.has(key) {
		return nil
	}
	// Whoever keeps one of the times keeps this few with it.
	const few = 16
	if len(r.times) == cap(r.times) {
		r.times = make([]time.Time, 0, few)
	}
	r.times = append(r.times, r.time())
	return &r.times[len(r.times)-1]
}

// integer returns how many bytes the integer takes that is next, or that a number begins with.
func (r *jsonReader) integer() int {
	left := r.in[r.at:]
	n := 0
	if len(left) > 0 && left[0] == '-' {
		n = 1
	}
	first := n
	for n < len(left) && isDigit(left[n]) {
		n++
	}
	if n == first || left[first] == '0' && n > first+1 {
		r.giveUp()
		return 0
	}
	return n
}

func (r *jsonReader) int(bits int) int64 {
	n := r.integer()
	value, err := strconv.ParseInt(string(r.in[r.at:r.at+n]), 10, bits)
	if err != nil {
		r.giveUp()
		return 0
	}
	r.at += n
	return value
}

// float reads a number without an exponent: AppendJSON writes none.
func (r *jsonReader) float() float64 {
	n := r.integer()
	left := r.in[r.at:]
	if n < len(left) && left[n] == '.' {
		point := n
		for n++; n < len(left) && isDigit(left[n]); n++ {
		}
		if n == point+1 {
			r.giveUp()
			return 0
		}
	}
	value, err := strconv.ParseFloat(string(left[:n]), 64)
	if err != nil {
		r.giveUp()
		return 0
	}
	r.at += n
	return value
}

// names keeps texts that come again and again, so that they are one string each. Each has one
// place, by its hash, where the last one stays: there are never more than places.
type names struct {
	seed maphash.Seed
	kept [1024]string
}

// maxName bounds the bytes of a text that is kept.
const maxName = 128

// slot returns the place of a text, and nil for one that is not kept.
func (n *names) slot(text []byte) *string {
	if len(text) == 0 || len(text) > maxName {
		return nil
	}
	return &n.kept[maphash.Bytes(n.seed, text)%uint64(len(n.kept))]
}
