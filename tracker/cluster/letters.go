package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker/api"
)

// Groups returns the dead letters by what was wrong, the largest group first.
func (c *Cluster) Groups(ctx context.Context) ([]api.LetterGroup, error) {
	groups, err := c.letters.Groups(ctx)
	if errors.Is(err, topics.ErrUnknownTopic) { // where nothing has died yet, nobody needs it
		return []api.LetterGroup{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	all := make([]api.LetterGroup, 0, len(groups))
	for _, g := range groups {
		all = append(all, api.LetterGroup{
			Group: g.Key, Error: g.Cause, Code: g.Type, Topic: g.Topic, Service: c.service(g.Group),
			Count: int64(g.Count), First: g.First, Last: g.Last, Sample: c.letter(topics.ListedLetter{Letter: g.Sample}),
		})
	}
	slices.SortStableFunc(all, func(a, b api.LetterGroup) int { return int(max(min(b.Count-a.Count, 1), -1)) })
	return all, nil
}

// Letters returns those of a group, the newest first, at most limit. The error wraps
// [api.ErrNoGroup].
func (c *Cluster) Letters(ctx context.Context, group string, limit int) ([]api.Letter, error) {
	letters, err := c.letters.List(ctx, group, limit)
	if err != nil && !errors.Is(err, topics.ErrUnknownTopic) {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	if len(letters) == 0 {
		return nil, fmt.Errorf("cluster: group %q: %w", group, api.ErrNoGroup)
	}
	all := make([]api.Letter, 0, len(letters))
	for _, l := range letters {
		all = append(all, c.letter(l))
	}
	return all, nil
}

// Redrive publishes letters anew, or says which ones it would. The error wraps [api.ErrNoGroup].
func (c *Cluster) Redrive(ctx context.Context, by string, r api.Redrive) (api.Redriven, error) {
	what := topics.Redrive{Group: r.Group, Force: r.Force, DryRun: r.DryRun, By: by, Note: r.Reason}
	for _, id := range r.Letters {
		what.Letters = append(what.Letters, topics.Place(id))
	}
	did, err := c.letters.Redrive(ctx, what)
	if err != nil {
		return api.Redriven{}, fmt.Errorf("cluster: %w", err)
	}
	if r.Group != "" && len(did.Letters) == 0 && len(did.Skipped) == 0 {
		return api.Redriven{}, fmt.Errorf("cluster: group %q: %w", r.Group, api.ErrNoGroup)
	}
	answer := api.Redriven{Redriven: int64(len(did.Letters)), Skipped: []api.Skipped{}, DryRun: r.DryRun}
	for _, s := range did.Skipped {
		answer.Skipped = append(answer.Skipped, api.Skipped{LetterID: api.LetterID(s.Letter), Why: s.Why})
	}
	return answer, nil
}

// service returns the service whose consumer group this is; any other group names itself.
func (c *Cluster) service(group string) string {
	if service, ours := c.names.ServiceOf(group); ours {
		return service
	}
	return group
}

func (c *Cluster) letter(l topics.ListedLetter) api.Letter {
	one := api.Letter{
		LetterID: api.LetterID(l.Place), Time: l.Time, Service: c.service(l.Group), Error: l.Message, Code: l.Type,
		Topic: l.Original.Topic, From: l.Original.Partition, At: l.Original.Offset, Redriven: l.Redriven,
	}
	if head, err := topics.ReadHead(&l.Original); err == nil {
		one.EventType, one.Key = string(head.Type), string(l.Original.Key)
	}
	return one
}
