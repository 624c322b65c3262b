package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

// silent is after how many periods without a status a process counts as gone.
const silent = 3

// told returns what processes have told of themselves, by service.
func (c *Cluster) told(ctx context.Context) ([]topics.Status, error) {
	return c.statuses.get(c.config.Now(), c.config.Fresh, func() ([]topics.Status, error) {
		table, err := c.table(ctx, c.names.Participants())
		if err != nil {
			return nil, fmt.Errorf("cluster: what processes tell of themselves: %w", err)
		}
		var all []topics.Status
		for _, rec := range table {
			status, err := topics.DecodeStatus(&rec)
			if err != nil {
				c.config.Logger.Warn("A status is passed over", zap.Error(err))
				continue
			}
			all = append(all, *status)
		}
		slices.SortFunc(all, func(a, b topics.Status) int {
			if by := strings.Compare(a.Service, b.Service); by != 0 {
				return by
			}
			return b.At.Compare(a.At)
		})
		return all, nil
	})
}

// Statuses returns what processes have told of themselves last, by service, the latest first.
func (c *Cluster) Statuses(ctx context.Context) ([]topics.Status, error) {
	statuses, err := c.told(ctx)
	return slices.Clone(statuses), err
}

// Gone reports whether a process has said goodbye, or was silent for too long.
func (c *Cluster) Gone(s *topics.Status) bool { return gone(s, c.config.Now()) }

// gone reports whether a process has said goodbye, or was silent for too long.
func gone(s *topics.Status, now time.Time) bool {
	return s.Stopping || now.Sub(s.At) > time.Duration(silent*s.EverySeconds*float64(time.Second))
}

// Participants returns the services that have published or told anything, with their processes. Of
// those that are gone only the last of each service is among them.
func (c *Cluster) Participants(ctx context.Context) ([]api.Participant, error) {
	statuses, err := c.told(ctx)
	if err != nil {
		return nil, err
	}
	contracts, err := c.contracts(ctx)
	if err != nil {
		return nil, err
	}
	now := c.config.Now()
	var all []api.Participant
	of := func(service string) *api.Participant {
		i := slices.IndexFunc(all, func(p api.Participant) bool { return p.Service == service })
		if i < 0 {
			i = len(all)
			all = append(all, api.Participant{Service: service, Instances: []api.Instance{}})
		}
		return &all[i]
	}
	for i := range contracts {
		of(contracts[i].Service)
	}
	for i := range statuses {
		p := of(statuses[i].Service)
		if statuses[i].At.After(p.LastSeen) {
			p.LastSeen = statuses[i].At
		}
		if in := instanceOf(&statuses[i], now); !in.Gone || len(p.Instances) == 0 { // the newest come first
			p.Instances = append(p.Instances, in)
		}
	}
	slices.SortFunc(all, func(a, b api.Participant) int { return strings.Compare(a.Service, b.Service) })
	for i := range all {
		if all[i].LagEvents, err = c.lagOf(ctx, all[i].Service, contracts); err != nil {
			return nil, err
		}
		for n := range all[i].Instances {
			all[i].Instances[n].LagEvents = all[i].LagEvents
		}
	}
	return all, nil
}

func instanceOf(s *topics.Status, now time.Time) api.Instance {
	in := api.Instance{
		Instance: s.Instance, Build: s.Build, StartedAt: s.StartedAt, SeenAt: s.At, Gone: gone(s, now),
		Partitions: s.Partitions, Parked: int64(s.Parked), Waiting: []api.Waiting{},
	}
	in.Outbox.Entries = int64(s.Outbox.Entries)
	if s.Outbox.OldestAt != nil {
		in.Outbox.OldestSeconds = max(0, now.Sub(*s.Outbox.OldestAt).Seconds())
	}
	for i := range s.Waiting {
		row := &s.Waiting[i]
		one := api.Waiting{
			Saga: row.Saga, ID: row.ID, Step: row.Step, State: string(row.State), Attempt: row.Attempt, Due: row.DueAt, Error: errorOf(row.Error),
		}
		if !row.Since.IsZero() {
			one.Since = &row.Since
		}
		in.Waiting = append(in.Waiting, one)
	}
	return in
}

func errorOf(e *topics.StatusError) *tracker.Error {
	if e == nil {
		return nil
	}
	return &tracker.Error{Class: e.Class, Code: e.Code, Message: e.Message}
}

// sagasOf returns the sagas in which a service takes part.
func sagasOf(service string, contracts []contract) []string {
	var sagas []string
	for i := range contracts {
		if contracts[i].Service != service {
			continue
		}
		for _, d := range contracts[i].Definitions {
			if d.Starts || len(d.Owns) > 0 {
				sagas = append(sagas, d.Name)
			}
		}
	}
	slices.Sort(sagas)
	return slices.Compact(sagas)
}

// lagOf returns how many events a service has not handled, over all its sagas.
func (c *Cluster) lagOf(ctx context.Context, service string, contracts []contract) (int64, error) {
	var events int64
	for _, saga := range sagasOf(service, contracts) {
		lags, err := c.lags(ctx, service, saga)
		if err != nil {
			return 0, err
		}
		for _, lag := range lags {
			events += lag.Lag()
		}
	}
	return events, nil
}

// lags returns how far a service is with each partition of a saga's events.
func (c *Cluster) lags(ctx context.Context, service, saga string) ([]topics.PartitionLag, error) {
	lags, err := c.log.GroupLag(ctx, c.names.Group(service), c.names.Events(saga))
	if errors.Is(err, topics.ErrUnknownTopic) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: how far %s has read: %w", service, err)
	}
	return lags, nil
}
