package sim

import (
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"time"
)

// routine is one thing that goes on in the simulated world: a call of a handler, a relay, a
// client. It is a coroutine: it runs until it comes to its next effect, and then the
// scheduler says who is next. So everything happens on one thread and in one order.
type routine struct {
	*thread
	proc *process // whose it is; nil: nobody's who could crash

	wake  time.Duration // sleeping until then, in the world's time; 0: not sleeping
	ready func() bool   // waiting for it; nil: not waiting
	ended bool
}

// thread is a coroutine that runs one routine after the other, on a stack that has grown.
type thread struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	body  func() // what it is to run; nil once it has
}

// crashed is what a routine of a crashed process panics with, so that it ends where it is.
type crashed struct{}

// spawn begins a routine.
func (w *world) spawn(p *process, body func()) {
	r := &routine{thread: w.thread(), proc: p}
	r.body = body
	if p != nil {
		p.routines = append(p.routines, r)
	}
	w.runnable = append(w.runnable, r)
}

// thread returns one that has nothing to run.
func (w *world) thread() *thread {
	if n := len(w.idle); n > 0 {
		t := w.idle[n-1]
		w.idle = w.idle[:n-1]
		return t
	}
	t := new(thread)
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		for goesOn := true; goesOn; {
			t.run(w)
			goesOn = yield(struct{}{})
		}
	})
	return t
}

// run runs the body to its end, or to that of its process.
func (t *thread) run(w *world) {
	defer func() {
		t.body = nil
		switch cause := recover().(type) {
		case nil, crashed:
		default:
			w.fail("panic", "", fmt.Sprintf("%v\n%s", cause, debug.Stack()))
		}
	}()
	t.body()
}

// step lets a routine run up to its next effect.
func (w *world) step(r *routine) {
	w.current = r
	r.next()
	w.current = nil
	if r.body != nil {
		return
	}
	w.end(r)
	w.idle = append(w.idle, r.thread)
	if p := r.proc; p != nil && p.dying {
		w.kill(p)
	}
}

// end forgets a routine.
func (w *world) end(r *routine) {
	r.ended = true
	gone := func(o *routine) bool { return o == r }
	w.runnable = slices.DeleteFunc(w.runnable, gone)
	w.waiting = slices.DeleteFunc(w.waiting, gone)
	w.sleeping = slices.DeleteFunc(w.sleeping, gone)
	if r.proc != nil {
		r.proc.routines = slices.DeleteFunc(r.proc.routines, gone)
		r.proc.frozen = slices.DeleteFunc(r.proc.frozen, gone)
	}
}

// pause gives all others a chance.
func (w *world) pause() {
	if !w.current.yield(struct{}{}) {
		panic(crashed{})
	}
}

// wait returns once ready.
func (w *world) wait(ready func() bool) {
	if ready() {
		return
	}
	r := w.current
	r.ready = ready
	w.runnable = slices.DeleteFunc(w.runnable, func(o *routine) bool { return o == r })
	w.waiting = append(w.waiting, r)
	w.pause()
}

// sleep waits for d. It ends early where early is given and true, or by rouse.
func (w *world) sleep(d time.Duration, early func() bool) {
	r := w.current
	r.wake = w.now() + max(d, 0)
	r.ready = early
	w.runnable = slices.DeleteFunc(w.runnable, func(o *routine) bool { return o == r })
	w.sleeping = append(w.sleeping, r)
	if early != nil {
		w.waiting = append(w.waiting, r)
	}
	w.pause()
}

// rouse makes a routine runnable that sleeps or waits.
func (w *world) rouse(r *routine) {
	if r == nil || r.ended || r.wake == 0 && r.ready == nil {
		return
	}
	is := func(o *routine) bool { return o == r }
	w.sleeping = slices.DeleteFunc(w.sleeping, is)
	w.waiting = slices.DeleteFunc(w.waiting, is)
	r.wake, r.ready = 0, nil
	w.runnable = append(w.runnable, r)
}

// rouseReady makes those runnable for whom it has become true what they wait for.
func (w *world) rouseReady() {
	for i := 0; i < len(w.waiting); {
		if r := w.waiting[i]; r.ready() {
			w.rouse(r)
			continue
		}
		i++
	}
}

// rouseSlept makes those runnable that have slept long enough.
func (w *world) rouseSlept() {
	for i := 0; i < len(w.sleeping); {
		if r := w.sleeping[i]; r.wake <= w.now() {
			w.rouse(r)
			continue
		}
		i++
	}
}
