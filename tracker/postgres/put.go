package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
	"github.com/choreo-go/choreo/tracker/internal/sqltext"
)

// writeTx are the options of Put's transaction: each statement sees what was committed when it
// began, so that none fails for what another writer has committed in between.
var writeTx = pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}

// largest is how many rows a statement writes at most. Statements write a power of two, so that a
// connection prepares few of them.
const largest = 256

// Put stores snapshots and positions in one transaction, which takes one round trip.
func (m *Model) Put(ctx context.Context, snapshots []*tracker.Snapshot, positions []tracker.Position) error {
	all, newest, err := facts.Newest(snapshots)
	if err == nil {
		err = m.put(ctx, all, newest, positions)
	}
	if err != nil {
		return fail("put", err)
	}
	return nil
}

func (m *Model) put(ctx context.Context, all []facts.Facts, snapshots []*tracker.Snapshot, positions []tracker.Position) error {
	var batch pgx.Batch
	for len(all) > 0 {
		// A statement writes a row once. A saga that comes again waits for the next one.
		var again []facts.Facts
		var snapshotsAgain []*tracker.Snapshot
		first := 0
		for i := range all {
			if i > 0 && all[i].Names(&all[i-1]) {
				again, snapshotsAgain = append(again, all[i]), append(snapshotsAgain, snapshots[i])
				continue
			}
			all[first], snapshots[first] = all[i], snapshots[i]
			first++
		}
		if err := m.queue(&batch, all[:first], snapshots[:first]); err != nil {
			return err
		}
		all, snapshots = again, snapshotsAgain
	}
	positions = slices.Clone(positions)
	slices.SortFunc(positions, func(a, b tracker.Position) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for _, p := range positions {
		batch.Queue("INSERT INTO "+m.positions+` AS t (topic, partition_id, next) VALUES ($1, $2, $3)
			ON CONFLICT (topic, partition_id) DO UPDATE SET next = excluded.next WHERE excluded.next > t.next`, []byte(p.Topic), p.Partition, p.Next)
	}
	if batch.Len() == 0 {
		return ctx.Err()
	}
	if (m.puts.Add(1)-1)%sumEvery == 0 {
		batch.Queue(m.sum)
	}
	return pgx.BeginTxFunc(ctx, m.pool, writeTx, func(tx pgx.Tx) error {
		return tx.SendBatch(ctx, &batch).Close()
	})
}

// queue adds the statements that write the sagas, of which each comes once.
func (m *Model) queue(batch *pgx.Batch, all []facts.Facts, snapshots []*tracker.Snapshot) error {
	for from := 0; from < len(all); {
		n := largest
		for n > len(all)-from {
			n /= 2
		}
		args := make([]any, 0, n*columns)
		for i := from; i < from+n; i++ {
			text, err := json.Marshal(snapshots[i])
			if err != nil {
				return err
			}
			f := &all[i]
			args = append(args, []byte(f.Saga), []byte(f.ID), int64(f.Version), []byte(f.Status), f.Offset, f.Started, f.Updated, f.Ended,
				sqltext.ByteSlices(sqltext.Terms(f)), []byte(f.Parts), []byte(f.Tags), text, f.Unknown)
		}
		batch.Queue(m.upsert(n), args...)
		from += n
	}
	return nil
}

// columns is how many columns the table of sagas has.
const columns = 13

// upsert words the statement that writes n rows.
func (m *Model) upsert(n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + m.saga + " AS t (saga, id, version, status, log_offset, started, updated, ended, terms, parts, tags, snapshot, unknown) VALUES ")
	for row := range n {
		if row > 0 {
			b.WriteString(", ")
		}
		for column := range columns {
			fmt.Fprintf(&b, "%c$%d", "(,,,,,,,,,,,,"[column], row*columns+column+1)
		}
		b.WriteByte(')')
	}
	b.WriteString(` ON CONFLICT (saga, id) DO UPDATE SET version = excluded.version, status = excluded.status, log_offset = excluded.log_offset,
		started = excluded.started, updated = excluded.updated, ended = excluded.ended, terms = excluded.terms, parts = excluded.parts,
		tags = excluded.tags, snapshot = excluded.snapshot, unknown = excluded.unknown
		WHERE excluded.log_offset > t.log_offset OR t.unknown AND NOT excluded.unknown`)
	return b.String()
}
