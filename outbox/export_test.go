package outbox

import "time"

// WithoutJitter makes the relay wait the full time of a backoff.
func (r *Relay) WithoutJitter() *Relay {
	r.jitter = func(d time.Duration) time.Duration { return d }
	return r
}
