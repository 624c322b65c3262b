package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/outbox/outboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("broker away")

// rig is a relay over a memory store in virtual time. It notes when what happened.
type rig struct {
	t     *testing.T
	db    *memory.Database
	store *memory.Store // of the relay's process
	peer  *memory.Store // of another one, which does not wake the relay
	log   *outboxtest.Log
	lines *observer.ObservedLogs
	relay *outbox.Relay
	stop  func()

	mu       sync.Mutex
	began    time.Time
	claims   []time.Duration
	attempts []string // "<time> <values>"
	publish  func(ctx context.Context, records []choreo.Record) []error
}

// newRig returns a rig whose relay does not run yet.
func newRig(t *testing.T, config outbox.RelayConfig) *rig {
	db := memory.NewDatabase()
	core, lines := observer.New(zap.DebugLevel)
	config.Logger = zap.New(core)
	r := &rig{
		t: t, db: db, store: memory.New(db), peer: memory.New(db), log: outboxtest.NewLog(), lines: lines,
	}
	r.publish = r.log.Publish
	r.store.SetHook(func(e memory.Effect) error {
		if e.Op == memory.OpClaim && !e.After {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.claims = append(r.claims, time.Since(r.began))
		}
		return nil
	})
	r.relay = outbox.NewRelay(r.store, r, &config).WithoutJitter()
	return r
}

// Publish notes the attempt and leaves the rest to the log.
func (r *rig) Publish(ctx context.Context, records []choreo.Record) []error {
	r.mu.Lock()
	line := time.Since(r.began).String()
	for i := range records {
		line += " " + string(records[i].Value)
	}
	r.attempts = append(r.attempts, line)
	publish := r.publish
	r.mu.Unlock()
	return publish(ctx, records)
}

func (r *rig) onPublish(publish func(ctx context.Context, records []choreo.Record) []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publish = publish
}

// away refuses everything, as a broker does that cannot be reached.
func away(_ context.Context, records []choreo.Record) []error {
	errs := make([]error, len(records))
	for i := range errs {
		errs[i] = errAway
	}
	return errs
}

// run starts the relay; its time counts from here.
func (r *rig) run() {
	r.mu.Lock()
	r.began = time.Now()
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.relay.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(r.stop)
	synctest.Wait()
}

// pass lets virtual time pass.
func (r *rig) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// claimed returns when claims were made since the last call.
func (r *rig) claimed() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	claims := r.claims
	r.claims = nil
	return claims
}

// attempted returns what was given to the publisher since the last call.
func (r *rig) attempted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	attempts := r.attempts
	r.attempts = nil
	return attempts
}

// emit commits entries "key" or "key#n" in one unit.
func (r *rig) emit(store *memory.Store, values ...string) {
	r.t.Helper()
	changes, sagas := changesOf(values)
	u, err := store.Begin(r.t.Context(), sagas...)
	require.NoError(r.t, err)
	require.NoError(r.t, u.Commit(r.t.Context(), changes))
	synctest.Wait()
}

// join commits entries in a transaction of the caller's, which hands nothing over.
func (r *rig) join(store *memory.Store, values ...string) {
	r.t.Helper()
	changes, sagas := changesOf(values)
	tx, err := store.BeginTx(r.t.Context())
	require.NoError(r.t, err)
	u, err := store.Join(r.t.Context(), tx, sagas...)
	require.NoError(r.t, err)
	require.NoError(r.t, u.Commit(r.t.Context(), changes))
	require.NoError(r.t, tx.Commit(r.t.Context()))
	synctest.Wait()
}

func changesOf(values []string) (changes outbox.Changes, sagas []outbox.SagaID) {
	for _, v := range values {
		key := v
		for i := range v {
			if v[i] == '#' {
				key = v[:i]
			}
		}
		sagas = append(sagas, outbox.SagaID{Saga: "order", ID: key})
		changes.Entries = append(changes.Entries, outbox.Entry{
			ID: uuid.NewString(), Type: string(choreo.StepCompleted),
			Record: choreo.Record{Topic: "choreo.order.events", Partition: choreo.AnyPartition, Key: []byte(key), Value: []byte(v)},
		})
	}
	return changes, sagas
}

// messages returns the relay's log lines so far.
func (r *rig) messages() []string {
	var list []string
	for _, line := range r.lines.TakeAll() {
		require.Equal(r.t, zap.WarnLevel, line.Level)
		list = append(list, line.Message)
	}
	return list
}

func ms(list ...int) []time.Duration {
	var out []time.Duration
	for _, n := range list {
		out = append(out, time.Duration(n)*time.Millisecond)
	}
	return out
}

func keys(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return list
}
