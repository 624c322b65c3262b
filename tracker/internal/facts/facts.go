package facts

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// Open is Facts.Ended of a saga that has not ended.
const Open = math.MaxInt64

// Facts are what filters, orders and groups ask of a snapshot. Texts are valid UTF-8, as those of
// its JSON are.
type Facts struct {
	Saga, ID                string
	Version                 int
	Status                  string
	Unknown                 bool // the definition is not known
	Offset                  int64
	Started, Updated, Ended int64 // nanoseconds since 1970, see Nanos
	// Steps, Services and Codes are sorted, without repetitions and without empty ones.
	Steps, Services, Codes []string
	// Parts holds what a search finds parts of, Tags the whole tags, in small letters; each lies
	// between two bytes 0xFF, which no text has.
	Parts, Tags string
}

// mark lies between the texts of Facts.Parts and Facts.Tags.
const mark = "\xff"

// Of returns the facts of a snapshot.
func Of(s *tracker.Snapshot) (Facts, error) {
	switch {
	case s == nil:
		return Facts{}, errors.New("a snapshot is nil")
	case s.Saga == "" || s.ID == "":
		return Facts{}, fmt.Errorf("a snapshot has no saga or no id (%q, %q): it could not be found again", s.Saga, s.ID)
	}
	f := Facts{
		Saga: Text(s.Saga), ID: Text(s.ID), Version: s.Version, Status: Text(string(s.Status)), Offset: s.Offset, Unknown: s.Unknown,
		Started: Nanos(s.StartedAt), Updated: Nanos(s.UpdatedAt), Ended: Open,
	}
	if s.EndedAt != nil {
		f.Ended = min(Nanos(*s.EndedAt), Open-1)
	}
	for i := range s.Next {
		if n := &s.Next[i]; n.Ready {
			f.Steps, f.Services = append(f.Steps, n.Step), append(f.Services, n.Service)
		}
	}
	if s.Cause != nil {
		f.Codes = append(f.Codes, s.Cause.Code)
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		if step.Status != choreo.StepRetried && step.Status != choreo.StepUndoFailed {
			continue
		}
		f.Steps, f.Services = append(f.Steps, step.Name), append(f.Services, step.Service)
		if step.Error != nil {
			f.Codes = append(f.Codes, step.Error.Code)
		}
	}
	for i := range s.Parked {
		f.Services = append(f.Services, s.Parked[i].Service)
		if s.Parked[i].Error != nil {
			f.Codes = append(f.Codes, s.Parked[i].Error.Code)
		}
	}
	f.Steps, f.Services, f.Codes = set(f.Steps), set(f.Services), set(f.Codes)
	f.Parts = mark + lower(s.ID) + mark
	for _, name := range sortedKeys(s.Tags) {
		value := s.Tags[name]
		f.Parts += lower(value) + mark
		f.Tags += mark + lower(name+"="+value) + mark
	}
	return f, nil
}

// Newest leaves out the snapshots that others of their saga, in the same call, replace. What is left
// is sorted by saga and id, so that writers lock in one order; each is returned with its facts. A
// saga comes more than once only where some of its snapshots are Unknown and others are not: which
// of these stays depends on what is there, and they are to be put in the order in which they come.
func Newest(snapshots []*tracker.Snapshot) ([]Facts, []*tracker.Snapshot, error) {
	type pair struct {
		facts    Facts
		snapshot *tracker.Snapshot
	}
	pairs := make([]pair, len(snapshots))
	for i, s := range snapshots {
		f, err := Of(s)
		if err != nil {
			return nil, nil, err
		}
		pairs[i] = pair{f, s}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return a.facts.compareName(&b.facts) })
	facts, newest := make([]Facts, 0, len(pairs)), make([]*tracker.Snapshot, 0, len(pairs))
	for i := range pairs {
		f, last := &pairs[i].facts, len(facts)-1
		switch {
		case last < 0 || !facts[last].Names(f) || facts[last].Unknown != f.Unknown:
			facts, newest = append(facts, *f), append(newest, pairs[i].snapshot)
		case f.Offset > facts[last].Offset:
			facts[last], newest[last] = *f, pairs[i].snapshot
		}
	}
	return facts, newest, nil
}

// Replaces reports whether a snapshot takes the place of one that is there.
func (f *Facts) Replaces(offset int64, unknown bool) bool {
	return f.Offset > offset || unknown && !f.Unknown
}

// Names reports whether two snapshots are of one saga.
func (f *Facts) Names(o *Facts) bool { return f.compareName(o) == 0 }

func (f *Facts) compareName(o *Facts) int {
	return cmp.Or(cmp.Compare(f.Saga, o.Saga), cmp.Compare(f.ID, o.ID))
}

// Text returns a text as JSON has it: what is no UTF-8 is replaced.
func Text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func lower(s string) string { return strings.ToLower(Text(s)) }

// Nanos returns an instant as nanoseconds since 1970. What is too early or too late for that
// becomes the first or the last instant that is not.
func Nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// Keys returns the keys under which a saga is counted.
func (f *Facts) Keys(by tracker.Group) []string {
	switch by {
	case tracker.GroupStatus:
		return set([]string{f.Status})
	case tracker.GroupSaga:
		return []string{f.Saga}
	case tracker.GroupVersion:
		return []string{VersionKey(f.Saga, f.Version)}
	case tracker.GroupStep:
		keys := make([]string, len(f.Steps))
		for i, step := range f.Steps {
			keys[i] = StepKey(f.Saga, f.Version, step)
		}
		return keys
	case tracker.GroupService:
		return f.Services
	case tracker.GroupCode:
		return f.Codes
	}
	return []string{""}
}

// VersionKey is the key of tracker.GroupVersion.
func VersionKey(saga string, version int) string { return saga + "/" + strconv.Itoa(version) }

// StepKey is the key of tracker.GroupStep.
func StepKey(saga string, version int, step string) string {
	return VersionKey(saga, version) + "/" + step
}

// set returns the texts sorted, without repetitions and empty ones.
func set(texts []string) []string {
	if len(texts) == 0 {
		return nil
	}
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		if t != "" {
			out = append(out, Text(t))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
