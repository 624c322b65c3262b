// Package drive is how the simulator of this module runs a participant: one step at a
// time, on goroutines, clocks and random numbers of its own. A participant that runs by
// itself goes through the same functions.
package drive

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/topics"
)

// World is what a participant takes from its surroundings besides its store and its log.
type World struct {
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error // its error is ctx's
	// Await waits until done is closed or ctx ends, whose error is its own then.
	Await func(ctx context.Context, done <-chan struct{}) error
	// After calls f after d, unless it is stopped before. f must not wait for anything.
	After func(d time.Duration, f func()) (stop func())
	// Go calls f beside what goes on.
	Go    func(f func())
	Float func() float64 // at random, in [0, 1)
	NewID func() string  // a UUIDv7
}

// Real is the world that there is.
func Real() World {
	return World{
		Now:   time.Now,
		Sleep: Sleep,
		Await: await,
		After: func(d time.Duration, f func()) func() {
			timer := time.AfterFunc(d, f)
			return func() { timer.Stop() }
		},
		Go:    func(f func()) { go f() },
		Float: rand.Float64,
		NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	}
}

// Sleep waits for d or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Steps are what a participant consists of. Each may be called by any goroutine, several at
// once, as the participant's own loops do; an error is that of the database, or ctx's end.
type Steps struct {
	// Keep reports whether a record concerns the service.
	Keep func(*choreo.Record) bool
	// Handle handles records of one lane.
	Handle topics.Handler
	// Look returns the rows that are due and not acted on by this process, and after how
	// long to look again. Act acts on one of them.
	Look func(ctx context.Context) ([]outbox.Due, time.Duration, error)
	Act  func(ctx context.Context, due outbox.Due)
	// Prune deletes a batch of old rows, and returns after how long to go on.
	Prune func(ctx context.Context) (time.Duration, error)
	// Homes looks up how many partitions the topics have.
	Homes func(ctx context.Context) error
	Relay *outbox.Relay
}
