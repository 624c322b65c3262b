package connect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
)

// Log returns the log of the brokers. The caller closes it.
func (s *Settings) Log() (topics.Log, error) {
	if len(s.Brokers) == 0 {
		return nil, exit.Usagef("no brokers are named: say --brokers host:port, set CHOREO_BROKERS, or use a profile")
	}
	config := kafka.Config{Brokers: s.Brokers, ClientID: "choreo-cli", DeliveryTimeout: s.Timeout}
	if s.tls {
		t, err := s.tlsConfig()
		if err != nil {
			return nil, err
		}
		config.TLS = t
	}
	if s.sasl != "" || s.saslUser != "" {
		config.SASL = &kafka.SASL{Mechanism: s.sasl, User: s.saslUser, Password: s.saslPassword}
	}
	log, err := kafka.New(config)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	return log, nil
}

// Remote returns the source that the API of the named tracker is.
func (s *Settings) Remote() (sagas.Source, error) { return s.Peer(s.Tracker) }

// Peer returns the source that the API of another tracker is.
func (s *Settings) Peer(url string) (sagas.Source, error) {
	config := sagas.RemoteConfig{URL: url, Token: s.trackerToken}
	if s.tlsCA != "" || s.tlsCert != "" {
		var err error
		if config.TLS, err = s.tlsConfig(); err != nil {
			return nil, err
		}
	}
	return sagas.NewRemote(config)
}

// Topics returns the source that the topics of the brokers are, for who it is that gives commands.
func (s *Settings) Topics(by string, now func() time.Time) (sagas.Source, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	registry, err := s.HTTPRegistry()
	if err != nil {
		return nil, err
	}
	log, err := s.Log()
	if err != nil {
		return nil, err
	}
	source, err := sagas.NewTopics(sagas.TopicsConfig{Log: log, Names: names, Registry: registry, By: by, Now: now})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return source, nil
}

// Names returns the names of topics in the namespace.
func (s *Settings) Names() (topics.Names, error) {
	names, err := topics.NewNames(s.Namespace)
	return names, exit.With(exit.Usage, err)
}

// tlsConfig reads the certificates.
func (s *Settings) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.tlsCA != "" {
		data, err := os.ReadFile(s.tlsCA)
		if err != nil {
			return nil, exit.With(exit.Usage, fmt.Errorf("--tls-ca: %w", err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, exit.Usagef("--tls-ca: %s holds no certificate: give it one in PEM form", s.tlsCA)
		}
	}
	switch {
	case s.tlsCert == "" && s.tlsKey == "":
	case s.tlsCert == "" || s.tlsKey == "":
		return nil, exit.With(exit.Usage, errors.New("--tls-cert and --tls-key belong together: name both"))
	default:
		cert, err := tls.LoadX509KeyPair(s.tlsCert, s.tlsKey)
		if err != nil {
			return nil, exit.With(exit.Usage, fmt.Errorf("--tls-cert and --tls-key: %w", err))
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}
