package topics

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConsumeConfigNamesEveryFault(t *testing.T) {
	_, err := ConsumeConfig{Topics: []string{"a", "", "a"}, Lanes: -1, BatchMax: -2, InFlight: -3,
		SessionTimeout: -4, CommitEvery: -5}.WithDefaults()
	for _, field := range []string{"Group", "Topics[1]", "Topics[2]", "Lanes", "BatchMax", "InFlight", "SessionTimeout", "CommitEvery"} {
		require.ErrorContains(t, err, "ConsumeConfig."+field)
	}
	_, err = ConsumeConfig{}.WithDefaults()
	require.ErrorContains(t, err, "ConsumeConfig.Topics is empty")
}

func TestConsumeConfigDefaults(t *testing.T) {
	given := ConsumeConfig{Group: "g", Topics: []string{"t"}, Lanes: 7}
	c, err := given.WithDefaults()
	require.NoError(t, err)
	require.Equal(t, ConsumeConfig{Group: "g", Topics: []string{"t"}, Lanes: 7, BatchMax: 64, InFlight: 4096,
		SessionTimeout: 10 * time.Second, CommitEvery: 100 * time.Millisecond}, c)
	require.Zero(t, given.BatchMax)
}
