package trackertest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// reference is the read model as the documentation words it: a list.
type reference []*tracker.Snapshot

func (r *reference) put(snapshots ...*tracker.Snapshot) {
	for _, s := range snapshots {
		i := slices.IndexFunc(*r, func(o *tracker.Snapshot) bool { return o.Saga == s.Saga && o.ID == s.ID })
		switch {
		case i < 0:
			*r = append(*r, s)
		case s.Offset > (*r)[i].Offset, (*r)[i].Unknown && !s.Unknown:
			(*r)[i] = s
		}
	}
}

func (r *reference) forget(before time.Time) int64 {
	had := len(*r)
	*r = slices.DeleteFunc(*r, func(s *tracker.Snapshot) bool { return s.EndedAt != nil && s.EndedAt.Before(before) })
	return int64(had - len(*r))
}

// list returns all that the query chooses, over all pages.
func (r reference) list(q tracker.Query) []*tracker.Snapshot {
	var list []*tracker.Snapshot
	for _, s := range r {
		if matches(s, q.Filter) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *tracker.Snapshot) int { return compare(a, b, q.Order, q.Descending) })
	return list
}

func compare(a, b *tracker.Snapshot, by tracker.Order, descending bool) int {
	sign := 1
	if descending {
		sign = -1
	}
	times := 0
	switch by {
	case tracker.ByUpdated:
		times = a.UpdatedAt.Compare(b.UpdatedAt)
	case tracker.ByEnded:
		switch {
		case a.EndedAt != nil && b.EndedAt != nil:
			times = a.EndedAt.Compare(*b.EndedAt)
		case a.EndedAt != nil:
			return -1
		case b.EndedAt != nil:
			return 1
		}
	default:
		times = a.StartedAt.Compare(b.StartedAt)
	}
	return sign * cmp.Or(times, cmp.Compare(a.Saga, b.Saga), cmp.Compare(a.ID, b.ID))
}

func matches(s *tracker.Snapshot, f tracker.Filter) bool {
	in := func(chosen, has []string) bool {
		return len(chosen) == 0 || slices.ContainsFunc(has, func(x string) bool { return x != "" && slices.Contains(chosen, x) })
	}
	return in(f.Sagas, []string{s.Saga}) &&
		(len(f.Versions) == 0 || slices.Contains(f.Versions, s.Version)) &&
		(len(f.Statuses) == 0 || slices.Contains(f.Statuses, s.Status)) &&
		in(f.Steps, stepsOf(s)) && in(f.Services, servicesOf(s)) && in(f.Codes, codesOf(s)) &&
		(f.StartedFrom.IsZero() || !s.StartedAt.Before(f.StartedFrom)) &&
		(f.StartedTo.IsZero() || s.StartedAt.Before(f.StartedTo)) &&
		(f.UpdatedTo.IsZero() || s.UpdatedAt.Before(f.UpdatedTo)) &&
		(f.Search == "" || found(s, f.Search))
}

func found(s *tracker.Snapshot, search string) bool {
	search = strings.ToLower(search)
	if strings.Contains(strings.ToLower(s.ID), search) {
		return true
	}
	for name, value := range s.Tags {
		if strings.Contains(strings.ToLower(value), search) || strings.ToLower(name+"="+value) == search { //nolint:gocritic // EqualFold folds more than that
			return true
		}
	}
	return false
}

func stuck(s tracker.Step) bool {
	return s.Status == choreo.StepRetried || s.Status == choreo.StepUndoFailed
}

func stepsOf(s *tracker.Snapshot) (names []string) {
	for _, n := range s.Next {
		if n.Ready {
			names = append(names, n.Step)
		}
	}
	for _, step := range s.Steps {
		if stuck(step) {
			names = append(names, step.Name)
		}
	}
	return names
}

func servicesOf(s *tracker.Snapshot) (names []string) {
	for _, n := range s.Next {
		if n.Ready {
			names = append(names, n.Service)
		}
	}
	for _, step := range s.Steps {
		if stuck(step) {
			names = append(names, step.Service)
		}
	}
	for _, p := range s.Parked {
		names = append(names, p.Service)
	}
	return names
}

func codesOf(s *tracker.Snapshot) (codes []string) {
	if s.Cause != nil {
		codes = append(codes, s.Cause.Code)
	}
	for _, step := range s.Steps {
		if stuck(step) && step.Error != nil {
			codes = append(codes, step.Error.Code)
		}
	}
	for _, p := range s.Parked {
		if p.Error != nil {
			codes = append(codes, p.Error.Code)
		}
	}
	return codes
}

func keysOf(s *tracker.Snapshot, by tracker.Group) (keys []string) {
	switch by {
	case tracker.GroupStatus:
		keys = []string{string(s.Status)}
	case tracker.GroupSaga:
		keys = []string{s.Saga}
	case tracker.GroupVersion:
		keys = []string{fmt.Sprintf("%s/%d", s.Saga, s.Version)}
	case tracker.GroupStep:
		for _, step := range stepsOf(s) {
			if step != "" {
				keys = append(keys, fmt.Sprintf("%s/%d/%s", s.Saga, s.Version, step))
			}
		}
	case tracker.GroupService:
		keys = servicesOf(s)
	case tracker.GroupCode:
		keys = codesOf(s)
	}
	slices.Sort(keys)
	return slices.DeleteFunc(slices.Compact(keys), func(k string) bool { return k == "" })
}

func (r reference) count(f tracker.Filter, by tracker.Group) []tracker.Count {
	counts := map[string]tracker.Count{}
	if by == "" {
		counts[""] = tracker.Count{}
	}
	for _, s := range r.list(tracker.Query{Filter: f}) {
		keys := keysOf(s, by)
		if by == "" {
			keys = []string{""}
		}
		for _, key := range keys {
			c := counts[key]
			c.Key = key
			c.Count++
			if s.EndedAt == nil && (c.Oldest == nil || s.StartedAt.Before(*c.Oldest)) {
				c.Oldest = &s.StartedAt
			}
			counts[key] = c
		}
	}
	list := make([]tracker.Count, 0, len(counts))
	for _, c := range counts {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b tracker.Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key))
	})
	return list
}
