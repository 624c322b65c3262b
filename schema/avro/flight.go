package avro

import (
	"errors"
	"sync"
)

// flights makes each value once, however many ask for it at a time. A failure is shared by those
// who waited for it and then forgotten, so that neither an outage nor a made-up key stays.
type flights[K comparable, V any] struct {
	made  sync.Map // K → V
	mu    sync.Mutex
	going map[K]*flight[V]
}

type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func (f *flights[K, V]) get(key K, produce func() (V, error)) (V, error) {
	if v, ok := f.known(key); ok {
		return v, nil
	}
	f.mu.Lock()
	if v, ok := f.known(key); ok {
		f.mu.Unlock()
		return v, nil
	}
	if other, ok := f.going[key]; ok {
		f.mu.Unlock()
		<-other.done
		return other.value, other.err
	}
	own := &flight[V]{done: make(chan struct{}), err: errNotMade}
	if f.going == nil {
		f.going = map[K]*flight[V]{}
	}
	f.going[key] = own
	f.mu.Unlock()

	defer f.land(key, own)
	own.value, own.err = produce()
	return own.value, own.err
}

// errNotMade is for those who wait where the methods of a Go type panic.
var errNotMade = errors.New("avro: whoever asked first has panicked")

func (f *flights[K, V]) land(key K, own *flight[V]) {
	f.mu.Lock()
	if own.err == nil {
		f.made.Store(key, own.value)
	}
	delete(f.going, key)
	f.mu.Unlock()
	close(own.done)
}

func (f *flights[K, V]) known(key K) (V, bool) {
	v, ok := f.made.Load(key)
	if !ok {
		var none V
		return none, false
	}
	value, ok := v.(V)
	return value, ok
}
