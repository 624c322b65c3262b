package participant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
)

// callers start sagas at once.
type callers struct {
	*sharing
	running sync.WaitGroup
	mu      sync.Mutex
	refs    map[string]Ref // by name of the caller
	errs    map[string]error
	commits []string // the sagas of each commit, sorted
	hold    chan struct{}
	fault   func(e memory.Effect) error // of a commit
}

// newCallers returns callers of which the first commit waits until hold is closed.
func newCallers(t *testing.T) *callers {
	c := &callers{
		sharing: newSharing(t, memory.NewDatabase(), Config{}),
		refs:    make(map[string]Ref), errs: make(map[string]error), hold: make(chan struct{}),
	}
	c.setHook(func(e memory.Effect) error {
		if e.Op != memory.OpCommit {
			return nil
		}
		if !e.After {
			var ids []string
			for _, id := range e.Sagas {
				ids = append(ids, id.ID)
			}
			slices.Sort(ids)
			c.mu.Lock()
			c.commits = append(c.commits, strings.Join(ids, " "))
			first := len(c.commits) == 1
			c.mu.Unlock()
			if first {
				<-c.hold
			}
		}
		if c.fault != nil {
			return c.fault(e)
		}
		return nil
	})
	return c
}

// start has a caller start a saga, and returns when it waits.
func (c *callers) start(ctx context.Context, caller, saga string) {
	c.running.Go(func() {
		ref, err := Start(ctx, c.Participant, order, saga, placed{})
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refs[caller], c.errs[caller] = ref, err
	})
	synctest.Wait()
}

// started returns which sagas have a row, and requires that each was announced once.
func (c *callers) started() string {
	c.t.Helper()
	var ids []string
	state := c.db.Snapshot()
	for _, row := range state.Sagas {
		ids = append(ids, row.SagaID.ID)
	}
	slices.Sort(ids)
	var told []string
	for _, e := range state.Entries {
		require.Equal(c.t, string(choreo.Started), e.Type)
		told = append(told, e.Key())
	}
	slices.Sort(told)
	require.Equal(c.t, ids, told)
	return strings.Join(ids, " ")
}

func TestSagasThatAreStartedAtOnceShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		for _, id := range []string{"a", "b", "c", "d"} {
			c.start(t.Context(), id, id)
		}
		c.start(t.Context(), "c again", "c")
		close(c.hold)
		c.running.Wait()
		require.Equal(t, []string{"a", "b c d"}, c.commits[:2])
		require.Equal(t, "a b c d", c.started())
		for caller, ref := range c.refs {
			require.NoError(t, c.errs[caller])
			require.Equal(t, Ref{Saga: "order", SagaID: strings.Fields(caller)[0], Created: caller != "c again"}, ref)
		}
	})
}

// A caller that gives up does not know what became of its saga if that is being committed; one whose
// saga still waited knows that it was not started. Others do not notice.
func TestACallerOfStartGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		gone, cancel := context.WithCancel(t.Context())
		c.start(gone, "a", "a")
		c.start(gone, "b", "b")
		c.start(t.Context(), "c", "c")
		cancel()
		synctest.Wait()
		require.ErrorIs(t, c.errs["a"], context.Canceled)
		require.ErrorIs(t, c.errs["a"], outbox.ErrUnknownOutcome)
		require.ErrorIs(t, c.errs["b"], context.Canceled)
		require.NotErrorIs(t, c.errs["b"], outbox.ErrUnknownOutcome)
		_, err := Start(gone, c.Participant, order, "d", placed{})
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, outbox.ErrUnknownOutcome)
		close(c.hold)
		c.running.Wait()
		synctest.Wait() // for the commit that its caller does not wait for
		require.NoError(t, c.errs["c"])
		require.Equal(t, "a c", c.started())
		var ref Ref
		ref, err = Start(t.Context(), c.Participant, order, "a", placed{})
		require.NoError(t, err)
		require.False(t, ref.Created)
	})
}

// The commit succeeds, and its answer is lost: all whose sagas it had are told so.
func TestG2OnceStartsOfUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		lost := 0
		c.fault = func(e memory.Effect) error {
			if e.After && len(e.Sagas) == 2 {
				lost++
				return errors.New("connection reset")
			}
			return nil
		}
		for _, id := range []string{"a", "b", "c"} {
			c.start(t.Context(), id, id)
		}
		close(c.hold)
		c.running.Wait()
		require.Equal(t, 1, lost)
		require.NoError(t, c.errs["a"])
		require.ErrorIs(t, c.errs["b"], outbox.ErrUnknownOutcome)
		require.ErrorIs(t, c.errs["c"], outbox.ErrUnknownOutcome)
		for _, id := range []string{"b", "c"} {
			ref, err := Start(t.Context(), c.Participant, order, id, placed{})
			require.NoError(t, err)
			require.Equal(t, Ref{Saga: "order", SagaID: id}, ref)
		}
		require.Equal(t, "a b c", c.started())
	})
}

// What cannot be committed together is tried one by one: the fault of one is not that of others.
func TestStartsThatCannotBeCommittedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		c.fault = func(e memory.Effect) error {
			if !e.After && slices.ContainsFunc(e.Sagas, func(id outbox.SagaID) bool { return id.ID == "c" }) {
				return memory.ErrConflict
			}
			return nil
		}
		for _, id := range []string{"a", "b", "c", "d"} {
			c.start(t.Context(), id, id)
		}
		close(c.hold)
		c.running.Wait()
		require.Equal(t, "a b d", c.started())
		require.ErrorIs(t, c.errs["c"], memory.ErrConflict)
		for _, id := range []string{"a", "b", "d"} {
			require.NoError(t, c.errs[id])
			require.True(t, c.refs[id].Created)
		}
	})
}

// A group that takes too long gives up its turn: the next ones do not wait for it.
func TestG8IsolationStartsBehindASlowCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		c.start(t.Context(), "a", "a")
		began := time.Now()
		for i := range 3 {
			c.start(t.Context(), fmt.Sprint(i), fmt.Sprint(i))
		}
		time.Sleep(groupTime + time.Millisecond)
		synctest.Wait()
		require.Equal(t, "0 1 2", c.started())
		require.Less(t, time.Since(began), 2*groupTime)
		close(c.hold)
		c.running.Wait()
		require.Equal(t, "0 1 2 a", c.started())
	})
}

// A handler that starts sagas in transactions of their own waits for no group that it is in.
func TestAHandlerThatStartsASaga(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharing(t, memory.NewDatabase(), Config{})
		s.charge.execute = func(ctx context.Context, _ *memory.Tx, call *Call[created]) (receipt, error) {
			began := time.Now()
			_, err := Start(ctx, s.Participant, order, "of-"+call.SagaID, placed{})
			require.Zero(t, time.Since(began))
			return receipt{}, err
		}
		s.read(trigger("a", "b")...)
		require.Equal(t, choreo.RowCompleted, s.row("a").State)
		require.Len(t, s.db.Snapshot().Sagas, 2)
	})
}
