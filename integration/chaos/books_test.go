package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant"
)

// deedTable is in every service's schema. Each handler and each answer adds a row in its
// transaction, and no constraint keeps out a second one: the audit counts them.
const deedTable = `
CREATE TABLE deed (
	saga text NOT NULL, order_id text NOT NULL, step text NOT NULL,
	what text NOT NULL, -- execute, compensate, answer, refuse
	attempt integer NOT NULL, process text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
);`

// requestTable holds what a desk has to answer.
const requestTable = `
CREATE TABLE request (
	saga text NOT NULL, order_id text NOT NULL, answer_at timestamptz, details jsonb NOT NULL,
	status text NOT NULL DEFAULT 'open', -- answered, refused, void
	PRIMARY KEY (saga, order_id)
);
CREATE INDEX request_open ON request (answer_at) WHERE status = 'open';`

// bookTables are the books of each service. A receipt says that an order was accepted, in
// the transaction that started its saga.
var bookTables = map[string]string{
	orders: deedTable + `
CREATE TABLE receipt (saga text NOT NULL, order_id text NOT NULL, PRIMARY KEY (saga, order_id));
CREATE TABLE purchase (
	saga text NOT NULL, order_id text NOT NULL, customer text NOT NULL, cents bigint NOT NULL,
	status text NOT NULL, -- placed, cancelled, confirmed
	PRIMARY KEY (saga, order_id)
);`,
	stock: deedTable + `
CREATE TABLE stock (sku text PRIMARY KEY, initial bigint NOT NULL, on_hand bigint NOT NULL CHECK (on_hand >= 0), reserved bigint NOT NULL CHECK (reserved >= 0));
CREATE TABLE reservation (
	saga text NOT NULL, order_id text NOT NULL, sku text NOT NULL, quantity bigint NOT NULL,
	status text NOT NULL, -- reserved, released
	PRIMARY KEY (saga, order_id)
);`,
	payments: deedTable + requestTable + `
CREATE TABLE account (customer text PRIMARY KEY, initial bigint NOT NULL, balance bigint NOT NULL CHECK (balance >= 0));
CREATE TABLE hold (
	saga text NOT NULL, order_id text NOT NULL, customer text NOT NULL, cents bigint NOT NULL,
	status text NOT NULL, -- held, charged, released
	PRIMARY KEY (saga, order_id)
);`,
	shipping: deedTable + requestTable + `
CREATE TABLE shipment (
	saga text NOT NULL, order_id text NOT NULL, sku text NOT NULL, quantity bigint NOT NULL,
	status text NOT NULL, -- sent, handed-out, taken-back
	PRIMARY KEY (saga, order_id)
);`,
}

const (
	skus, scarceSKUs         = 60, 3
	customers, poorCustomers = 120, 3
	plenty, scarce           = 1_000_000, 20
	rich, poor               = 1_000_000_000, 15_000
)

func skuName(i int) string      { return fmt.Sprintf("sku-%02d", i) }
func customerName(i int) string { return fmt.Sprintf("customer-%03d", i) }

// openBooks makes a service's books.
func openBooks(ctx context.Context, db *pgxpool.Pool, service string) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		schema := pgx.Identifier{service}.Sanitize()
		_, err := tx.Exec(ctx, "CREATE SCHEMA "+schema+"; SET LOCAL search_path = "+schema+";"+bookTables[service])
		if err != nil {
			return err
		}
		var rows pgx.Batch
		switch service {
		case stock:
			for i := range skus {
				n := plenty
				if i < scarceSKUs {
					n = scarce
				}
				rows.Queue(`INSERT INTO stock VALUES ($1, $2, $2, 0)`, skuName(i), n)
			}
		case payments:
			for i := range customers {
				n := rich
				if i < poorCustomers {
					n = poor
				}
				rows.Queue(`INSERT INTO account VALUES ($1, $2, $2)`, customerName(i), n)
			}
		}
		return tx.SendBatch(ctx, &rows).Close()
	})
}

// books are the handlers of a process: plain SQL in the transaction that they get.
type books struct{ process string }

func (b books) deed(ctx context.Context, tx pgx.Tx, saga, orderID, step, what string, attempt int) error {
	_, err := tx.Exec(ctx, `INSERT INTO deed (saga, order_id, step, what, attempt, process) VALUES ($1, $2, $3, $4, $5, $6)`,
		saga, orderID, step, what, attempt, b.process)
	return err
}

// errNotAsLeft says that books are not as the saga left them: no retry will mend that.
var errNotAsLeft = errors.New("a book is not as the saga left it")

