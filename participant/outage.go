package participant

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/participant/internal/drive"
)

// outage notes what is away, so that its beginning and its end are logged once
// however many lanes notice it.
type outage struct {
	log   *zap.Logger
	world drive.World
	mu    sync.Mutex
	since map[string]time.Time
}

// patience is how many attempts in a row fail before it counts as an outage: a
// deadlock or a conflict passes sooner.
const patience = 4

// wait waits before the next attempt (from 1): 10 ms, doubling up to limit, half of it
// drawn at random. It returns ctx's error when that ends first.
func (o *outage) wait(ctx context.Context, what string, cause error, attempt int, limit time.Duration) error {
	o.mu.Lock()
	if _, known := o.since[what]; !known && attempt >= patience && ctx.Err() == nil {
		if o.since == nil {
			o.since = make(map[string]time.Time)
		}
		o.since[what] = o.world.Now()
		o.log.Warn(what+" does not answer: waiting for it", zap.Error(cause))
	}
	o.mu.Unlock()
	delay := min(10*time.Millisecond<<min(attempt-1, 20), limit)
	return o.world.Sleep(ctx, delay/2+time.Duration(o.world.Float()*float64(delay/2)))
}

// over notes that what answers again.
func (o *outage) over(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if since, known := o.since[what]; known {
		delete(o.since, what)
		o.log.Info(what+" answers again", zap.Duration("away", o.world.Now().Sub(since)))
	}
}
