package main

import (
	"slices"
	"sync"
	"time"
)

// hopRecorder measures hops on an idle system: from the call of one step's handler
// to the call of the next one's, which is commit, produce and fetch.
type hopRecorder struct {
	mu     sync.Mutex
	on     bool
	last   map[string]time.Time
	hops   []time.Duration
	sagas  []time.Duration
	begins map[string]time.Time
}

func newHopRecorder() *hopRecorder {
	return &hopRecorder{last: make(map[string]time.Time), begins: make(map[string]time.Time)}
}

func (h *hopRecorder) begin(saga string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = true
	h.begins[saga] = time.Now()
}

func (h *hopRecorder) off() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = false
}

func (h *hopRecorder) at(saga, step string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.on {
		return
	}
	now := time.Now()
	if before, ok := h.last[saga]; ok {
		h.hops = append(h.hops, now.Sub(before))
	}
	h.last[saga] = now
	if step == "confirm-order" {
		h.sagas = append(h.sagas, now.Sub(h.begins[saga]))
	}
}

// quantile returns the q-quantile of the durations.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(int(q*float64(len(d))), len(d)-1)]
}
