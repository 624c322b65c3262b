package chaos

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/postgres"
	"github.com/choreo-go/choreo/participant"
)

// desk answers the pending steps of a service from a process that runs no step itself:
// the bank for payments, the carrier for shipping.
type desk struct {
	books
	service     string
	db          *pgxpool.Pool
	store       *postgres.Store
	participant *participant.Participant[pgx.Tx]
	log         *zap.Logger
}

const (
	clerks   = 4
	deskPoll = 50 * time.Millisecond
)

// run answers requests until ctx ends or there is an error that is no outage's.
func (d *desk) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var busy sync.WaitGroup
	for range clerks {
		busy.Go(func() {
			for {
				found, err := d.serve(ctx)
				switch {
				case ctx.Err() != nil:
					return
				case err != nil && !passes(d.store, err):
					cancel(err)
					return
				case err != nil:
					d.log.Warn("request is answered later", zap.Error(err))
				}
				if found && err == nil {
					continue
				}
				select {
				case <-time.After(deskPoll):
				case <-ctx.Done():
				}
			}
		})
	}
	busy.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serve answers the request that has waited longest, and reports whether there is one.
func (d *desk) serve(ctx context.Context) (found bool, err error) {
	err = pgx.BeginFunc(ctx, d.db, func(tx pgx.Tx) error {
		var saga, orderID string
		var o purchase
		err := tx.QueryRow(ctx, `SELECT saga, order_id, details FROM request WHERE status = 'open' AND answer_at <= now()
			ORDER BY answer_at LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&saga, &orderID, &o)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		status, err := d.answer(ctx, tx, saga, orderID, &o)
		if err != nil {
			return err
		}
		return one(ctx, tx, `UPDATE request SET status = $3 WHERE (saga, order_id) = ($1, $2)`, saga, orderID, status)
	})
	return found, err
}

// answer answers a step and keeps the books of the answer in the same transaction. It
// returns what becomes of the request.
func (d *desk) answer(ctx context.Context, tx pgx.Tx, saga, orderID string, o *purchase) (status string, err error) {
	what := "answer"
	switch d.service {
	case shipping:
		err = participant.CompleteStepTx(ctx, d.participant, tx, sagas[saga], orderID, ship, parcel{o.SKU})
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO shipment VALUES ($1, $2, $3, $4, 'sent')`, saga, orderID, o.SKU, o.Quantity)
		}
	case payments:
		what, err = d.answerAuthorise(ctx, tx, saga, orderID, o)
	}
	var gone *participant.StepStateError
	if errors.As(err, &gone) {
		return "void", nil // it was turned back in the meantime, or has timed out
	}
	if err != nil {
		return "", err
	}
	step, status := ship.Name(), "answered"
	if d.service == payments {
		step = authorise.Name()
	}
	if what == "refuse" {
		status = "refused"
	}
	return status, d.deed(ctx, tx, saga, orderID, step, what, 0)
}

// answerAuthorise completes the step and holds the money, or refuses it.
func (d *desk) answerAuthorise(ctx context.Context, tx pgx.Tx, saga, orderID string, o *purchase) (what string, err error) {
	refuse := func(code string) (string, error) {
		return "refuse", participant.RefuseStepTx(ctx, d.participant, tx, sagas[saga], orderID, authorise, choreo.Refuse(code, nil))
	}
	if o.Answer == declines {
		return refuse(declined)
	}
	// The step first, since that takes the saga's lock: handlers take it before the
	// account's row, too.
	inner, err := tx.Begin(ctx)
	if err != nil {
		return "", err
	}
	err = participant.CompleteStepTx(ctx, d.participant, inner, sagas[saga], orderID, authorise, authorised{o.Cents})
	if err != nil {
		return "", err
	}
	tag, err := inner.Exec(ctx, `UPDATE account SET balance = balance - $2 WHERE customer = $1 AND balance >= $2`, o.Customer, o.Cents)
	if err != nil {
		return "", err
	}
	if tag.RowsAffected() == 0 {
		if err := inner.Rollback(ctx); err != nil {
			return "", err
		}
		return refuse(noCredit)
	}
	_, err = inner.Exec(ctx, `INSERT INTO hold VALUES ($1, $2, $3, $4, 'held')`, saga, orderID, o.Customer, o.Cents)
	if err != nil {
		return "", err
	}
	return "answer", inner.Commit(ctx)
}
