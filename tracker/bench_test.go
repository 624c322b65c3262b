package tracker_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
	"github.com/choreo-go/choreo/topics/memory"
	"github.com/choreo-go/choreo/tracker/trackertest"
)

// The benchmarks are to be run with -benchtime 1x: a second fold finds what the first one wrote.

// benchSagas is how many sagas the benchmarks fold: CHOREO_BENCH_SAGAS, or 20,000.
func benchSagas() int {
	n, err := strconv.Atoi(os.Getenv("CHOREO_BENCH_SAGAS"))
	if err != nil {
		return 20_000
	}
	return n
}

// BenchmarkMemory is the tracker alone, on a log in memory.
func BenchmarkMemory(b *testing.B) {
	log := memory.New(memory.Options{})
	defer log.Close()
	trackertest.Bench(b, log, "bench", benchSagas())
}

// BenchmarkEmbedded folds from the embedded broker.
func BenchmarkEmbedded(b *testing.B) {
	broker, err := embedded.Start(embedded.Config{})
	require.NoError(b, err)
	defer broker.Close()
	log, err := kafka.New(kafka.Config{Brokers: broker.Addresses()})
	require.NoError(b, err)
	defer log.Close()
	trackertest.Bench(b, log, "bench", benchSagas())
}
