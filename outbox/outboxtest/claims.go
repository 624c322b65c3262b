package outboxtest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/outbox"
)

func (x *exercise[Tx]) claimEmpty() {
	c := x.claim(x.Store, 10)
	require.Empty(x, c.Entries())
	require.False(x, c.Contended())
	require.NoError(x, c.Release(x.ctx))
}

func (x *exercise[Tx]) claimOldestFirst() {
	other := x.Another(x.T)
	for _, n := range []int{5, 3, 9, 1} {
		x.emit(saga(n))
	}
	x.commit(x.Store, outbox.Changes{Entries: []outbox.Entry{entry(saga(3), 2), entry(saga(3), 3)}}, saga(3))
	want := []string{
		value(saga(5).ID, 1), value(saga(3).ID, 1), value(saga(9).ID, 1), value(saga(1).ID, 1),
		value(saga(3).ID, 2), value(saga(3).ID, 3),
	}
	for limit := 1; limit <= len(want); limit++ {
		require.Equal(x, want[:limit], x.peek(other, limit))
	}
	require.Equal(x, want, x.peek(other, 100))
}

func (x *exercise[Tx]) claimExcept() {
	for n := range 4 {
		x.emit(saga(n))
	}
	require.Equal(x, []string{value(saga(1).ID, 1), value(saga(3).ID, 1)},
		x.peek(x.Store, 2, saga(0).ID, saga(2).ID, "no such key"))
	many := []string{saga(0).ID, saga(2).ID}
	for n := range 10_000 { // as many as a relay holds
		many = append(many, fmt.Sprintf("held-%d", n))
	}
	require.Equal(x, []string{value(saga(1).ID, 1), value(saga(3).ID, 1)}, x.peek(x.Store, 10, many...))
	c := x.claim(x.Store, 10, saga(0).ID, saga(1).ID, saga(2).ID, saga(3).ID)
	require.Empty(x, c.Entries())
	require.False(x, c.Contended(), "nobody else works on what the caller left out")
	require.NoError(x, c.Release(x.ctx))
}

func (x *exercise[Tx]) claimDoneOfAPart() {
	other := x.Another(x.T)
	x.commit(x.Store, outbox.Changes{Entries: slices.Concat(entries(saga(1), 3), entries(saga(2), 2))}, saga(1), saga(2))
	c := x.claim(x.Store, 10)
	got := c.Entries()
	require.Len(x, got, 5)
	require.NoError(x, c.Done(x.ctx, seqs([]outbox.Entry{got[0], got[3]})))
	require.NoError(x, c.Release(x.ctx))
	rest := []string{value(saga(1).ID, 2), value(saga(1).ID, 3), value(saga(2).ID, 2)}
	require.Equal(x, rest, x.peek(other, 10))

	c = x.claim(other, 10)
	require.NoError(x, c.Release(x.ctx)) // without Done
	require.Equal(x, rest, x.peek(x.Store, 10))

	c = x.claim(other, 2)
	require.NoError(x, c.Done(x.ctx, seqs(c.Entries())))
	require.NoError(x, c.Release(x.ctx))
	require.Equal(x, rest[2:], x.peek(x.Store, 10))
}

func (x *exercise[Tx]) claimKeysAreExclusive() {
	other := x.Another(x.T)
	x.commit(x.Store, outbox.Changes{Entries: entries(saga(1), 3)}, saga(1))
	x.emit(saga(2))

	first := x.claim(x.Store, 1)
	require.Equal(x, []string{value(saga(1).ID, 1)}, values(first.Entries()))
	x.commit(x.Store, outbox.Changes{Entries: []outbox.Entry{entry(saga(1), 4)}}, saga(1))
	for _, store := range []outbox.Store[Tx]{other, x.Store} {
		if x.ClaimsPerProcess && store == other {
			continue
		}
		second := x.claim(store, 10)
		require.Equal(x, []string{value(saga(2).ID, 1)}, values(second.Entries()),
			"none of a key's entries, old or new, while another relay works on one")
		require.True(x, second.Contended())
		third := x.claim(store, 10)
		require.Empty(x, third.Entries())
		require.True(x, third.Contended())
		require.NoError(x, third.Release(x.ctx))
		require.NoError(x, second.Release(x.ctx))
	}
	require.NoError(x, first.Done(x.ctx, seqs(first.Entries())))
	require.NoError(x, first.Release(x.ctx))
	c := x.claim(other, 10)
	require.ElementsMatch(x, []string{
		value(saga(1).ID, 2), value(saga(1).ID, 3), value(saga(2).ID, 1), value(saga(1).ID, 4),
	}, values(c.Entries()))
	require.False(x, c.Contended())
	require.NoError(x, c.Release(x.ctx))
}

func (x *exercise[Tx]) claimBlocksNoWriter() {
	x.emit(saga(1), saga(2))
	c := x.claim(x.Another(x.T), 10)
	require.Len(x, c.Entries(), 2)
	require.NoError(x, next(x.ctx, x.Store, saga(1), saga(3)))
	require.NoError(x, x.Transact(x.ctx, func(tx Tx) error { return x.Put(x.ctx, tx, "beside", "a claim") }))
	require.NoError(x, c.Done(x.ctx, seqs(c.Entries())))
	require.NoError(x, c.Release(x.ctx))
	require.Len(x, x.peek(x.Store, 10), 2)
}

