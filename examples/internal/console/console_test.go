package console_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/choreo-go/choreo/examples/internal/console"
)

func ExampleCount() {
	fmt.Println(console.Count(1234567), "sagas in", console.Short(1234*time.Millisecond))
	// Output: 1,234,567 sagas in 1.23 s
}

func TestCountAndShort(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, console.Count(n))
	}
	for d, want := range map[time.Duration]string{
		0: "0 ms", 999 * time.Millisecond: "999 ms", 1234 * time.Millisecond: "1.23 s", 90 * time.Second: "1m30s",
	} {
		require.Equal(t, want, console.Short(d))
	}
}

func TestLoggerWritesFromItsLevelOn(t *testing.T) {
	var screen bytes.Buffer
	logger := console.NewLogger(&screen, zap.WarnLevel)
	logger.Info("the service is up")
	logger.Warn("the broker is away")
	require.Contains(t, screen.String(), "WARN\tthe broker is away\n")
	require.NotContains(t, screen.String(), "the service is up")
}

func TestFindingsAreBounded(t *testing.T) {
	var screen bytes.Buffer
	console.Findings(&screen, "books: ", nil)
	require.Empty(t, screen.String())
	console.Findings(&screen, "books: ", []string{"a seat is gone"})
	require.Equal(t, "books: a seat is gone\n", screen.String())
	screen.Reset()
	console.Findings(&screen, "books: ", make([]string, 25))
	require.Equal(t, 21, bytes.Count(screen.Bytes(), []byte("\n")))
	require.Contains(t, screen.String(), "books: and 5 more\n")
}
