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
		db.parkedSeq++
		p = cloneParked(p)
		p.Seq = db.parkedSeq
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
	tx := u.tx
	err = tx.do(OpCountOpen, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for id, row := range tx.store.db.sagas {
			if own, ok := tx.sagas[id]; ok {
				row = own
			}
			n += one(id, row, saga)
		}
		for id, row := range tx.sagas {
			if _, ok := tx.store.db.sagas[id]; !ok {
				n += one(id, row, saga)
			}
		}
		return nil
	})
	return min(n, limit), err
}

// one is 1 for an open saga of the definition, else 0.
func one(id outbox.SagaID, row outbox.SagaRow, saga string) int {
	if id.Saga == saga && row.State == choreo.RowOpen {
		return 1
	}
	return 0
}
