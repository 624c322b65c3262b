package choreo

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Backoff names how delays grow between attempts.
type Backoff string

// The kinds of backoff.
const (
	BackoffNone        Backoff = "none"
	BackoffFixed       Backoff = "fixed"
	BackoffLinear      Backoff = "linear"
	BackoffExponential Backoff = "exponential"
)

// RetryPolicy says how often a step's handler is tried and how long is waited in
// between. The zero value means [DefaultRetry]; [NoRetry] switches retries off.
type RetryPolicy struct {
	Backoff  Backoff
	Attempts int           // in all, the first included
	Initial  time.Duration // delay before the second attempt
	Max      time.Duration // cap on a delay; 0 means none
	Factor   float64       // exponential: growth per attempt
	Jitter   float64       // share of a delay that is drawn at random, 0 to 1
}

// NoRetry tries once.
func NoRetry() RetryPolicy { return RetryPolicy{Backoff: BackoffNone, Attempts: 1} }

// FixedRetry waits the same delay before each further attempt.
func FixedRetry(attempts int, delay time.Duration) RetryPolicy {
	return RetryPolicy{Backoff: BackoffFixed, Attempts: attempts, Initial: delay}
}

// LinearRetry waits step, 2·step, 3·step, …, each at most limit.
func LinearRetry(attempts int, step, limit time.Duration) RetryPolicy {
	return RetryPolicy{Backoff: BackoffLinear, Attempts: attempts, Initial: step, Max: limit}
}

// ExponentialRetry waits initial, 2·initial, 4·initial, …, each with half of it
// drawn at random and at most limit.
func ExponentialRetry(attempts int, initial, limit time.Duration) RetryPolicy {
	return RetryPolicy{
		Backoff: BackoffExponential, Attempts: attempts,
		Initial: initial, Max: limit, Factor: 2, Jitter: 0.5,
	}
}

// DefaultRetry is what a step gets that names no policy: 5 attempts with
// exponential delays from 100 ms, capped at 10 s, half of each drawn at random.
func DefaultRetry() RetryPolicy {
	return ExponentialRetry(5, 100*time.Millisecond, 10*time.Second)
}

// Delay returns how long to wait after the given failed attempt (from 1). r is a
// random number in [0, 1). Jitter draws the last share of the delay and is applied
// before the cap, so that Max is never exceeded and many sagas that are past the
// cap do not all wait exactly Max unless the drawn delay is above it.
func (p RetryPolicy) Delay(attempt int, r float64) time.Duration {
	attempt = max(attempt, 1)
	if p.Backoff == BackoffNone || p.Initial <= 0 {
		return 0 // and not 0 times an infinite factor
	}
	d := float64(p.Initial)
	switch p.Backoff {
	case BackoffLinear:
		d *= float64(attempt)
	case BackoffExponential:
		d *= math.Pow(p.Factor, float64(attempt-1))
	case BackoffNone, BackoffFixed:
	}
	d *= 1 - p.Jitter*r
	if p.Max > 0 && d > float64(p.Max) {
		return p.Max
	}
	if d >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(d)
}

// Exhausted reports whether no attempt is left after the given one.
func (p RetryPolicy) Exhausted(attempt int) bool { return attempt >= p.Attempts }

// Validate returns an error that names every fault of the policy. The zero policy has
// faults, too: who takes it for [DefaultRetry] puts that in its place first.
func (p RetryPolicy) Validate() error {
	var faults []error
	for _, fault := range p.faults() {
		faults = append(faults, errors.New(fault))
	}
	return errors.Join(faults...)
}

func (p RetryPolicy) isZero() bool { return p == RetryPolicy{} }

func (p RetryPolicy) faults() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, "retry: "+fmt.Sprintf(format, args...)) }
	switch p.Backoff {
	case BackoffNone, BackoffFixed, BackoffLinear, BackoffExponential:
	default:
		add("unknown backoff %q: use none, fixed, linear or exponential", p.Backoff)
	}
	if p.Attempts < 1 {
		add("%d attempts: at least 1 is needed", p.Attempts)
	}
	if p.Initial < 0 || p.Max < 0 {
		add("delays cannot be negative")
	}
	if p.Backoff == BackoffExponential && !(p.Factor >= 1 && p.Factor <= 1e6) {
		add("factor %v: use a number from 1 to 1e6", p.Factor)
	}
	if !(p.Jitter >= 0 && p.Jitter <= 1) {
		add("jitter %v: use a share from 0 to 1", p.Jitter)
	}
	return out
}
