package cluster

import (
	"context"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

// Source returns all that an API answers from: a tracker's snapshots, and the cluster for the
// rest.
func (c *Cluster) Source(t *tracker.Tracker) api.Source {
	of := followed{Tracker: t}
	source := c.Rest()
	source.Sagas, source.Figures, source.Changes = of, of, of
	return source
}

// Rest returns what the cluster answers by itself, without a tracker's snapshots.
func (c *Cluster) Rest() api.Source {
	return api.Source{Explainer: c, Events: c, Definitions: c, Participants: c, DeadLetters: c, Commands: c}
}

// followed is a tracker as the API sees it.
type followed struct{ *tracker.Tracker }

// Freshness implements [api.Sagas].
func (f followed) Freshness(context.Context) (api.Freshness, error) {
	lag := f.Tracker.Freshness(true)
	fresh := api.Freshness{LagEvents: lag.LagEvents, LagSeconds: lag.LagSeconds, Ready: f.Ready()}
	for _, p := range lag.Partitions {
		fresh.Partitions = append(fresh.Partitions, api.PartitionLag{
			Topic: p.Topic, Partition: p.Partition, LagEvents: p.LagEvents, LagSeconds: p.LagSeconds,
		})
	}
	return fresh, nil
}

// Figures implements [api.Figures].
func (f followed) Figures(ctx context.Context) (api.Figure, error) {
	overview, err := f.Overview(ctx)
	if err != nil {
		return api.Figure{}, err
	}
	var figure api.Figure
	for _, m := range overview.PerMinute {
		figure.PerMinute = append(figure.PerMinute, api.Minute(m))
	}
	for _, s := range overview.SlowestSteps {
		figure.SlowestSteps = append(figure.SlowestSteps, api.StepTime(s))
	}
	return figure, nil
}

// Watch implements [api.Changes].
func (f followed) Watch(ctx context.Context, changed func(*tracker.Snapshot), reset func()) error {
	for change := range f.Tracker.Watch(ctx, tracker.Filter{}, 0) {
		if change.Reset {
			reset()
		} else {
			changed(change.Snapshot)
		}
	}
	return nil
}
