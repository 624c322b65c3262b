package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant"
)

// tx is a transaction as handlers of any store see it: counters, and a note of what they did
// in it, which becomes part of the world's ledger when the transaction commits.
type tx struct {
	inner   any // the store's own
	p       *process
	get     func(key string) (int, error)
	put     func(key string, value int) error
	effects []effect
	entries []outbox.Entry
	rings   []time.Duration // after how long rows are due
}

// effect is one thing that a handler did in a transaction.
type effect struct {
	saga string
	step string
	kind effectKind
}

type effectKind string

const (
	executed effectKind = "execute"    // a step's whole effect
	begun    effectKind = "begin"      // of a step that ends elsewhere
	undone   effectKind = "compensate" //
)

// do counts an effect in the database, within the transaction.
func (t *tx) do(e effect) error {
	if err := t.p.effect("statement", e.saga); err != nil {
		return err
	}
	n, err := t.get(e.key())
	if err != nil {
		return err
	}
	if err := t.put(e.key(), n+1); err != nil {
		return err
	}
	t.effects = append(t.effects, e)
	return nil
}

func (e *effect) key() string { return string(e.kind) + " " + e.saga + " " + e.step }

// handler is the handler of any step. What it does is drawn from the seed, the saga and the
// step, so that it is the same at each attempt and in each process.
type handler[In any] struct {
	p *process
	s *shape
	i int
}

// fate is how a step goes in one saga.
type fate struct {
	failures int // attempts that fail before one succeeds; endless: all of them
	how      func(attempt int) error
	hang     time.Duration // how long an attempt takes
	panics   bool
	pending  time.Duration // async: how long it waits for its answer
	answer   fateOfAnswer
}

type fateOfAnswer int

const (
	answered fateOfAnswer = iota
	refused
	forgotten
)

const endless = 1 << 30

var errFlaky = errors.New("it may work next time")

// roll returns a number below n that depends on the seed and the words alone.
func (w *world) roll(n int, words ...string) int {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, w.seed, words) // a hash takes everything
	v := h.Sum64()
	v ^= v >> 29
	v *= 0xbf58476d1ce4e5b9
	v ^= v >> 32
	return int(v % uint64(n))
}

// fateOf returns how Execute of a step goes in a saga.
func (w *world) fateOf(saga string, st *step) fate {
	var f fate
	roll := w.roll(100, "execute", saga, st.name)
	retryable := func(int) error { return errFlaky }
	switch {
	case roll < 62:
	case roll < 69:
		f.failures, f.how = endless, func(int) error { return choreo.Refuse("no", nil) }
	case roll < 72:
		f.failures, f.how = endless, func(int) error { return choreo.Permanent(errFlaky) }
	case roll < 88:
		f.failures, f.how = 1+w.roll(4, "failures", saga, st.name), retryable
	case roll < 91:
		f.failures, f.how = endless, retryable
	case roll < 94:
		f.failures, f.how = 1, func(int) error { return choreo.RetryAfter(30*time.Second, errFlaky) }
	case roll < 97:
		f.failures, f.panics = 1, true
	default:
		f.failures, f.hang, f.how = 1, 30*time.Second, retryable
	}
	if st.async && f.failures == 0 {
		f.pending = time.Duration(5+w.roll(100, "pending", saga, st.name)) * time.Second
		switch roll := w.roll(10, "answer", saga, st.name); {
		case roll < 6:
		case roll < 8:
			f.answer = refused
		default:
			f.answer = forgotten
		}
	}
	return f
}

// undoFateOf returns how Compensate goes.
func (w *world) undoFateOf(saga string, st *step) fate {
	var f fate
	f.how = func(int) error { return errFlaky }
	switch roll := w.roll(100, "compensate", saga, st.name); {
	case roll < 84:
	case roll < 92:
		f.failures = 1 + w.roll(3, "failures undone", saga, st.name)
	case roll < 95:
		f.failures, f.how = endless, func(int) error { return choreo.Permanent(errFlaky) }
	case roll < 97:
		f.failures, f.panics = 1, true
	default:
		f.failures = endless
	}
	return f
}

