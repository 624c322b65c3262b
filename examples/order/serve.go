package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

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

// show has the sagas shown until ctx ends.
func (s *shop) show(ctx context.Context, cancel context.CancelCauseFunc, running *sync.WaitGroup) error {
	serve, err := s.tracker()
	if err != nil {
		return err
	}
	running.Go(func() {
		if err := serve(ctx); err != nil {
			cancel(err)
		}
	})
	_, _ = fmt.Fprintf(s.stderr, "order: the sagas are shown on http://%s/, their topics are %s.* at %s\n",
		s.o.listen, s.namespace, strings.Join(s.brokers, ","))
	return nil
}

// goOn tells the report of the orders, and lets the services go on until somebody stops them.
func (s *shop) goOn(ctx context.Context, watch *watcher, took time.Duration, tell func(*report) error) (*report, error) {
	r, err := s.settle(ctx, watch, took)
	if err != nil {
		return nil, err
	}
	if err := tell(r); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(s.stderr, "order: the services go on; the sagas are shown on http://%s/ until ctrl-c\n", s.o.listen)
	<-ctx.Done()
	return r, failure(ctx)
}
