package cluster

import (
	"context"
	"slices"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
)

// Explain says what a saga waits for, by its log and by what services tell of themselves.
func (c *Cluster) Explain(ctx context.Context, s *tracker.Snapshot) (tracker.Verdict, error) {
	services, err := c.services(ctx, s)
	if err != nil {
		return tracker.Verdict{}, err
	}
	return tracker.Explain(s, services, c.config.Now()), nil
}

// services returns what is known of the services that a saga waits for.
func (c *Cluster) services(ctx context.Context, s *tracker.Snapshot) ([]tracker.Service, error) {
	statuses, err := c.told(ctx)
	if err != nil {
		return nil, err
	}
	if len(statuses) == 0 { // nobody tells of itself: that says nothing of anybody
		return nil, nil
	}
	var all []tracker.Service
	for _, name := range awaited(s) {
		one := tracker.Service{Name: name, Gone: true}
		for i := range statuses {
			if statuses[i].Service == name {
				c.add(&one, &statuses[i], s)
			}
		}
		lags, err := c.lags(ctx, name, s.Saga)
		if err != nil {
			return nil, err
		}
		one.Lag = make(map[int32]int64, len(lags))
		for _, lag := range lags {
			one.Lag[lag.Partition] = lag.Lag()
		}
		all = append(all, one)
	}
	return all, nil
}

// awaited returns the services that something of the saga is up to.
func awaited(s *tracker.Snapshot) []string {
	names := []string{s.Initiator}
	for i := range s.Steps {
		names = append(names, s.Steps[i].Service)
	}
	for _, p := range s.Parked {
		names = append(names, p.Service)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// add adds what a process tells.
func (c *Cluster) add(to *tracker.Service, status *topics.Status, s *tracker.Snapshot) {
	now := c.config.Now()
	if status.At.After(to.SeenAt) {
		to.SeenAt = status.At
	}
	if gone(status, now) {
		return
	}
	to.Gone = false
	// The processes of a service share its database: each tells the same of it.
	to.OutboxEntries = max(to.OutboxEntries, int64(status.Outbox.Entries))
	if at := status.Outbox.OldestAt; at != nil && (to.OutboxOldest.IsZero() || at.Before(to.OutboxOldest)) {
		to.OutboxOldest = *at
	}
	for i := range status.Waiting {
		row := &status.Waiting[i]
		if row.Saga != s.Saga || row.ID != s.ID {
			continue
		}
		waiting := tracker.WaitingRow{
			Saga: row.Saga, ID: row.ID, Step: row.Step, State: row.State, Attempt: row.Attempt, Since: row.Since, Error: errorOf(row.Error),
		}
		if row.DueAt != nil {
			waiting.DueAt = *row.DueAt
		}
		same := func(w tracker.WaitingRow) bool { return w.Step == waiting.Step }
		if at := slices.IndexFunc(to.Waiting, same); at < 0 {
			to.Waiting = append(to.Waiting, waiting)
		} else if waiting.Since.After(to.Waiting[at].Since) {
			to.Waiting[at] = waiting
		}
	}
}
