package kafka_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
	"github.com/choreo-go/choreo/topics/topicstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker starts an embedded broker in memory.
func broker(tb testing.TB) *embedded.Broker {
	b, err := embedded.Start(embedded.Config{})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, b.Close()) })
	return b
}

// open returns a log on a cluster.
func open(tb testing.TB, config kafka.Config) *kafka.Log {
	log, err := kafka.New(config)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, log.Close()) })
	return log
}

func TestConformance(t *testing.T) {
	addresses := broker(t).Addresses()
	topicstest.Exercise(t, func(t *testing.T) topics.Log { return open(t, kafka.Config{Brokers: addresses}) })
}
