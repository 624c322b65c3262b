package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Parked returns the oldest records that are parked of a saga.
func (u *unit) Parked(ctx context.Context, saga outbox.SagaID, limit int) (list []outbox.Parked, err error) {
	err = u.tx.do(OpParked, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !slices.Contains(u.sagas, saga) {
			return fmt.Errorf("saga %s/%s was not named at the unit's begin", saga.Saga, saga.ID)
		}
		all := u.tx.parkedOf(saga)
		for _, p := range all[:min(len(all), limit)] {
			list = append(list, cloneParked(p))
		}
		return nil
	})
	return list, err
}

// parkedOf returns what is parked of a saga as the transaction sees it. The lock of the
// saga keeps others from changing it. The database is locked.
func (tx *Tx) parkedOf(saga outbox.SagaID) []outbox.Parked {
	if list, ok := tx.parked[saga]; ok {
		return list
	}
	return tx.store.db.parked[saga]
}

func (u *unit) writeParked(unpark []int64, park []outbox.Parked) error {
	tx, db := u.tx, u.tx.store.db
	if len(unpark) > 0 {
		for _, saga := range u.sagas {
			tx.parked[saga] = slices.DeleteFunc(slices.Clone(tx.parkedOf(saga)), func(p outbox.Parked) bool {
				return slices.Contains(unpark, p.Seq)
			})
		}
	}
	for _, p := range park {
		if err := tx.locked(p.SagaID); err != nil {
			return err
		}
		list := tx.parkedOf(p.SagaID)
		if slices.ContainsFunc(list, func(o outbox.Parked) bool { return sameRecord(&o.Record, &p.Record) }) {
			continue
		}
		db.seq++
		p = cloneParked(p)
		p.Seq = db.seq
		tx.parked[p.SagaID] = append(slices.Clip(list), p)
	}
	return nil
}

// sameRecord reports whether both stand at the same place of the log.
func sameRecord(a, b *choreo.Record) bool {
	return a.Topic == b.Topic && a.Partition == b.Partition && a.Offset == b.Offset
}

// CountOpen counts the open sagas of a definition.
func (u *unit) CountOpen(ctx context.Context, saga string, limit int) (n int, err error) {
	err = u.tx.do(OpCountOpen, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		db := u.tx.store.db
		n = db.running[saga]
		for id, row := range u.tx.sagas {
			if id.Saga == saga {
				n += open(row) - open(db.sagas[id])
			}
		}
		return nil
	})
	return min(n, limit), err
}

// open is 1 for an open saga, else 0.
func open(row outbox.SagaRow) int {
	if row.State == choreo.RowOpen {
		return 1
	}
	return 0
}
