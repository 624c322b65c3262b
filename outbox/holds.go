package outbox

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// holds are the keys whose records could not be published, until one of them is.
type holds struct {
	keys       map[string]*hold
	maxBackoff time.Duration
	max        int
}

type hold struct {
	failures int
	until    time.Time // left out of claims until then; due afterwards
	outage   bool      // failed when nothing else could be published either
	told     bool      // the log has a line about it
}

func newHolds(maxBackoff time.Duration, limit int) holds {
	return holds{keys: make(map[string]*hold), maxBackoff: maxBackoff, max: limit}
}

func (h *holds) len() int { return len(h.keys) }

// except returns the keys that are not due.
func (h *holds) except(now time.Time) []string {
	var keys []string
	for key, held := range h.keys {
		if held.until.After(now) {
			keys = append(keys, key)
		}
	}
	return keys
}

// all returns every held key.
func (h *holds) all() []string { return slices.Collect(maps.Keys(h.keys)) }

// nextDue returns when the next key falls due that was left out of a claim.
func (h *holds) nextDue(claimed time.Time) (time.Time, bool) {
	var next time.Time
	for _, held := range h.keys {
		if held.until.After(claimed) && (next.IsZero() || held.until.Before(next)) {
			next = held.until
		}
	}
	return next, !next.IsZero()
}

// anyNew reports whether a key failed that is not held.
func (h *holds) anyNew(out *outcome) bool {
	for key := range out.failed {
		if h.keys[key] == nil {
			return true
		}
	}
	return false
}

// anyAgain reports whether a key failed that is held.
func (h *holds) anyAgain(out *outcome) bool {
	for key := range out.failed {
		if h.keys[key] != nil {
			return true
		}
	}
	return false
}

// published frees keys of which a record was published, and returns how many of them
// the log had a line about.
func (h *holds) published(out *outcome) (told int) {
	for key := range out.keys {
		if key == "" && out.failed[key] != nil {
			continue // of records without a key others went out: the one that failed is no nearer
		}
		if held := h.keys[key]; held != nil {
			delete(h.keys, key)
			if held.told && out.failed[key] == nil {
				told++
			}
		}
	}
	return told
}

// failed holds the keys that failed. It returns how many were not held before, and one of them
// with its error; without any, some error of the batch. logAway is Relay.logAway.
func (h *holds) failed(out *outcome, now time.Time, logAway int) (added int, key string, err error) {
	for failed, why := range out.failed {
		held := h.keys[failed]
		if held == nil {
			held = &hold{told: logAway < 2}
			h.keys[failed] = held
			added++
			key, err = failed, why
		}
		held.failures++
		held.outage = logAway > 0
		held.until = now.Add(backoff(held.failures, h.maxBackoff))
		if err == nil {
			err = why
		}
	}
	if over := len(h.keys) - h.max; over > 0 {
		byDue := slices.SortedFunc(maps.Keys(h.keys), func(a, b string) int {
			return cmp.Or(h.keys[a].until.Compare(h.keys[b].until), cmp.Compare(a, b))
		})
		for _, key := range byDue[:over] {
			delete(h.keys, key)
		}
	}
	return added, key, err
}

// freeFailedInOutage makes the keys due that the outage may have failed, now that it is
// over, and reports whether there were any.
func (h *holds) freeFailedInOutage() (freed bool) {
	for _, held := range h.keys {
		if held.outage {
			held.until, held.outage = time.Time{}, false
			freed = true
		}
	}
	return freed
}

// forgetGone drops the keys that a claim would have shown, if an entry of theirs were
// left: somebody else published them.
func (h *holds) forgetGone(claimed time.Time, entries []Entry) {
	if len(h.keys) == 0 {
		return
	}
	shown := make(map[string]struct{})
	for i := range entries {
		shown[entries[i].Key()] = struct{}{}
	}
	maps.DeleteFunc(h.keys, func(key string, held *hold) bool {
		_, ok := shown[key]
		return !ok && !held.until.After(claimed)
	})
}
