package table

// Signal is a channel that holds at most one value, so that to give one never waits.
type Signal chan struct{}

// NewSignal returns a signal that was not given.
func NewSignal() Signal { return make(Signal, 1) }

// Give makes the channel readable.
func (s Signal) Give() {
	select {
	case s <- struct{}{}:
	default:
	}
}
