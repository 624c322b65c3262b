package connect

import (
	"context"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/confluent"
)

// OpenRegistry returns the registry that is named: one over HTTP. The caller closes it.
func (s *Settings) OpenRegistry(ctx context.Context) (schema.Registry, func() error, error) {
	if len(s.Registry) == 0 {
		return nil, nil, exit.Usagef("no registry is named: say --registry URL, or --brokers host:port for the topic of schemas; or set CHOREO_REGISTRY_URL or CHOREO_BROKERS")
	}
	config := &confluent.Config{
		URLs: s.Registry, User: s.registryUser, Password: s.registryPassword, Token: s.registryToken, UserAgent: "choreo-cli",
	}
	var err error
	if s.tlsCA != "" || s.tlsCert != "" {
		if config.TLS, err = s.tlsConfig(); err != nil {
			return nil, nil, err
		}
	}
	registry, err := confluent.New(config)
	if err != nil {
		return nil, nil, exit.With(exit.Usage, err)
	}
	return registry, func() error { return nil }, nil
}