// attempt fails or hangs as the fate says.
func (h *handler[In]) attempt(ctx context.Context, f *fate, attempt int) error {
	w := h.p.w
	if f.hang > 0 && attempt <= f.failures {
		if err := h.p.sleep(ctx, f.hang); err != nil {
			return err
		}
	}
	if attempt > f.failures || f.failures == endless && w.healing {
		return nil
	}
	if f.panics {
		panic("a handler's own fault")
	}
	if f.how == nil {
		return nil
	}
	return f.how(attempt)
}

// Execute implements participant.Executor.
func (h *handler[In]) Execute(ctx context.Context, t *tx, call *participant.Call[In]) (payload, error) {
	w, st := h.p.w, &h.s.steps[h.i]
	out := payload{N: w.number(call.SagaID), From: st.name, Newer: h.newer(call.SagaID)}
	if err := h.checkInput(call); err != nil {
		return out, err
	}
	f := w.fateOf(call.SagaID, st)
	// What a failed attempt wrote must go with it.
	if w.roll(2, "write first", call.SagaID, st.name) == 0 || f.failures == 0 {
		kind := executed
		if f.pending > 0 {
			kind = begun
		}
		if err := t.do(effect{call.SagaID, st.name, kind}); err != nil {
			return out, err
		}
		if err := h.attempt(ctx, &f, call.Attempt); err != nil {
			return out, err
		}
	} else {
		if err := h.attempt(ctx, &f, call.Attempt); err != nil {
			return out, err
		}
		if err := t.do(effect{call.SagaID, st.name, executed}); err != nil {
			return out, err
		}
	}
	if f.pending > 0 {
		w.answerLater(h.p.svc, h.s, call.SagaID, h.i, &f)
		return out, participant.Pending(f.pending)
	}
	return out, nil
}

// Compensate implements participant.Compensator.
func (h *handler[In]) Compensate(ctx context.Context, t *tx, call *participant.Call[In], out payload) error {
	w, st := h.p.w, &h.s.steps[h.i]
	if err := h.checkInput(call); err != nil {
		return err
	}
	if out.From != st.name || out.N != w.number(call.SagaID) {
		w.fail("data", call.SagaID, fmt.Sprintf("%s is undone with the output %+v", st.name, out))
	}
	if err := t.do(effect{call.SagaID, st.name, undone}); err != nil {
		return err
	}
	f := w.undoFateOf(call.SagaID, st)
	return h.attempt(ctx, &f, call.Attempt)
}

// checkInput checks what a handler was given. It returns an error where this build cannot read
// it, as a handler does.
func (h *handler[In]) checkInput(call *participant.Call[In]) error {
	st := &h.s.steps[h.i]
	switch in := any(call.Input).(type) {
	case payload:
		from := ""
		if len(st.after) > 0 {
			from = h.s.steps[st.after[0]].name
		}
		if in.N != h.p.w.number(call.SagaID) || in.From != from {
			h.p.w.fail("data", call.SagaID, fmt.Sprintf("%s got the input %+v, expected that of %q", st.name, in, from))
		}
	case choreo.Join:
		if err := h.checkOutputs(call.SagaID, in.Outputs, st.after); err != nil {
			return err
		}
	}
	return h.checkOutputs(call.SagaID, call.Outputs, st.uses)
}

func (h *handler[In]) checkOutputs(saga string, outputs choreo.Outputs, steps []int) error {
	for _, k := range steps {
		from := &h.s.steps[k]
		out, ok, err := choreo.OutputOf(outputs, choreo.NewStep[payload, payload](from.name))
		var fault string
		switch {
		case errors.Is(err, errTooNew):
			return err
		case err != nil:
			fault = err.Error()
		case !ok && !from.optional && !from.conditional:
			fault = "nothing came"
		case ok && (out.N != h.p.w.number(saga) || out.From != from.name):
			fault = fmt.Sprintf("got %+v", out)
		}
		if fault != "" {
			h.p.w.fail("data", saga, fmt.Sprintf("%s reads %s: %s", h.s.steps[h.i].name, from.name, fault))
		}
	}
	return nil
}

// newer draws whether a build's output is such as older ones cannot decode.
func (h *handler[In]) newer(saga string) bool {
	w := h.p.w
	return h.p.build == newestBuild && w.faults[Redeployed] && w.roll(20, "newer", saga, h.s.steps[h.i].name) == 0
}
