package outbox

import (
	"context"
	"errors"
	"time"
)

const (
	// pagesMax and pagesWithin bound how long one claim goes on: a crash repeats what it has
	// published, other relays wait for its keys, and what was handed over meanwhile is remembered
	// only so long.
	pagesMax    = 8
	pagesWithin = time.Second
)

// publishClaim publishes the entries of a claim, and as long as they come full, those behind
// them: while the log takes a page, the next is read. Then it settles the claim. It returns the last page and
// its outcome, which is yet to be noted, and whether one before has made keys free.
func (r *Relay) publishClaim(ctx context.Context, claim Claim) (entries []Entry, out outcome, freed bool, err error) {
	entries = claim.Entries()
	if len(entries) == 0 {
		return nil, out, false, r.settle(ctx, claim, nil, false)
	}
	pages, _ := claim.(Pages)
	began := time.Now()
	var published []int64 // and not deleted
	for n := 1; ; n++ {
		if pages == nil || n == pagesMax || len(entries) < r.config.BatchMax || time.Since(began) > pagesWithin || ctx.Err() != nil {
			out = r.publish(ctx, entries)
			return entries, out, freed, r.settle(ctx, claim, append(published, out.published...), n > 1)
		}
		next := r.readAhead(ctx, pages, published)
		out = r.publish(ctx, entries)
		page := <-next
		if page.err != nil {
			return entries, out, freed, errors.Join(page.err, r.settle(ctx, claim, nil, false))
		}
		published = out.published
		// Behind an entry that failed none of its key may go, and none where it may be the log that is away.
		if out.unsent > 0 || len(page.entries) == 0 {
			return entries, out, freed, r.settle(ctx, claim, published, true)
		}
		_, more := r.note(&out, false)
		freed = freed || more
		entries = page.entries
	}
}

// page is what Pages.Next returned.
type page struct {
	entries []Entry
	err     error
}

// readAhead reads the next page of a claim and deletes what was published, even when the time to
// stop is over, as settle does.
func (r *Relay) readAhead(ctx context.Context, pages Pages, published []int64) <-chan page {
	next := make(chan page, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		defer cancel()
		entries, err := pages.Next(ctx, published, r.config.BatchMax)
		next <- page{entries, err}
	}()
	return next
}

// settle deletes what was published and releases the claim. It does so even when the
// time to stop is over: what is not deleted is published again. deleted says that pages were
// deleted before.
func (r *Relay) settle(ctx context.Context, claim Claim, published []int64, deleted bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	var err error
	if len(published) > 0 || deleted {
		err = claim.Done(ctx, published)
	}
	return errors.Join(err, claim.Release(ctx))
}
