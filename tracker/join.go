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

	"golang.org/x/sync/errgroup"
)

// Join returns several trackers, each with its part of the partitions and a model of its own, as
// one that answers for all: it asks each, and merges. Where they share a model, every one of
// them answers for all by itself, and nothing is to be joined.
func Join(parts ...Reader) Reader { return joined(parts) }

type joined []Reader

// each asks all parts at once.
func (j joined) each(ctx context.Context, ask func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range j {
		group.Go(func() error {
			if err := ask(ctx, i); err != nil {
				return fmt.Errorf("tracker %d of %d: %w", i, len(j), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Get implements [Reader].
func (j joined) Get(ctx context.Context, saga, id string) (*Snapshot, error) {
	found := make([]*Snapshot, len(j))
	err := j.each(ctx, func(ctx context.Context, i int) error {
		s, err := j[i].Get(ctx, saga, id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		found[i] = s
		return err
	})
	for _, s := range found {
		if s != nil { // also where another one does not answer
			return s, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("tracker: saga %s of %s: %w", id, saga, ErrNotFound)
	}
	return nil, err
}

// Count implements [Reader].
func (j joined) Count(ctx context.Context, f Filter, by Group) ([]Count, error) {
	counts := make([][]Count, len(j))
	err := j.each(ctx, func(ctx context.Context, i int) (err error) {
		counts[i], err = j[i].Count(ctx, f, by)
		return err
	})
	if err != nil {
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
	return merged, nil
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

// List implements [Reader].
func (j joined) List(ctx context.Context, q Query) (Page, error) {
	if q.Order == "" {
		q.Order = ByStarted
	}
	limit := min(q.Limit, 1000)
	if limit <= 0 {
		limit = 50
	}
	at := joinedCursor{Order: q.Order, Descending: q.Descending, After: make([]string, len(j)), Done: make([]bool, len(j))}
	if q.After != "" {
		data, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || json.Unmarshal(data, &at) != nil || at.Order != q.Order || at.Descending != q.Descending ||
			len(at.After) != len(j) || len(at.Done) != len(j) {
			return Page{}, fmt.Errorf("tracker: list: %w", ErrBadCursor)
		}
	}
	pages := make([]Page, len(j))
	err := j.each(ctx, func(ctx context.Context, i int) error {
		for !at.Done[i] {
			part := q
			part.After, part.Limit = at.After[i], limit
			page, err := j[i].List(ctx, part)
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
	if err != nil {
		return Page{}, err
	}
	return j.merge(q, limit, &at, pages)
}

// merge takes what comes first of the pages. A part whose page runs out while it has another one ends
// the merged page: what comes next there is not known.
func (j joined) merge(q Query, limit int, at *joinedCursor, pages []Page) (Page, error) {
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
