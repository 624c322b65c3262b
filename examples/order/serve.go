package main

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/cluster"
	"github.com/choreo-go/choreo/tracker/memory"
	"github.com/choreo-go/choreo/tracker/page"
)

// tracker returns what shows all sagas until its context ends. It needs nothing but the log, as
// in a process of its own.
func (s *shop) tracker() (serve func(context.Context) error, err error) {
	logger := s.logger.Named("tracker")
	model := memory.New(memory.Options{})
	follow, err := tracker.New(s.log, model, &tracker.Config{Namespace: s.namespace, Logger: logger})
	if err != nil {
		return nil, errors.Join(err, model.Close())
	}
	whole := cluster.New(s.log, s.names, &cluster.Config{Logger: logger})
	server, err := api.New(whole.Source(follow), &api.Config{Address: s.o.listen, Page: page.Handler(""), Log: logger})
	if err != nil {
		return nil, errors.Join(err, model.Close())
	}
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return follow.Run(ctx) })
		group.Go(func() error { return server.ListenAndServe(ctx) })
		return errors.Join(group.Wait(), model.Close())
	}, nil
}
