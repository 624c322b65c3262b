package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics/command"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

// Act writes a command to the saga's log, and returns the id of its event.
func (c *Cluster) Act(ctx context.Context, s *tracker.Snapshot, by string, a api.Action) (string, error) {
	return c.noting(ctx, s.Saga, func() (string, error) { return c.act(ctx, s, by, a) })
}

func (c *Cluster) act(ctx context.Context, s *tracker.Snapshot, by string, a api.Action) (string, error) {
	saga := command.Saga{Name: s.Saga, Version: s.Version, ID: s.ID, Partition: s.Partition}
	who := command.Operator{By: by, Note: a.Reason}
	switch a.Action {
	case api.ActionCancel:
		return c.commands.Cancel(ctx, saga, who)
	case api.ActionForceAbort:
		return c.commands.ForceAbort(ctx, saga, who)
	case api.ActionRetry:
		return c.commands.Retry(ctx, saga, a.Step, who)
	case api.ActionRelease:
		return c.commands.Release(ctx, saga, a.Service, who)
	case api.ActionResolve:
		if a.Resolve == choreo.ResolveUndone {
			return c.commands.ResolveUndone(ctx, saga, a.Step, who)
		}
		output, err := c.outputOf(ctx, s, a)
		if err != nil {
			return "", err
		}
		return c.commands.ResolveDone(ctx, saga, a.Step, output, who)
	}
	return "", &api.RefusedError{Why: fmt.Sprintf("there is no action %q", a.Action)}
}

// Start asks the service that starts a saga to start one.
func (c *Cluster) Start(ctx context.Context, saga, by string, start api.Start) (string, error) {
	published, err := c.Definitions(ctx)
	if err != nil {
		return "", err
	}
	var chosen *api.Published
	for i := range published { // the latest comes last
		d := published[i].Document.Definition
		if d.Name() == saga && (start.Version == 0 || d.Version() == start.Version) {
			chosen = &published[i]
		}
	}
	if chosen == nil {
		what := "saga " + saga
		if start.Version > 0 {
			what = fmt.Sprintf("version %d of %s", start.Version, what)
		}
		return "", &api.RefusedError{Why: fmt.Sprintf("no service has published %s: see 'choreo definition list'", what)}
	}
	i := slices.IndexFunc(chosen.By, func(p api.Publisher) bool { return p.Starts })
	if i < 0 {
		return "", &api.RefusedError{Why: fmt.Sprintf("no service says that it starts sagas of %s", chosen.Document.Definition)}
	}
	input, err := c.encode(ctx, chosen.Document.Definition, "", start.Input)
	if err != nil {
		return "", err
	}
	return c.noting(ctx, saga, func() (string, error) {
		_, id, err := c.commands.Start(ctx, command.Start{
			Saga: saga, Version: chosen.Document.Definition.Version(), ID: start.ID, Service: chosen.By[i].Service,
			Input: input, Tags: start.Tags,
		}, command.Operator{By: by, Note: start.Reason})
		return id, err
	})
}

// outputOf encodes the output of a step that counts as done.
func (c *Cluster) outputOf(ctx context.Context, s *tracker.Snapshot, a api.Action) (command.Payload, error) {
	published, err := c.Definitions(ctx)
	if err != nil {
		return command.Payload{}, err
	}
	output := a.Output
	if output == nil {
		output = []byte("{}")
	}
	for i := range published {
		if d := published[i].Document.Definition; d.Name() == s.Saga && d.Version() == s.Version {
			return c.encode(ctx, d, a.Step, output)
		}
	}
	return command.Payload{}, refused("no service has published version %d of saga %s, which says how the output is encoded", s.Version, s.Saga)
}
