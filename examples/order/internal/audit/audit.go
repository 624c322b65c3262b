// Package audit checks that the books of the four services balance. It reads the
// tables alone, by SQL that anybody can run, and knows nothing of how they came about
// but what the sagas' logs say of their outcomes.
package audit

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/order/contract"
)

// Books are the databases of the four services.
type Books struct{ Orders, Inventory, Payments, Shipping *sql.DB }

// Check returns everything that does not add up, a sentence each: nothing lost or
// made in the stock and in the accounts, and the records of every order as the
// outcome of its saga says. sagas holds the fold of each saga by its order's id.
func (b *Books) Check(ctx context.Context, sagas map[string]*choreo.Instance) ([]string, error) {
	var findings []string
	for _, part := range []struct {
		name string
		run  func(context.Context) ([]string, error)
	}{
		{contract.Inventory, b.checkStock},
		{contract.Payments, b.checkAccounts},
		{"orders", func(ctx context.Context) ([]string, error) { return b.checkOrders(ctx, sagas) }},
	} {
		found, err := part.run(ctx)
		if err != nil {
			return nil, fmt.Errorf("audit of %s: %w", part.name, err)
		}
		findings = append(findings, found...)
	}
	return findings, nil
}

// stockQuery returns the skus that do not add up: on_hand + reserved must be what
// there was at first, and reserved what the reservations say.
const stockQuery = `
SELECT i.sku, i.on_hand, COALESCE(s.on_hand, 0), COALESCE(s.reserved, 0), COALESCE(r.quantity, 0)
FROM initial_stock i
LEFT JOIN stock s ON s.sku = i.sku
LEFT JOIN (SELECT sku, CAST(SUM(quantity) AS BIGINT) AS quantity
           FROM reservations WHERE status = 'reserved' GROUP BY sku) r ON r.sku = i.sku
WHERE COALESCE(s.on_hand, 0) + COALESCE(s.reserved, 0) <> i.on_hand
   OR COALESCE(s.reserved, 0) <> COALESCE(r.quantity, 0)
ORDER BY i.sku`

func (b *Books) checkStock(ctx context.Context) ([]string, error) {
	return query(ctx, b.Inventory, stockQuery, func(rows *sql.Rows) (string, error) {
		var sku string
		var initial, onHand, reserved, reservations int64
		err := rows.Scan(&sku, &initial, &onHand, &reserved, &reservations)
		return fmt.Sprintf("sku %s: there were %d, now %d are on hand and %d reserved; the reservations add up to %d",
			sku, initial, onHand, reserved, reservations), err
	})
}

// accountsQuery returns the customers whose balance and charges are not what they
// had at first.
const accountsQuery = `
SELECT i.customer, i.balance_cents, COALESCE(a.balance_cents, 0), COALESCE(p.charged, 0)
FROM initial_accounts i
LEFT JOIN accounts a ON a.customer = i.customer
LEFT JOIN (SELECT customer, CAST(SUM(amount_cents) AS BIGINT) AS charged
           FROM payments WHERE status = 'charged' GROUP BY customer) p ON p.customer = i.customer
WHERE COALESCE(a.balance_cents, 0) + COALESCE(p.charged, 0) <> i.balance_cents
ORDER BY i.customer`

func (b *Books) checkAccounts(ctx context.Context) ([]string, error) {
	return query(ctx, b.Payments, accountsQuery, func(rows *sql.Rows) (string, error) {
		var customer string
		var initial, balance, charged int64
		err := rows.Scan(&customer, &initial, &balance, &charged)
		return fmt.Sprintf("customer %s: there were %d cents, now %d are left and %d charged",
			customer, initial, balance, charged), err
	})
}

// records are what the four services wrote down about one order.
type records struct {
	order, reservation, payment, shipment string // statuses; empty where there is none
	customer, payer                       string
	total, amount                         int64
}

// mixed is the status of reservations that do not all have the same.
const mixed = "partly reserved, partly released"