func (x *exercise[Tx]) claimLargeBacklog() {
	const total, batch = 5000, 1000
	var ids []outbox.SagaID
	var list []outbox.Entry
	for n := range 100 {
		ids = append(ids, saga(n))
	}
	for n := range total / len(ids) {
		for _, id := range ids {
			list = append(list, entry(id, n+1))
		}
	}
	x.commit(x.Store, outbox.Changes{Entries: list}, ids...)
	backlog, err := x.Store.Backlog(x.ctx)
	require.NoError(x, err)
	require.Equal(x, total, backlog.Entries)
	var got []string
	for range total / batch {
		c := x.claim(x.Store, batch)
		require.Len(x, c.Entries(), batch)
		got = append(got, values(c.Entries())...)
		require.NoError(x, c.Done(x.ctx, seqs(c.Entries())))
		require.NoError(x, c.Release(x.ctx))
	}
	require.Equal(x, values(list), got)
	require.Empty(x, x.peek(x.Store, 1))
}

func (x *exercise[Tx]) claimPages() {
	other := x.Another(x.T)
	ids := []outbox.SagaID{saga(1), saga(2), saga(3)}
	var list []outbox.Entry
	for n := range 100 {
		for _, id := range ids {
			list = append(list, entry(id, n+1))
		}
	}
	x.commit(x.Store, outbox.Changes{Entries: list}, ids...)
	const page = 60
	first := x.claim(x.Store, page)
	require.Equal(x, values(list[:page]), values(first.Entries()))
	require.NoError(x, first.Release(x.ctx))
	if _, ok := first.(outbox.Pages); !ok {
		return // which a store need not have
	}
	begin := func() outbox.Pages {
		x.peek(x.Store, page) // a store may go on by pages only where the last claim came full
		c := x.claim(x.Store, page)
		require.Equal(x, values(list[:page]), values(c.Entries()))
		return c.(outbox.Pages)
	}
	more := func(c outbox.Pages, published []outbox.Entry) []outbox.Entry {
		got, err := c.Next(x.ctx, seqs(published), page)
		require.NoError(x, err)
		return got
	}

	c := begin()
	x.commit(other, outbox.Changes{Entries: []outbox.Entry{entry(saga(1), 101)}}, saga(1))
	second := more(c, nil)
	require.Equal(x, values(list[page:2*page]), values(second))
	third := more(c, c.Entries())
	require.Equal(x, values(list[2*page:3*page]), values(third))
	require.False(x, x.claimed(other, saga(1).ID), "its keys are taken while it goes on")
	require.Equal(x, values(list[3*page:4*page]), values(more(c, slices.Concat(second[:1], second[2:]))))
	require.Equal(x, values(list[4*page:]), values(more(c, third)))
	require.Empty(x, more(c, nil), "what was committed since is left to the next claim")
	require.NoError(x, c.Done(x.ctx, nil))
	require.NoError(x, c.Release(x.ctx))
	list = slices.Concat(second[1:2], list[3*page:], []outbox.Entry{entry(saga(1), 101)})
	require.Equal(x, values(list), x.peek(other, len(list)+1), "the rest, and none of what was deleted")

	c = begin()
	more(c, c.Entries())
	require.NoError(x, c.Release(x.ctx)) // without Done
	require.Equal(x, values(list), x.peek(other, len(list)+1), "nothing was deleted for good")

	c = begin()
	second = more(c, c.Entries())
	require.NoError(x, c.Done(x.ctx, seqs(second)))
	require.NoError(x, c.Release(x.ctx))
	require.Equal(x, values(list[page+len(second):]), x.peek(other, len(list)))
	_, err := c.Next(x.ctx, nil, page)
	require.Error(x, err, "the claim has ended")
}

// claimed reports whether a claim gets an entry of a key.
func (x *exercise[Tx]) claimed(store outbox.Store[Tx], key string) bool {
	c := x.claim(store, 1000)
	defer func() { require.NoError(x, c.Release(x.ctx)) }()
	return slices.ContainsFunc(c.Entries(), func(e outbox.Entry) bool { return e.Key() == key })
}

func (x *exercise[Tx]) claimEndsWithItsConnection() {
	if x.Disconnect == nil {
		x.Skip("the harness cannot disconnect")
	}
	x.emit(saga(1), saga(2))
	c := x.claim(x.Store, 10)
	require.Len(x, c.Entries(), 2)
	x.Disconnect()
	require.Error(x, c.Done(x.ctx, seqs(c.Entries())))
	_ = c.Release(x.ctx) // may fail as it likes: there is no connection
	other := x.Another(x.T)
	for len(x.peek(other, 10)) < 2 { // until the database noticed
		require.NoError(x, x.ctx.Err())
	}
}

