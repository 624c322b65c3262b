package main

import (
	"sync"
	"time"
)

// hopRecorder measures hops on an idle system: from the call of one step's handler
// to the call of the next one's, which is commit, produce and fetch.
type hopRecorder struct {
	mu    sync.Mutex
	saga  string // that runs alone; empty: nothing is recorded
	began time.Time
	last  time.Time // when its latest handler was called
	hops  []time.Duration
	sagas []time.Duration
}

// begin records the hops of a saga from now on, and no longer those of an earlier one.
func (h *hopRecorder) begin(saga string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saga, h.began, h.last = saga, time.Now(), time.Time{}
}

func (h *hopRecorder) at(saga, step string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.saga == "" || saga != h.saga {
		return
	}
	now := time.Now()
	if !h.last.IsZero() {
		h.hops = append(h.hops, now.Sub(h.last))
	}
	h.last = now
	if step == confirm.Name() {
		h.sagas = append(h.sagas, now.Sub(h.began))
	}
}

// take returns the durations of hops and of sagas since the last call, and ends recording.
func (h *hopRecorder) take() (hops, sagas []time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hops, sagas = h.hops, h.sagas
	h.saga, h.hops, h.sagas = "", nil, nil
	return hops, sagas
}
