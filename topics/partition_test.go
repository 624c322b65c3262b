package topics

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The vectors are those of Apache Kafka's own UtilsTest.testMurmur2.
func TestMurmur2AgreesWithKafka(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		require.Equal(t, want, int32(murmur2([]byte(key))), key)
	}
}

func TestPartitionForStaysInRange(t *testing.T) {
	for n := 1; n < 50; n++ {
		for _, key := range []string{"", "a", "21", "foobar", "order-1"} {
			p := PartitionFor([]byte(key), n)
			require.GreaterOrEqual(t, p, int32(0))
			require.Less(t, p, int32(n))
		}
	}
}