func (b *Books) records(ctx context.Context) (map[string]*records, error) {
	all := make(map[string]*records)
	of := func(id string) *records {
		r := all[id]
		if r == nil {
			r = &records{}
			all[id] = r
		}
		return r
	}
	for _, table := range []struct {
		db    *sql.DB
		query string
		scan  func(*sql.Rows) error
	}{
		{b.Orders, `SELECT order_id, status, customer, total_cents FROM orders`, func(rows *sql.Rows) error {
			var id string
			var r records
			err := rows.Scan(&id, &r.order, &r.customer, &r.total)
			*of(id) = r
			return err
		}},
		{b.Inventory, `SELECT order_id, MIN(status), MAX(status) FROM reservations GROUP BY order_id`, func(rows *sql.Rows) error {
			var id, least, most string
			err := rows.Scan(&id, &least, &most)
			if least != most {
				least = mixed
			}
			of(id).reservation = least
			return err
		}},
		{b.Payments, `SELECT order_id, status, customer, amount_cents FROM payments`, func(rows *sql.Rows) error {
			var id, status, payer string
			var amount int64
			err := rows.Scan(&id, &status, &payer, &amount)
			r := of(id)
			r.payment, r.payer, r.amount = status, payer, amount
			return err
		}},
		{b.Shipping, `SELECT order_id, status FROM shipments`, func(rows *sql.Rows) error {
			var id, status string
			err := rows.Scan(&id, &status)
			of(id).shipment = status
			return err
		}},
	} {
		_, err := query(ctx, table.db, table.query, func(rows *sql.Rows) (string, error) { return "", table.scan(rows) })
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// checkOrders compares each order's four records with its saga, both ways.
func (b *Books) checkOrders(ctx context.Context, sagas map[string]*choreo.Instance) ([]string, error) {
	all, err := b.records(ctx)
	if err != nil {
		return nil, err
	}
	var findings []string
	for id, saga := range sagas {
		r := all[id]
		if r == nil {
			r = &records{}
		}
		findings = append(findings, r.compare(id, saga)...)
		delete(all, id)
	}
	for id := range all {
		findings = append(findings, fmt.Sprintf("order %s: there are records of it, but no saga", id))
	}
	slices.Sort(findings)
	return findings, nil
}

func (r *records) compare(id string, saga *choreo.Instance) []string {
	if !saga.Status.Ended() {
		stands := string(saga.Status)
		if stands == "" {
			stands = "not in the log"
		}
		return []string{fmt.Sprintf("order %s: its saga has not ended, it is %s", id, stands)}
	}
	var findings []string
	expect := func(table, have, want string) {
		if have != want {
			findings = append(findings, fmt.Sprintf("order %s: its saga is %s, so that %s should say %s, but it says %s",
				id, saga.Status, table, status(want), status(have)))
		}
	}
	order := left(saga, contract.CreateOrder, "pending", "cancelled")
	if left(saga, contract.ConfirmOrder, "yes", "no") == "yes" {
		order = "confirmed"
	}
	expect("orders", r.order, order)
	expect("reservations", r.reservation, left(saga, contract.ReserveStock, "reserved", "released"))
	expect("payments", r.payment, left(saga, contract.ChargePayment, "charged", "refunded"))
	expect("shipments", r.shipment, left(saga, contract.BookShipment, "booked", "cancelled"))
	if r.payment != "" && (r.payer != r.customer || r.amount != r.total) {
		findings = append(findings, fmt.Sprintf("order %s: %s ordered for %d cents, %s was charged %d",
			id, r.customer, r.total, r.payer, r.amount))
	}
	return findings
}

// left returns the status that a step of an ended saga must have left behind.
func left(saga *choreo.Instance, step choreo.StepRef, done, undone string) string {
	i := slices.IndexFunc(saga.Steps, func(s choreo.StepInstance) bool { return s.Name == step.Name() })
	switch saga.Steps[i].Status {
	case choreo.StepDone:
		return done
	case choreo.StepUndone:
		return undone
	default: // failed, skipped, or never begun
		return ""
	}
}

func status(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// query returns what text makes of each row.
func query(ctx context.Context, db *sql.DB, statement string, text func(*sql.Rows) (string, error)) ([]string, error) {
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		line, err := text(rows)
		if err != nil {
			return nil, err
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines, rows.Err()
}
