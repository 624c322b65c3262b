package redis

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// The kinds of sets that hold the sagas with one value.
const (
	ofSaga    = "g"
	ofStatus  = "u"
	ofStep    = "s"
	ofService = "v"
	ofCode    = "c"
	// ofClass is of the sagas that have all of these in common: what is counted.
	ofClass = "k"
)

// What the names of the sets begin with.
const (
	byStart  = "x:" // the members begin with whether the saga is open
	byUpdate = "y:"
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

// The marks lie between the texts of a class, and between its lists of them; no text has them.
const (
	textMark = "\xfe"
	listMark = "\xff"
)

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
			list = append(list, byStart+kind+v, member)
		}
	}
	// Few sagas wait somewhere, and few statuses are looked at, so that these have an order by update, too.
	both := func(kind string, values []string) {
		add(kind, values)
		for _, v := range values {
			list = append(list, byUpdate+kind+v, at(f.Updated))
		}
	}
	add(ofSaga, []string{f.Saga})
	both(ofStatus, f.Keys(tracker.GroupStatus))
	both(ofStep, f.Steps)
	both(ofService, f.Services)
	both(ofCode, f.Codes)
	add(ofClass, []string{class(f)})
	return list
}

// class encodes what sagas of one class have in common.
func class(f *facts.Facts) string {
	parts := []string{f.Saga, f.Status, strconv.Itoa(f.Version)}
	for _, list := range [][]string{f.Steps, f.Services, f.Codes} {
		parts = append(parts, strings.Join(list, textMark))
	}
	return strings.Join(parts, listMark)
}

// classed is the inverse of class.
func classed(text string) (facts.Facts, error) {
	parts := strings.Split(text, listMark)
	if len(parts) != 6 {
		return facts.Facts{}, fmt.Errorf("%q is no class of sagas: other programs must leave the keys alone", text)
	}
	version, err := strconv.Atoi(parts[2])
	if err != nil {
		return facts.Facts{}, fmt.Errorf("the class of sagas %q has no version: other programs must leave the keys alone", text)
	}
	lists := make([][]string, 3)
	for i, list := range parts[3:] {
		if list != "" {
			lists[i] = strings.Split(list, textMark)
		}
	}
	return facts.Facts{Saga: parts[0], Status: parts[1], Version: version, Steps: lists[0], Services: lists[1], Codes: lists[2]}, nil
}
