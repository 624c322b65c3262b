package lanes

import (
	"sync"

	"github.com/choreo-go/choreo/choreo"
)

// batch is what one handler call gets. Batches are filled where records queue, so
// that nothing is copied when a lane takes one, and are never used twice, so that a
// handler may keep what it got.
type batch struct {
	records []choreo.Record
	places  []place // of the records, in their partitions' trackers
}

// place is where a tracker keeps a record.
type place struct {
	tracker *tracker
	index   int32
}

// lane is a queue of batches, all full but the last.
type lane struct {
	mu     sync.Mutex
	queue  []batch
	queued chan struct{} // holds a value after the queue went from empty to not
}

func newLane() *lane { return &lane{queued: make(chan struct{}, 1)} }

func (l *lane) push(r choreo.Record, p place, batchMax int) {
	l.mu.Lock()
	last := len(l.queue) - 1
	wake := last < 0
	if wake || len(l.queue[last].records) >= batchMax {
		l.queue = append(l.queue, batch{})
		last++
	}
	b := &l.queue[last]
	b.records = append(b.records, r)
	b.places = append(b.places, p)
	l.mu.Unlock()
	if wake {
		select {
		case l.queued <- struct{}{}:
		default:
		}
	}
}

// pop takes the oldest batch; ok is false when the queue is empty.
func (l *lane) pop() (b batch, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return batch{}, false
	}
	b = l.queue[0]
	l.queue[0] = batch{}
	if len(l.queue) == 1 {
		l.queue = l.queue[:0] // keeps room for the next
	} else {
		l.queue = l.queue[1:]
	}
	return b, true
}

func (l *lane) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) == 0
}
