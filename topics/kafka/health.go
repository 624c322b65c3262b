package kafka

import (
	"sync"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/internal/lanes"
)

// health gathers how a reader stands, and tells when that changes.
type health struct {
	logger *zap.Logger // names who reads
	tell   func(topics.ConsumeState)

	mu         sync.Mutex
	partitions int
	groupFault error
	faults     map[lanes.Partition]error
	told       topics.ConsumeState
}

func newHealth(logger *zap.Logger, tell func(topics.ConsumeState)) *health {
	h := &health{logger: logger, tell: tell, faults: make(map[lanes.Partition]error)}
	if h.tell == nil {
		h.tell = func(topics.ConsumeState) {}
	}
	return h
}

// assigned notes an assignment of so many partitions.
func (h *health) assigned(partitions int) {
	h.change(func() {
		h.partitions = partitions
		h.groupFault = nil
	})
}

// lost notes that the assignment is over. A fault lasts until the next one, for so long
// nothing is read.
func (h *health) lost() {
	h.change(func() {
		h.partitions = 0
		for _, fault := range h.faults {
			h.groupFault = fault
		}
		clear(h.faults)
	})
}

// group notes why the group cannot be joined, or nothing be known of the topic.
func (h *health) group(fault error) { h.change(func() { h.groupFault = fault }) }

// fault notes why a partition cannot be read.
func (h *health) fault(p lanes.Partition, fault error) { h.change(func() { h.faults[p] = fault }) }

// reads notes that a partition is read.
func (h *health) reads(p lanes.Partition) { h.change(func() { delete(h.faults, p) }) }

func (h *health) change(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
	state := topics.ConsumeState{Partitions: h.partitions, Err: h.groupFault}
	for _, fault := range h.faults {
		if state.Err == nil {
			state.Err = fault
		}
	}
	had, has := h.told.Err != nil, state.Err != nil
	if had == has && h.told.Partitions == state.Partitions {
		return
	}
	h.told = state
	switch {
	case has && !had:
		h.logger.Warn("the consumer cannot read", zap.Error(state.Err))
	case had && !has:
		h.logger.Info("the consumer reads again")
	}
	h.tell(state)
}