func (x *exercise[Tx]) backlog() {
	b, err := x.Store.Backlog(x.ctx)
	require.NoError(x, err)
	require.Zero(x, b)
	x.emit(saga(1), saga(2), saga(3))
	b, err = x.Another(x.T).Backlog(x.ctx)
	require.NoError(x, err)
	require.Equal(x, 3, b.Entries)
	require.Positive(x, b.Oldest)
	older, err := x.Store.Backlog(x.ctx)
	require.NoError(x, err)
	require.GreaterOrEqual(x, older.Oldest, b.Oldest)
	c := x.claim(x.Store, 10)
	require.NoError(x, c.Done(x.ctx, seqs(c.Entries())))
	require.NoError(x, c.Release(x.ctx))
	b, err = x.Store.Backlog(x.ctx)
	require.NoError(x, err)
	require.Zero(x, b)
}

func (x *exercise[Tx]) committed() {
	told := x.Store.Committed()
	require.NotNil(x, told)
	x.commit(x.Store, outbox.Changes{Steps: []outbox.StepRow{stepRow(saga(1), 1)}}, saga(1))
	select {
	case <-told:
		require.Fail(x, "told of a commit without entries")
	default:
	}
	for range 2 {
		x.emit(saga(1), saga(2), saga(3)) // nobody listens: commits do not wait for that
		select {
		case <-told:
		case <-x.ctx.Done():
			require.Fail(x, "not told of a commit with entries")
		}
		for len(told) > 0 {
			<-told
		}
	}
}

// requireNumbered requires that every key's values run from 1 on, repetitions of what
// was there before aside.
func requireNumbered(t testing.TB, published []string, want map[string]int) {
	t.Helper()
	got := make(map[string]int)
	for _, v := range published {
		key, n := parse(t, v)
		require.LessOrEqual(t, n, got[key]+1, "%s came before number %d of its key", v, got[key]+1)
		got[key] = max(got[key], n)
	}
	require.Equal(t, want, got, "every entry comes out")
}

// counted returns how many units of every saga have committed, by key.
func (x *exercise[Tx]) counted(sagas int) map[string]int {
	x.Helper()
	want := make(map[string]int)
	for n := range sagas {
		if attempts := x.rows(x.Store, saga(n)).Steps[countStep].Attempt; attempts > 0 {
			want[saga(n).ID] = attempts
		}
	}
	return want
}

// orderOfConcurrentWriters is G9 in the store: the order of a key's entries is the order
// of its commits, for whoever claims while writers commit.
func (x *exercise[Tx]) orderOfConcurrentWriters() {
	const workers, each, sagas = 6, 20, 5
	stores := []outbox.Store[Tx]{x.Store, x.Another(x.T)}
	written := make(chan struct{})
	var published []string
	read := make(chan error, 1)
	go func() {
		read <- func() error {
			for last := false; ; {
				c, err := stores[1].Claim(x.ctx, 7, nil)
				if err != nil {
					return err
				}
				published = append(published, values(c.Entries())...)
				if len(c.Entries()) == 0 && last {
					return c.Release(x.ctx)
				}
				if err := c.Done(x.ctx, seqs(c.Entries())); err != nil {
					return err
				}
				if err := c.Release(x.ctx); err != nil {
					return err
				}
				select {
				case <-written:
					last = true
				default:
				}
			}
		}()
	}()
	x.parallel(workers, func(worker int) error {
		for i := range each {
			ids := map[outbox.SagaID]bool{saga((worker + i) % sagas): true, saga((worker * i) % sagas): true}
			if err := next(x.ctx, stores[worker%2], slices.Collect(maps.Keys(ids))...); err != nil {
				return err
			}
		}
		return nil
	})
	close(written)
	require.NoError(x, <-read)
	requireNumbered(x, published, x.counted(sagas))
}

// commitOrderIsNotIDOrder: A takes a number, B takes the next one and commits, a
// relay reads, then A commits. A cursor over numbers would pass A by.
func (x *exercise[Tx]) commitOrderIsNotIDOrder() {
	if x.OneWriter {
		x.Skip("the database has one writer at a time")
	}
	inserted, read := make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(read) })
	defer goOn()
	done := make(chan error, 1)
	go func() {
		done <- x.Transact(x.ctx, func(tx Tx) error {
			u, err := x.Store.Join(x.ctx, tx, saga(1))
			if err == nil {
				err = u.Commit(x.ctx, outbox.Changes{Entries: entries(saga(1), 1)})
			}
			close(inserted)
			<-read
			return err
		})
	}()
	<-inserted
	other := x.Another(x.T)
	x.commit(other, outbox.Changes{Entries: entries(saga(2), 1)}, saga(2))
	c := x.claim(other, 10)
	require.Equal(x, []string{value(saga(2).ID, 1)}, values(c.Entries()))
	later := c.Entries()[0].Seq
	require.NoError(x, c.Done(x.ctx, seqs(c.Entries())))
	require.NoError(x, c.Release(x.ctx))
	goOn()
	require.NoError(x, <-done)
	c = x.claim(other, 10)
	require.Equal(x, []string{value(saga(1).ID, 1)}, values(c.Entries()))
	require.Less(x, c.Entries()[0].Seq, later, "the interleaving that this is about")
	require.NoError(x, c.Release(x.ctx))
}
