package choreotest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/choreo-go/choreo/outbox"
)

// errKilled is what a process gets that was killed and does not know it yet.
var errKilled = errors.New("choreotest: the process was killed")

// crash is when a process crashes about a commit.
type crash int

const (
	noCrash crash = iota
	crashBefore
	crashAfter
)

// processStore is a store as one process sees it: once it is killed, whatever still
// runs of the process reaches the database no more.
type processStore[Tx any] struct {
	outbox.Store[Tx]
	killed atomic.Bool
	// crash says whether the process crashes about this commit, and how to kill it.
	crash func(*outbox.Changes) (at crash, kill func())
	// committed is told what a unit has put into the outbox.
	committed func([]outbox.Entry)
}

func (s *processStore[Tx]) alive() error {
	if s.killed.Load() {
		return errKilled
	}
	return nil
}

func (s *processStore[Tx]) Begin(ctx context.Context, sagas ...outbox.SagaID) (outbox.Unit[Tx], error) {
	return s.open(true, func() (outbox.Unit[Tx], error) { return s.Store.Begin(ctx, sagas...) })
}

func (s *processStore[Tx]) BeginGroup(ctx context.Context, g outbox.Group, sagas ...outbox.SagaID) (outbox.Unit[Tx], error) {
	return s.open(true, func() (outbox.Unit[Tx], error) { return s.Store.BeginGroup(ctx, g, sagas...) })
}

func (s *processStore[Tx]) Join(ctx context.Context, tx Tx, sagas ...outbox.SagaID) (outbox.Unit[Tx], error) {
	return s.open(false, func() (outbox.Unit[Tx], error) { return s.Store.Join(ctx, tx, sagas...) })
}

// open opens a unit, of a transaction of its own or not, unless the process was killed.
func (s *processStore[Tx]) open(own bool, begin func() (outbox.Unit[Tx], error)) (outbox.Unit[Tx], error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	unit, err := begin()
	if err != nil {
		return nil, err
	}
	return &processUnit[Tx]{Unit: unit, s: s, own: own}, nil
}

func (s *processStore[Tx]) Transient(err error) bool {
	return errors.Is(err, errKilled) || s.Store.Transient(err)
}

func (s *processStore[Tx]) Due(ctx context.Context, query outbox.DueQuery) ([]outbox.Due, error) {
	if err := s.alive(); err != nil {
		return nil, err
	}
	return s.Store.Due(ctx, query)
}

func (s *processStore[Tx]) Hasten(ctx context.Context, kind outbox.DueKind) (int, error) {
	if err := s.alive(); err != nil {
		return 0, err
	}
	return s.Store.Hasten(ctx, kind)
}

func (s *processStore[Tx]) Waiting(ctx context.Context, limit int) (outbox.Waiting, error) {
	if err := s.alive(); err != nil {
		return outbox.Waiting{}, err
	}
	return s.Store.Waiting(ctx, limit)
}

func (s *processStore[Tx]) Prune(ctx context.Context, olderThan time.Duration, limit int) (int, error) {
	if err := s.alive(); err != nil {
		return 0, err
	}
	return s.Store.Prune(ctx, olderThan, limit)
}

func (s *processStore[Tx]) Ping(ctx context.Context) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.Store.Ping(ctx)
}

// HandTo hands nothing over: what a process has committed outlives it in the outbox, and there a
// relay finds it.
func (s *processStore[Tx]) HandTo(outbox.Handover) {}

// Claim has nothing for the relay of a killed process, so that it ends soon.
func (s *processStore[Tx]) Claim(ctx context.Context, limit int, except []string) (outbox.Claim, error) {
	if s.alive() != nil {
		return noClaim{}, nil
	}
	claim, err := s.Store.Claim(ctx, limit, except)
	if err != nil {
		return nil, err
	}
	return &processClaim{Claim: claim, alive: s.alive}, nil
}

type noClaim struct{}

func (noClaim) Entries() []outbox.Entry             { return nil }
func (noClaim) Contended() bool                     { return false }
func (noClaim) Done(context.Context, []int64) error { return errKilled }
func (noClaim) Release(context.Context) error       { return nil }

type processClaim struct {
	outbox.Claim
	alive func() error
}

func (c *processClaim) Done(ctx context.Context, seqs []int64) error {
	if err := c.alive(); err != nil {
		return err
	}
	return c.Claim.Done(ctx, seqs)
}

// processUnit is a unit of work of a process. Its rollback always reaches the database,
// for that is what the database does itself about a connection that is gone.
type processUnit[Tx any] struct {
	outbox.Unit[Tx]
	s   *processStore[Tx]
	own bool // its commit is that of the transaction
}

func (u *processUnit[Tx]) Commit(ctx context.Context, changes outbox.Changes) error {
	if err := u.s.alive(); err != nil {
		return errors.Join(err, u.Unit.Rollback(context.WithoutCancel(ctx)))
	}
	at, kill := noCrash, func() {}
	if u.own {
		at, kill = u.s.crash(&changes)
	}
	switch at {
	case crashBefore:
		kill()
		return errors.Join(errKilled, u.Unit.Rollback(context.WithoutCancel(ctx)))
	case crashAfter:
		// The process dies while the commit is on its way: nothing of it sees the end.
		kill()
		if err := u.Unit.Commit(context.WithoutCancel(ctx), changes); err != nil {
			return err
		}
		u.s.committed(changes.Entries)
		return fmt.Errorf("%w: %w", outbox.ErrUnknownOutcome, errKilled)
	case noCrash:
	}
	if err := u.Unit.Commit(ctx, changes); err != nil {
		return err
	}
	u.s.committed(changes.Entries)
	return nil
}
