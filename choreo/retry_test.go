package choreo

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// anyPolicy draws a policy that the checks of a definition accept.
func anyPolicy(t *rapid.T) RetryPolicy {
	p := RetryPolicy{
		Backoff:  rapid.SampledFrom([]Backoff{BackoffNone, BackoffFixed, BackoffLinear, BackoffExponential}).Draw(t, "backoff"),
		Attempts: rapid.IntRange(1, 1000).Draw(t, "attempts"),
		Initial:  time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "initial")),
		Max:      time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "max")),
		Factor:   rapid.Float64Range(1, 1e6).Draw(t, "factor"),
		Jitter:   rapid.Float64Range(0, 1).Draw(t, "jitter"),
	}
	if len(p.faults()) > 0 {
		t.Fatalf("drew a policy with faults: %v", p.faults())
	}
	return p
}

func TestDelayStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPolicy(t)
		attempt := rapid.IntRange(math.MinInt32, math.MaxInt32).Draw(t, "attempt")
		r := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "r")
		d := p.Delay(attempt, r)
		if d < 0 {
			t.Fatalf("negative delay %v", d)
		}
		if p.Max > 0 && d > p.Max {
			t.Fatalf("%v is above the cap %v", d, p.Max)
		}
		if full := p.Delay(attempt, 0); d > full {
			t.Fatalf("jitter lengthened the delay from %v to %v", full, d)
		}
	})
}

func TestDelayGrowsWithoutJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPolicy(t)
		p.Jitter = 0
		r := rapid.Float64Range(0, 0.999).Draw(t, "r")
		attempt := rapid.IntRange(1, 2000).Draw(t, "attempt")
		if before, after := p.Delay(attempt, r), p.Delay(attempt+1, r); after < before {
			t.Fatalf("delay fell from %v to %v after attempt %d", before, after, attempt+1)
		}
	})
}

// The cap cuts the drawn delay. Were the capped delay drawn from, the mean of many
// sagas past the cap would be below it for no reason, and were nothing drawn they
// would all come back at the same moment.
func TestDelayDrawsBeforeTheCap(t *testing.T) {
	p := ExponentialRetry(10, time.Second, 10*time.Second)
	require.Equal(t, 8*time.Second, p.Delay(5, 0.999999999)-p.Delay(5, 0.999999999)%time.Second, "16 s, half of it drawn away")
	require.Equal(t, 10*time.Second, p.Delay(5, 0), "16 s, nothing drawn away")
	require.Equal(t, 10*time.Second, p.Delay(6, 0.9), "32 s, 45% drawn away, is still above the cap")
	require.Equal(t, 500*time.Millisecond, p.Delay(1, 1), "half of the first delay is the least")
}

func TestDelayOfEachBackoff(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy RetryPolicy
		want   []time.Duration
	}{
		{"none", NoRetry(), []time.Duration{0, 0}},
		{"fixed", FixedRetry(3, time.Second), []time.Duration{time.Second, time.Second, time.Second}},
		{"linear", LinearRetry(4, time.Second, 3*time.Second), []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second}},
		{
			"exponential", ExponentialRetry(5, time.Second, 6*time.Second),
			[]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 6 * time.Second},
		},
		{"exponential without an initial delay", RetryPolicy{Backoff: BackoffExponential, Attempts: 9, Factor: 1e6}, []time.Duration{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Empty(t, c.policy.faults())
			for i, want := range c.want {
				require.Equal(t, want, c.policy.Delay(i+1, 0), "after attempt %d", i+1)
			}
		})
	}
	// 0 times an infinite factor is not a number, which no delay may become.
	require.Zero(t, RetryPolicy{Backoff: BackoffExponential, Attempts: 9, Factor: 1e6}.Delay(1000, 0))
	require.Equal(t, time.Duration(math.MaxInt64), RetryPolicy{
		Backoff: BackoffExponential, Attempts: 9, Factor: 1e6, Initial: 1,
	}.Delay(1000, 0.5), "no overflow where there is no cap")
	require.Equal(t, time.Second, FixedRetry(2, time.Second).Delay(-5, 0), "an attempt before the first counts as the first")
}

func TestExhausted(t *testing.T) {
	require.True(t, NoRetry().Exhausted(1))
	p := FixedRetry(3, time.Second)
	require.False(t, p.Exhausted(1))
	require.False(t, p.Exhausted(2))
	require.True(t, p.Exhausted(3))
	require.True(t, p.Exhausted(4))
}

func TestRetryDefaults(t *testing.T) {
	define := func(step *StepOf[tIn, tOut]) *StepDef {
		return MustDefine[tIn]("saga", 1, step).Step("first")
	}
	plain := define(tFirst.OwnedBy("one"))
	require.Equal(t, DefaultRetry(), plain.Retry)
	require.Equal(t, 10, plain.UndoRetry.Attempts, "giving up a compensation needs an operator")

	once := define(tFirst.OwnedBy("one").Retry(NoRetry()))
	require.Equal(t, NoRetry(), once.Retry)
	require.Equal(t, BackoffExponential, once.UndoRetry.Backoff)
	require.Equal(t, 10, once.UndoRetry.Attempts)

	many := define(tFirst.OwnedBy("one").Retry(FixedRetry(20, time.Minute)))
	require.Equal(t, FixedRetry(20, time.Minute), many.UndoRetry)

	own := define(tFirst.OwnedBy("one").UndoRetry(NoRetry()))
	require.Equal(t, NoRetry(), own.UndoRetry, "a policy that was named stays")
}
