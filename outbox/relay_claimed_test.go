package outbox_test

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

// paging is a memory store whose claims go on by pages.
type paging struct {
	*memory.Store
	faultAt int // the call of Next that fails

	mu    sync.Mutex
	count int
	next  []string
}

// pages is a claim of many entries that shows a page of them at a time.
type pages struct {
	outbox.Claim
	store   *paging
	shown   []outbox.Entry
	rest    []outbox.Entry
	deleted []int64
	values  map[int64]string
}

func (p *paging) Claim(ctx context.Context, limit int, except []string) (outbox.Claim, error) {
	c, err := p.Store.Claim(ctx, 1000, except)
	if err != nil {
		return nil, err
	}
	all := c.Entries()
	n := min(limit, len(all))
	values := make(map[int64]string)
	for i := range all {
		values[all[i].Seq] = string(all[i].Record.Value)
	}
	return &pages{Claim: c, store: p, shown: all[:n], rest: all[n:], values: values}, nil
}

func (p *pages) Entries() []outbox.Entry { return p.shown }

func (p *pages) Next(_ context.Context, published []int64, limit int) ([]outbox.Entry, error) {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	line := "next"
	for _, seq := range published {
		line += " " + p.values[seq]
	}
	p.store.next = append(p.store.next, line)
	if p.store.count++; p.store.count == p.store.faultAt {
		return nil, errors.New("connection lost")
	}
	p.deleted = append(p.deleted, published...)
	n := min(limit, len(p.rest))
	page := p.rest[:n]
	p.rest = p.rest[n:]
	return page, nil
}

func (p *pages) Done(ctx context.Context, seqs []int64) error {
	return p.Claim.Done(ctx, slices.Concat(p.deleted, seqs))
}

func (p *paging) calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.next
	p.next = nil
	return calls
}

// newPagingRig is newRig with a store whose claims go on by pages.
func newPagingRig(t *testing.T, config outbox.RelayConfig) (*rig, *paging) {
	r := newRig(t, config)
	store := &paging{Store: r.store}
	r.relay = outbox.NewRelay(store, r, &config).WithoutJitter()
	return r, store
}

func TestRelayReadsThePageThatComesNextWhileTheLogTakesOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store := newPagingRig(t, outbox.RelayConfig{BatchMax: 2})
		taken := make(chan struct{})
		r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
			<-taken
			return r.log.Publish(ctx, records)
		})
		r.emit(r.peer, "a#1", "b#1", "a#2", "b#2", "a#3")
		r.run()
		require.Equal(t, []string{"0s a#1 b#1"}, r.attempted())
		require.Equal(t, []string{"next"}, store.calls(), "read before the log has taken the first page")
		taken <- struct{}{}
		synctest.Wait()
		require.Equal(t, []string{"0s a#2 b#2"}, r.attempted())
		require.Equal(t, []string{"next a#1 b#1"}, store.calls())
		close(taken)
		synctest.Wait()
		require.Equal(t, []string{"0s a#3"}, r.attempted())
		require.Empty(t, store.calls(), "a page that is not full is the last")
		require.Empty(t, r.db.Snapshot().Entries)
		require.Equal(t, ms(0), r.claimed())
		s := r.relay.Stats()
		require.EqualValues(t, 5, s.Published)
		require.EqualValues(t, 3, s.Batches)
	})
}

func TestRelayPublishesNoPageBehindAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store := newPagingRig(t, outbox.RelayConfig{BatchMax: 2, Poll: time.Hour})
		var once sync.Once
		r.onPublish(func(ctx context.Context, records []choreo.Record) (errs []error) {
			for i := range records {
				if string(records[i].Value) == "a#2" {
					once.Do(func() { errs = make([]error, len(records)); errs[i] = errAway })
				}
			}
			if errs == nil {
				return r.log.Publish(ctx, records)
			}
			return errs
		})
		r.emit(r.peer, "a#1", "b#1", "a#2", "b#2", "a#3", "b#3")
		r.run()
		require.Equal(t, []string{"0s a#1 b#1", "0s a#2 b#2", "0s b#3"}, r.attempted(), "a#3 waits for a#2")
		require.Equal(t, []string{"next", "next a#1 b#1"}, store.calls())
		r.pass(50 * time.Millisecond)
		require.Equal(t, []string{"50ms a#2 a#3"}, r.attempted(), "nothing that was published is there again")
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

func TestRelayDeletesWhatItPublishedBeforeTheLogWentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newPagingRig(t, outbox.RelayConfig{BatchMax: 2, Poll: time.Hour})
		r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
			if string(records[0].Value) == "a#2" {
				return away(ctx, records)
			}
			return r.log.Publish(ctx, records)
		})
		r.emit(r.peer, "a#1", "b#1", "a#2", "b#2", "a#3", "b#3")
		r.run()
		require.Equal(t, []string{"0s a#1 b#1", "0s a#2 b#2"}, r.attempted())
		require.Len(t, r.db.Snapshot().Entries, 4)
		r.onPublish(r.log.Publish)
		r.pass(time.Second)
		require.Equal(t, []string{"50ms a#2 b#2", "50ms a#3 b#3"}, r.attempted())
	})
}

func TestRelayPublishesAgainWhatAPageThatFailedHadDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store := newPagingRig(t, outbox.RelayConfig{BatchMax: 2, Poll: time.Hour})
		r.emit(r.peer, "a#1", "b#1", "a#2", "b#2", "a#3", "b#3", "a#4")
		store.faultAt = 2
		r.run()
		require.Equal(t, []string{"0s a#1 b#1", "0s a#2 b#2"}, r.attempted(), "none behind what may have been lost")
		require.ErrorContains(t, r.relay.Stats().LastError, "connection lost")
		r.pass(time.Second)
		require.Equal(t, []string{"50ms a#1 b#1", "50ms a#2 b#2", "50ms a#3 b#3", "50ms a#4"}, r.attempted())
		require.Empty(t, r.db.Snapshot().Entries)
	})
}

func TestRelayGivesUpAClaimInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, slow := range []time.Duration{0, 600 * time.Millisecond} {
			r, _ := newPagingRig(t, outbox.RelayConfig{BatchMax: 2})
			r.onPublish(func(ctx context.Context, records []choreo.Record) []error {
				<-time.After(slow)
				return r.log.Publish(ctx, records)
			})
			var all []string
			for n := range 12 {
				all = append(all, fmt.Sprintf("a#%d", n), fmt.Sprintf("b#%d", n))
			}
			r.emit(r.peer, all...)
			r.run()
			r.pass(10 * time.Second)
			var got []string
			for _, line := range r.attempted() {
				got = append(got, strings.Fields(line)[1:]...)
			}
			require.Equal(t, all, got)
			claims := r.claimed()
			if slow == 0 {
				require.Equal(t, ms(0, 0, 0, 1000), claims[:4], "eight pages, the four that are left, and nothing")
			} else {
				require.Equal(t, ms(0, 1800, 3600, 5400), claims[:4], "a page begins within a second")
			}
			r.stop()
		}
	})
}
