package connect

import (
	"context"
	"errors"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/confluent"
	"github.com/choreo-go/choreo/schema/registry/topic"
)

// OpenRegistry returns the registry that is named, and what closes it: one over HTTP, else the
// topic of schemas on the brokers.
func (s *Settings) OpenRegistry(ctx context.Context) (schema.Registry, func() error, error) {
	switch {
	case len(s.Registry) > 0:
		registry, err := s.overHTTP()
		return registry, func() error { return nil }, err
	case len(s.Brokers) > 0:
		return s.inTopic(ctx)
	}
	return nil, nil, exit.Usagef("no registry is named: say --registry URL, or --brokers host:port for the topic of schemas; or set CHOREO_REGISTRY_URL or CHOREO_BROKERS")
}

// HTTPRegistry returns the registry that is named by its URL, nil where none is: then the topic of
// schemas is the registry.
func (s *Settings) HTTPRegistry() (schema.Registry, error) {
	if len(s.Registry) == 0 {
		return nil, nil //nolint:nilnil // without a URL there is none, and that is well
	}
	return s.overHTTP()
}

func (s *Settings) overHTTP() (schema.Registry, error) {
	config := &confluent.Config{
		URLs: s.Registry, User: s.registryUser, Password: s.registryPassword, Token: s.registryToken, UserAgent: "choreo-cli",
	}
	var err error
	if s.tlsCA != "" || s.tlsCert != "" {
		if config.TLS, err = s.tlsConfig(); err != nil {
			return nil, err
		}
	}
	registry, err := confluent.New(config)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	return registry, nil
}

func (s *Settings) inTopic(ctx context.Context) (schema.Registry, func() error, error) {
	names, err := s.Names()
	if err != nil {
		return nil, nil, err
	}
	log, err := s.Log()
	if err != nil {
		return nil, nil, err
	}
	// To describe it first tells sooner and better what keeps it from being read.
	states, err := log.DescribeTopics(ctx, names.Schemas())
	if _, ok := states[names.Schemas()]; err == nil && !ok {
		err = exit.NotFoundf("there is no topic %s: check --namespace, or make it with 'choreo topics apply'", names.Schemas())
	}
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	registry, err := topic.New(ctx, log, names, &topic.Config{RegisteredBy: "choreo-cli", ReadTimeout: s.Timeout})
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	return registry, log.Close, nil
}
