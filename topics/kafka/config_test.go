package kafka_test

import (
	"crypto/tls"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/topics/kafka"
)

func TestConfigNamesEveryFault(t *testing.T) {
	_, err := kafka.New(kafka.Config{Brokers: []string{"host", "host:0", ":1", "host:9092"},
		SASL: &kafka.SASL{Mechanism: "gssapi"}, RequestTimeout: -1, DeliveryTimeout: -1, RequestBytes: -1, Compression: "zip"})
	for _, field := range []string{"Brokers[0]", "Brokers[1]", "Brokers[2]", "SASL.Mechanism", "SASL.User", "SASL.Password",
		"RequestTimeout", "DeliveryTimeout", "RequestBytes", "Compression"} {
		require.ErrorContains(t, err, "Config."+field)
	}
	require.NotContains(t, err.Error(), "Brokers[3]")
	_, err = kafka.New(kafka.Config{})
	require.ErrorContains(t, err, "Config.Brokers is empty")
}

func TestPlainNeedsTLS(t *testing.T) {
	config := kafka.Config{Brokers: []string{"host:9092"}, SASL: &kafka.SASL{Mechanism: "plain", User: "u", Password: "secret"}}
	_, err := kafka.New(config)
	require.ErrorContains(t, err, "Config.SASL.Mechanism is plain")
	require.ErrorContains(t, err, "set TLS")
	config.TLS = &tls.Config{}
	log, err := kafka.New(config)
	require.NoError(t, err)
	require.NoError(t, log.Close())
	require.NotContains(t, fmt.Sprintf("%v %+v", *config.SASL, config.SASL), "secret")
}

func TestUnreachableBrokersAreToldInTime(t *testing.T) {
	log := open(t, kafka.Config{Brokers: []string{fmt.Sprintf("127.0.0.1:%d", freePort(t))}, DeliveryTimeout: 100 * time.Millisecond})
	_, err := log.DescribeTopics(t.Context(), "t")
	require.ErrorContains(t, err, "no success within 100ms")
	require.ErrorContains(t, err, "connection refused")
}

// A service that embeds a participant must not link the embedded broker.
func TestParticipantDoesNotLinkTheEmbeddedBroker(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", "github.com/choreo-go/choreo/participant", "github.com/choreo-go/choreo/topics/kafka").Output()
	require.NoError(t, err)
	require.Contains(t, string(deps), "github.com/choreo-go/choreo/topics\n")
	for dep := range strings.Lines(string(deps)) {
		require.NotContains(t, dep, "franz-go")
		require.NotContains(t, dep, "topics/embedded")
	}
}
