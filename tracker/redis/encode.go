package redis

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// The kinds of sets that hold the sagas with one value.
const (
	ofSaga    = "g"
	ofStatus  = "u"
	ofVersion = "w"
	ofStepAt  = "t" // saga, version and step
	ofStep    = "s"
	ofService = "v"
	ofCode    = "c"
)

// The first byte of a member of such a set: those that have not ended come first.
const (
	openPart  = "\x00"
	endedPart = "\x01"
)

// name encodes a saga's name and id so that names compare as the two of them do. A NUL in the
// first becomes two bytes, of which the second is in no text.
func name(saga, id string) string {
	return strings.ReplaceAll(saga, "\x00", "\x00\xff") + "\x00" + id
}

// named is the inverse of name.
func named(text string) (saga, id string) {
	for i := 0; i < len(text); i++ {
		if text[i] != 0 {
			continue
		}
		if i+1 < len(text) && text[i+1] == 0xff {
			i++
			continue
		}
		return strings.ReplaceAll(text[:i], "\x00\xff", "\x00"), text[i+1:]
	}
	return text, ""
}

const signBit = 1 << 63

// sortable encodes an integer so that encodings compare as the integers do.
func sortable(n int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n)^signBit) //nolint:gosec // all 64 bits are kept
	return string(b[:])
}

func place(k facts.Key) string { return sortable(k.Time) + name(k.Saga, k.ID) }

// placed is the inverse of place.
func placed(text string) (facts.Key, error) {
	if len(text) < 8 {
		return facts.Key{}, fmt.Errorf("an index holds %q, which is no place of a saga: other programs must leave the keys alone", text)
	}
	k := facts.Key{Time: int64(binary.BigEndian.Uint64([]byte(text[:8])) ^ signBit)} //nolint:gosec // the inverse of sortable
	k.Saga, k.ID = named(text[8:])
	return k, nil
}

// digits encodes an integer as text that compares as the integer does. Lua's numbers have 53 bits.
func digits(n int64) string { return fmt.Sprintf("%020d", uint64(n)^signBit) } //nolint:gosec // all 64 bits are kept

func undigits(text string) (int64, error) {
	var n uint64
	if _, err := fmt.Sscanf(text, "%d", &n); err != nil {
		return 0, fmt.Errorf("%q is no offset: other programs must leave the keys alone", text)
	}
	return int64(n ^ signBit), nil //nolint:gosec // the inverse of digits
}

// entries returns key and member of each index entry of a saga.
func entries(f *facts.Facts) []string {
	at := func(time int64) string { return place(facts.Key{Time: time, Saga: f.Saga, ID: f.ID}) }
	list := []string{"started", at(f.Started), "updated", at(f.Updated), "ended", at(f.Ended)}
	part := endedPart
	if f.Ended == facts.Open {
		part = openPart
	}
	member := part + at(f.Started)
	add := func(kind string, values []string) {
		for _, v := range values {
			list = append(list, "x:"+kind+v, member)
		}
	}
	add(ofSaga, []string{f.Saga})
	add(ofStatus, f.Keys(tracker.GroupStatus))
	add(ofVersion, f.Keys(tracker.GroupVersion))
	add(ofStepAt, f.Keys(tracker.GroupStep))
	add(ofStep, f.Steps)
	add(ofService, f.Services)
	add(ofCode, f.Codes)
	return list
}

// kindOf returns the kind of the sets that have a group's keys.
func kindOf(by tracker.Group) string {
	switch by {
	case tracker.GroupStatus:
		return ofStatus
	case tracker.GroupVersion:
		return ofVersion
	case tracker.GroupStep:
		return ofStepAt
	case tracker.GroupService:
		return ofService
	case tracker.GroupCode:
		return ofCode
	case tracker.GroupSaga:
	}
	return ofSaga
}