// one runs a statement that has to change one row.
func one(ctx context.Context, tx pgx.Tx, query string, args ...any) error {
	tag, err := tx.Exec(ctx, query, args...)
	if err == nil && tag.RowsAffected() != 1 {
		err = choreo.Permanent(fmt.Errorf("%w: %d rows changed by %s", errNotAsLeft, tag.RowsAffected(), query))
	}
	return err
}

// work keeps the transaction open for so long: whoever is killed then leaves work undone.
func work(ctx context.Context, tx pgx.Tx, long time.Duration) error {
	if long == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `SELECT pg_sleep($1)`, long.Seconds())
	return err
}

// step is a handler made of functions. A step whose undo is nil has no compensation.
type step[In, Out any] struct {
	books
	do   func(ctx context.Context, tx pgx.Tx, call *participant.Call[In]) (Out, error)
	undo func(ctx context.Context, tx pgx.Tx, call *participant.Call[In], out Out) error
}

// Execute notes the deed and does it. A step that is pending is done, too: it has asked.
func (s *step[In, Out]) Execute(ctx context.Context, tx pgx.Tx, call *participant.Call[In]) (Out, error) {
	var none Out
	if err := s.deed(ctx, tx, call.Saga, call.SagaID, call.Step, "execute", call.Attempt); err != nil {
		return none, err
	}
	return s.do(ctx, tx, call)
}

// Compensate notes the deed and does it.
func (s *step[In, Out]) Compensate(ctx context.Context, tx pgx.Tx, call *participant.Call[In], out Out) error {
	if err := s.deed(ctx, tx, call.Saga, call.SagaID, call.Step, "compensate", call.Attempt); err != nil {
		return err
	}
	return s.undo(ctx, tx, call, out)
}

var errFlaps = errors.New("out of order for a while")

// register registers the handlers of a service.
func (b books) register(p *participant.Participant[pgx.Tx], service string) {
	switch service {
	case orders:
		participant.Handle(p, placeOrder, &step[purchase, placed]{b, doPlace, undoPlace})
		participant.HandleForward(p, confirm, &step[parcel, confirmed]{b, doConfirm, nil})
	case stock:
		participant.Handle(p, reserveStock, &step[placed, reserved]{b, doReserve, undoReserve})
	case payments:
		participant.Handle(p, authorise, &step[placed, authorised]{b, askBank, undoAuthorise})
		participant.HandleForward(p, charge, &step[choreo.Join, charged]{b, doCharge, nil})
	case shipping:
		participant.HandleForward(p, ship, &step[charged, parcel]{b, askCarrier, nil})
		participant.Handle(p, handOut, &step[choreo.Join, parcel]{b, doHandOut, undoHandOut})
	}
}

func doPlace(ctx context.Context, tx pgx.Tx, call *participant.Call[purchase]) (placed, error) {
	if err := work(ctx, tx, call.Input.Slow); err != nil {
		return placed{}, err
	}
	_, err := tx.Exec(ctx, `INSERT INTO purchase VALUES ($1, $2, $3, $4, 'placed')`,
		call.Saga, call.SagaID, call.Input.Customer, call.Input.Cents)
	return placed{call.Input}, err
}

func undoPlace(ctx context.Context, tx pgx.Tx, call *participant.Call[purchase], _ placed) error {
	return one(ctx, tx, `UPDATE purchase SET status = 'cancelled' WHERE (saga, order_id, status) = ($1, $2, 'placed')`,
		call.Saga, call.SagaID)
}

func doConfirm(ctx context.Context, tx pgx.Tx, call *participant.Call[parcel]) (confirmed, error) {
	return confirmed{}, one(ctx, tx, `UPDATE purchase SET status = 'confirmed' WHERE (saga, order_id, status) = ($1, $2, 'placed')`,
		call.Saga, call.SagaID)
}

func doReserve(ctx context.Context, tx pgx.Tx, call *participant.Call[placed]) (reserved, error) {
	o := call.Input.Purchase
	if call.Attempt <= o.ReserveFails {
		return reserved{}, errFlaps
	}
	if err := work(ctx, tx, o.Slow); err != nil {
		return reserved{}, err
	}
	tag, err := tx.Exec(ctx, `UPDATE stock SET on_hand = on_hand - $2, reserved = reserved + $2 WHERE sku = $1 AND on_hand >= $2`,
		o.SKU, o.Quantity)
	if err != nil {
		return reserved{}, err
	}
	if tag.RowsAffected() == 0 {
		return reserved{}, choreo.Refusef(outOfStock, "fewer than %d of %s are left", o.Quantity, o.SKU)
	}
	_, err = tx.Exec(ctx, `INSERT INTO reservation VALUES ($1, $2, $3, $4, 'reserved')`, call.Saga, call.SagaID, o.SKU, o.Quantity)
	return reserved{o.SKU}, err
}

