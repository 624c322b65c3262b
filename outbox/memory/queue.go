package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/outbox"
)

// backlogMax is how far entries are counted.
const backlogMax = 100_000

// claim is a set of entries that one relay works on. While it is open, no other claim
// gets entries of its keys.
type claim struct {
	store     *Store
	err       error // why it can do no more; nil while it is open
	entries   []outbox.Entry
	keys      []string
	contended bool
	done      bool
}

// Claim returns up to limit of the oldest entries.
func (s *Store) Claim(ctx context.Context, limit int, except []string) (outbox.Claim, error) {
	if err := errors.Join(ctx.Err(), s.before(Effect{Op: OpClaim})); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	s.db.mu.Lock()
	err := s.usable()
	var c *claim
	if err == nil {
		c = s.take(limit, except)
	}
	s.db.mu.Unlock()
	if err == nil {
		if err = s.after(c.effect(OpClaim)); err != nil {
			c.release(ErrTxDone)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return c, nil
}

func (s *Store) take(limit int, except []string) *claim {
	c := &claim{store: s}
	left := make(map[string]struct{}, len(except))
	for _, key := range except {
		left[key] = struct{}{}
	}
	before := make(map[string]struct{}) // keys of which something was handed over
	for _, e := range s.db.entries {
		if len(c.entries) == limit {
			break
		}
		key := e.Key()
		if _, out := left[key]; out {
			continue
		}
		if s.inHand(e.Seq) {
			before[key] = struct{}{}
			continue
		}
		if _, out := before[key]; out {
			c.contended = true
			continue
		}
		switch s.db.claimed[key] {
		case c:
		case nil:
			s.db.claimed[key] = c
			c.keys = append(c.keys, key)
		default:
			c.contended = true
			continue
		}
		c.entries = append(c.entries, cloneEntry(e))
	}
	s.db.claims[c] = struct{}{}
	return c
}

// inHand reports whether an entry is left to the relay to which it was handed.
func (s *Store) inHand(seq int64) bool {
	m, ok := s.db.handed[seq]
	switch {
	case !ok:
		return false
	case m.store == s:
		h := s.hand.Load()
		return h != nil && (*h).Has(seq)
	}
	return s.db.now().Before(m.until)
}

// HandTo has units offer what they commit to a relay.
func (s *Store) HandTo(h outbox.Handover) {
	if h == nil {
		s.hand.Store(nil)
	} else {
		s.hand.Store(&h)
	}
}

// Delete deletes entries that were handed over and published.
func (s *Store) Delete(ctx context.Context, seqs []int64) error {
	if err := s.delete(ctx, seqs); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func (s *Store) delete(ctx context.Context, seqs []int64) error {
	if err := errors.Join(ctx.Err(), s.before(Effect{Op: OpSweep})); err != nil {
		return err
	}
	gone := make(map[int64]struct{}, len(seqs))
	for _, seq := range seqs {
		gone[seq] = struct{}{}
	}
	s.db.mu.Lock()
	err := s.usable()
	if err == nil {
		s.db.remove(gone)
	}
	s.db.mu.Unlock()
	if err != nil {
		return err
	}
	return s.after(Effect{Op: OpSweep})
}

func (c *claim) effect(op Op) Effect { return Effect{Op: op, Keys: c.keys} }

// Entries returns what was claimed.
func (c *claim) Entries() []outbox.Entry { return c.entries }

// Contended reports whether entries were left out because they are claimed, or something
// before them was handed over.
func (c *claim) Contended() bool { return c.contended }

// Done deletes published entries.
func (c *claim) Done(ctx context.Context, seqs []int64) error {
	if err := errors.Join(ctx.Err(), c.store.before(c.effect(OpDone))); err != nil {
		return fmt.Errorf("done: %w", err)
	}
	if err := c.remove(seqs); err != nil {
		return fmt.Errorf("done: %w", err)
	}
	if err := c.store.after(c.effect(OpDone)); err != nil {
		return fmt.Errorf("done: %w: %w", outbox.ErrUnknownOutcome, err)
	}
	return nil
}

func bySeq(e outbox.Entry, seq int64) int { return cmp.Compare(e.Seq, seq) }

func (c *claim) remove(seqs []int64) error {
	db := c.store.db
	db.mu.Lock()
	defer db.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.done:
		return errors.New("it was called before")
	}
	c.done = true
	gone := make(map[int64]struct{}, len(seqs))
	for _, seq := range seqs {
		if _, found := slices.BinarySearchFunc(c.entries, seq, bySeq); !found {
			return fmt.Errorf("entry %d is not part of the claim", seq)
		}
		gone[seq] = struct{}{}
	}
	db.remove(gone)
	return nil
}

// Release gives up what is left of the claim.
func (c *claim) Release(context.Context) error {
	err := c.store.before(c.effect(OpRelease))
	c.release(ErrTxDone)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

func (c *claim) release(why error) {
	c.store.db.mu.Lock()
	defer c.store.db.mu.Unlock()
	c.end(why)
}

// end closes the claim. The database is locked.
func (c *claim) end(why error) {
	if c.err != nil {
		return
	}
	c.err = why
	delete(c.store.db.claims, c)
	for _, key := range c.keys {
		delete(c.store.db.claimed, key)
	}
}

// Backlog returns how many entries wait and how old the oldest is.
func (s *Store) Backlog(ctx context.Context) (outbox.Backlog, error) {
	if err := s.reach(ctx, OpBacklog); err != nil {
		return outbox.Backlog{}, err
	}
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	b := outbox.Backlog{Entries: min(len(s.db.entries), backlogMax)}
	if b.Entries > 0 {
		b.Oldest = s.db.now().Sub(s.db.entries[0].CreatedAt)
	}
	return b, nil
}

// Committed returns the channel on which commits with entries are announced that were not
// handed over.
func (s *Store) Committed() <-chan struct{} { return s.committed }
