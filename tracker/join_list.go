package tracker

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Count counts sagas.
func (j *Joined) Count(ctx context.Context, f Filter, by Group) ([]Count, error) {
	if j.config.Shared {
		return j.parts[0].Source.Count(ctx, f, by)
	}
	counts := make([][]Count, len(j.parts))
	err := j.each(ctx, func(ctx context.Context, i int, p PartSource) (err error) {
		counts[i], err = p.Count(ctx, f, by)
		return err
	})
	if err != nil && !isPartial(err) {
		return nil, err
	}
	sums := map[string]*Count{}
	var all []*Count
	for _, c := range slices.Concat(counts...) {
		sum := sums[c.Key]
		if sum == nil {
			sum = &Count{Key: c.Key}
			sums[c.Key], all = sum, append(all, sum)
		}
		sum.Count += c.Count
		if c.Oldest != nil && (sum.Oldest == nil || c.Oldest.Before(*sum.Oldest)) {
			sum.Oldest = c.Oldest
		}
	}
	merged := make([]Count, len(all))
	for i, c := range all {
		merged[i] = *c
	}
	slices.SortFunc(merged, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Key, b.Key))
	})
	return merged, err
}

func isPartial(err error) bool {
	var partial *PartialError
	return errors.As(err, &partial)
}

// joinedCursor is where a merged list goes on: which page each part is at, and the last saga that was
// given out. What a page holds up to that was given out before.
type joinedCursor struct {
	Order      Order     `json:"o"`
	Descending bool      `json:"d,omitempty"`
	After      []string  `json:"a"`
	Done       []bool    `json:"x"`
	Time       time.Time `json:"t"` // zero: it has not ended
	Saga       string    `json:"s"`
	ID         string    `json:"i"`
}

// List returns a page of sagas. The error wraps [ErrBadCursor]. Sagas of a part that was away come on
// a later page where it is back by then, if the order brings them there.
func (j *Joined) List(ctx context.Context, q Query) (Page, error) {
	if j.config.Shared {
		return j.parts[0].Source.List(ctx, q)
	}
	if q.Order == "" {
		q.Order = ByStarted
	}
	limit := min(q.Limit, 1000)
	if limit <= 0 {
		limit = 50
	}
	at := joinedCursor{Order: q.Order, Descending: q.Descending, After: make([]string, len(j.parts)), Done: make([]bool, len(j.parts))}
	if q.After != "" {
		data, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || json.Unmarshal(data, &at) != nil || at.Order != q.Order || at.Descending != q.Descending ||
			len(at.After) != len(j.parts) || len(at.Done) != len(j.parts) {
			return Page{}, fmt.Errorf("tracker: list: %w", ErrBadCursor)
		}
	}
	pages := make([]Page, len(j.parts))
	err := j.each(ctx, func(ctx context.Context, i int, p PartSource) error {
		for !at.Done[i] {
			part := q
			part.After, part.Limit = at.After[i], limit
			page, err := p.List(ctx, part)
			if err != nil {
				return err
			}
			if q.After != "" {
				page.Sagas = slices.DeleteFunc(slices.Clone(page.Sagas), func(s *Snapshot) bool {
					return q.compare(q.key(s), s.Saga, s.ID, at.Time, at.Saga, at.ID) <= 0
				})
			}
			if pages[i] = page; len(page.Sagas) > 0 {
				return nil
			}
			at.After[i], at.Done[i] = page.Next, page.Next == ""
		}
		return nil
	})
	if err != nil && !isPartial(err) {
		return Page{}, err
	}
	page, failed := mergePages(q, limit, &at, pages)
	if failed != nil {
		return Page{}, failed
	}
	return page, err
}

// mergePages takes what comes first of the pages. A part whose page runs out while it has another one ends
// the merged page: what comes next there is not known.
func mergePages(q Query, limit int, at *joinedCursor, pages []Page) (Page, error) {
	var merged Page
	for len(merged.Sagas) < limit {
		first := -1
		for i := range pages {
			if len(pages[i].Sagas) == 0 {
				continue
			}
			s := pages[i].Sagas[0]
			if first < 0 || q.compare(q.key(s), s.Saga, s.ID, q.key(pages[first].Sagas[0]), pages[first].Sagas[0].Saga, pages[first].Sagas[0].ID) < 0 {
				first = i
			}
		}
		if first < 0 {
			break
		}
		p := &pages[first]
		s := p.Sagas[0]
		p.Sagas = p.Sagas[1:]
		merged.Sagas = append(merged.Sagas, s)
		at.Time, at.Saga, at.ID = q.key(s), s.Saga, s.ID
		if len(p.Sagas) == 0 {
			at.After[first], at.Done[first] = p.Next, p.Next == ""
			if p.Next != "" {
				break
			}
		}
	}
	if slices.Contains(at.Done, false) && len(merged.Sagas) > 0 {
		data, err := json.Marshal(at)
		if err != nil {
			return Page{}, fmt.Errorf("tracker: list: %w", err)
		}
		merged.Next = base64.RawURLEncoding.EncodeToString(data)
	}
	return merged, nil
}

// key returns by what a saga is sorted.
func (q *Query) key(s *Snapshot) time.Time {
	switch q.Order {
	case ByUpdated:
		return s.UpdatedAt
	case ByEnded:
		return timeAt(s.EndedAt)
	case ByStarted:
	}
	return s.StartedAt
}

// compare tells the order of two sagas in the list. Those without a time come last in either
// direction, those with the same one are sorted by name and id.
func (q *Query) compare(a time.Time, sagaA, idA string, b time.Time, sagaB, idB string) int {
	if a.IsZero() != b.IsZero() {
		if a.IsZero() {
			return 1
		}
		return -1
	}
	c := cmp.Or(a.Compare(b), strings.Compare(sagaA, sagaB), strings.Compare(idA, idB))
	if q.Descending {
		return -c
	}
	return c
}