func undoReserve(ctx context.Context, tx pgx.Tx, call *participant.Call[placed], out reserved) error {
	o := call.Input.Purchase
	if call.Attempt <= o.ReleaseFails {
		return errFlaps
	}
	if err := work(ctx, tx, o.Slow); err != nil {
		return err
	}
	if err := one(ctx, tx, `UPDATE reservation SET status = 'released' WHERE (saga, order_id, sku, status) = ($1, $2, $3, 'reserved')`,
		call.Saga, call.SagaID, out.SKU); err != nil {
		return err
	}
	return one(ctx, tx, `UPDATE stock SET on_hand = on_hand + $2, reserved = reserved - $2 WHERE sku = $1`, out.SKU, o.Quantity)
}

// ask adds a request for a desk, which answers after a while, or never where that is
// negative.
func ask(ctx context.Context, tx pgx.Tx, saga, orderID string, details purchase, after time.Duration) error {
	_, err := tx.Exec(ctx, `INSERT INTO request (saga, order_id, answer_at, details)
		VALUES ($1, $2, CASE WHEN $3::bigint >= 0 THEN now() + $3 * interval '1 microsecond' END, $4)`,
		saga, orderID, after.Microseconds(), details)
	return err
}

func askBank(ctx context.Context, tx pgx.Tx, call *participant.Call[placed]) (authorised, error) {
	o := call.Input.Purchase
	if err := work(ctx, tx, o.Slow); err != nil {
		return authorised{}, err
	}
	after := o.AnswerAfter
	if o.Answer == silent {
		after = -time.Second
	}
	if err := ask(ctx, tx, call.Saga, call.SagaID, o, after); err != nil {
		return authorised{}, err
	}
	return authorised{}, participant.Pending(o.Patience)
}

func undoAuthorise(ctx context.Context, tx pgx.Tx, call *participant.Call[placed], out authorised) error {
	if err := one(ctx, tx, `UPDATE hold SET status = 'released' WHERE (saga, order_id, cents, status) = ($1, $2, $3, 'held')`,
		call.Saga, call.SagaID, out.Cents); err != nil {
		return err
	}
	return one(ctx, tx, `UPDATE account SET balance = balance + $2 WHERE customer = $1`, call.Input.Purchase.Customer, out.Cents)
}

func doCharge(ctx context.Context, tx pgx.Tx, call *participant.Call[choreo.Join]) (charged, error) {
	held, _, err := choreo.OutputOf(call.Outputs, authorise)
	if err != nil {
		return charged{}, err
	}
	return charged(held), one(ctx, tx, `UPDATE hold SET status = 'charged' WHERE (saga, order_id, cents, status) = ($1, $2, $3, 'held')`,
		call.Saga, call.SagaID, held.Cents)
}

func askCarrier(ctx context.Context, tx pgx.Tx, call *participant.Call[charged]) (parcel, error) {
	order, _, err := choreo.OutputOf(call.Outputs, placeOrder)
	if err != nil {
		return parcel{}, err
	}
	o := order.Purchase
	if call.Attempt <= o.ShipFails {
		return parcel{}, errFlaps
	}
	if err := work(ctx, tx, o.Slow); err != nil {
		return parcel{}, err
	}
	if err := ask(ctx, tx, call.Saga, call.SagaID, o, o.ShipAfter); err != nil {
		return parcel{}, err
	}
	return parcel{}, participant.Pending(o.ShipPatience)
}

func doHandOut(ctx context.Context, tx pgx.Tx, call *participant.Call[choreo.Join]) (parcel, error) {
	order, _, err := choreo.OutputOf(call.Outputs, placeOrder)
	if err != nil {
		return parcel{}, err
	}
	if err := work(ctx, tx, order.Purchase.Slow); err != nil {
		return parcel{}, err
	}
	got, _, err := choreo.OutputOf(call.Outputs, reserveStock)
	if err != nil {
		return parcel{}, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO shipment VALUES ($1, $2, $3, $4, 'handed-out')`,
		call.Saga, call.SagaID, got.SKU, order.Purchase.Quantity)
	return parcel(got), err
}

func undoHandOut(ctx context.Context, tx pgx.Tx, call *participant.Call[choreo.Join], out parcel) error {
	return one(ctx, tx, `UPDATE shipment SET status = 'taken-back' WHERE (saga, order_id, sku, status) = ($1, $2, $3, 'handed-out')`,
		call.Saga, call.SagaID, out.SKU)
}
