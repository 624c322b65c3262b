package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"go.uber.org/zap"
)

// Config configures [New]. The zero value of a field is its default.
type Config struct {
	// Brokers are the addresses, as host:port, at which to learn of the cluster. Required.
	Brokers []string
	// ClientID is the name by which brokers know this client in logs and quotas.
	// Default: "choreo".
	ClientID string
	// TLS, if set, encrypts connections. A ServerName is filled in from the address.
	// Default: plain TCP.
	TLS *tls.Config
	// SASL, if set, is the login. Default: none.
	SASL *SASL
	// RequestTimeout bounds one request, and also making a connection. Default: 10 s.
	RequestTimeout time.Duration
	// DeliveryTimeout bounds how long Publish and the admin calls retry faults that may
	// pass. Default: 30 s.
	DeliveryTimeout time.Duration
	// RequestBytes bounds the records of one produce request; a lone larger record is
	// sent alone. Keep it below the topics' max.message.bytes. Default: 1,000,000.
	RequestBytes int
	// Compression of written batches: "gzip", "snappy", "lz4" or "zstd". Default: "none".
	Compression string
	// Logger gets one line for each fact worth knowing, never a payload. Default: none.
	Logger *zap.Logger
}

// SASL is a login. Mechanisms are "plain", "scram-sha-256" and "scram-sha-512".
type SASL struct {
	Mechanism      string
	User, Password string
}

// String hides the password.
func (s SASL) String() string { return s.Mechanism + " as " + s.User }

// withDefaults returns a checked copy with every default filled in.
func (c Config) withDefaults() (*Config, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("kafka: Config."+format, args...))
	}
	if len(c.Brokers) == 0 {
		fault("Brokers is empty: name at least one as host:port")
	}
	for i, address := range c.Brokers {
		host, port, err := net.SplitHostPort(address)
		if number, _ := strconv.Atoi(port); err != nil || host == "" || number < 1 || number > 65535 {
			fault("Brokers[%d] is %q: write host:port", i, address)
		}
	}
	c.Brokers = slices.Clone(c.Brokers)
	if c.SASL != nil {
		login := *c.SASL
		c.SASL = &login
		if _, err := login.mechanism(); err != nil {
			fault("SASL.%w", err)
		}
		if login.User == "" {
			fault("SASL.User is empty")
		}
		if login.Password == "" {
			fault("SASL.Password is empty")
		}
		if login.Mechanism == mechanismPlain && c.TLS == nil {
			fault("SASL.Mechanism is plain, which sends the password readable: set TLS, or use scram-sha-512")
		}
	}
	duration := func(name string, field *time.Duration, value time.Duration) {
		if *field < 0 {
			fault("%s is %s: use a positive duration, or 0 for %s", name, *field, value)
		} else if *field == 0 {
			*field = value
		}
	}
	duration("RequestTimeout", &c.RequestTimeout, 10*time.Second)
	duration("DeliveryTimeout", &c.DeliveryTimeout, 30*time.Second)
	if c.RequestBytes < 0 {
		fault("RequestBytes is %d: use a positive number, or 0 for 1000000", c.RequestBytes)
	} else if c.RequestBytes == 0 {
		c.RequestBytes = 1_000_000
	}
	if _, known := codecs[c.Compression]; !known {
		fault(`Compression is %q: use "none", "gzip", "snappy", "lz4" or "zstd"`, c.Compression)
	}
	if c.ClientID == "" {
		c.ClientID = "choreo"
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return &c, errors.Join(faults...)
}

// codecs are the values of Config.Compression.
var codecs = map[string]compress.Compression{
	"": compress.None, "none": compress.None, "gzip": compress.Gzip,
	"snappy": compress.Snappy, "lz4": compress.Lz4, "zstd": compress.Zstd,
}

const mechanismPlain = "plain"

// mechanism returns the login as kafka-go takes it.
func (s *SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case mechanismPlain:
		return plain.Mechanism{Username: s.User, Password: s.Password}, nil
	case "scram-sha-256":
		return scramMechanism(scram.SHA256, s)
	case "scram-sha-512":
		return scramMechanism(scram.SHA512, s)
	}
	return nil, fmt.Errorf("Mechanism is %q: use plain, scram-sha-256 or scram-sha-512", s.Mechanism)
}

func scramMechanism(algorithm scram.Algorithm, s *SASL) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(algorithm, s.User, s.Password)
	if err != nil {
		return nil, fmt.Errorf("User or Password cannot be used: %w", err)
	}
	return m, nil
}
