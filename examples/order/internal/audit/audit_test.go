package audit_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/examples/order/internal/audit"
	"github.com/choreo-go/choreo/examples/order/internal/inventory"
	"github.com/choreo-go/choreo/examples/order/internal/orders"
	"github.com/choreo-go/choreo/examples/order/internal/payments"
	"github.com/choreo-go/choreo/examples/order/internal/shipping"
)

// books holds four orders: one confirmed, and one refused by each service.
func books(t *testing.T) (*audit.Books, map[string]*choreo.Instance) {
	t.Helper()
	b := &audit.Books{
		Orders: servicetest.Open(t, orders.Schema), Inventory: servicetest.Open(t, inventory.Schema),
		Payments: servicetest.Open(t, payments.Schema), Shipping: servicetest.Open(t, shipping.Schema),
	}
	run := func(db *sql.DB, statements string) {
		_, err := db.ExecContext(t.Context(), statements)
		require.NoError(t, err)
	}
	run(b.Orders, `INSERT INTO orders VALUES ('done', 'ann', 500, 'confirmed'), ('stock', 'ann', 900, 'cancelled'),
		('money', 'bob', 800, 'cancelled'), ('country', 'ann', 100, 'cancelled')`)
	run(b.Inventory, `INSERT INTO initial_stock VALUES ('pen', 10), ('ink', 3);
		INSERT INTO stock VALUES ('pen', 8, 2), ('ink', 2, 1);
		INSERT INTO reservations VALUES ('done', 'pen', 2, 'reserved'), ('done', 'ink', 1, 'reserved'),
			('money', 'pen', 4, 'released'), ('country', 'ink', 1, 'released')`)
	run(b.Payments, `INSERT INTO initial_accounts VALUES ('ann', 1000), ('bob', 0);
		INSERT INTO accounts VALUES ('ann', 500), ('bob', 0);
		INSERT INTO payments VALUES ('done', 'ann', 500, 'charged'), ('country', 'ann', 100, 'refunded')`)
	run(b.Shipping, `INSERT INTO shipments VALUES ('done', 'DE', 'booked')`)
	return b, map[string]*choreo.Instance{
		"done": saga(5), "stock": saga(1), "money": saga(2), "country": saga(3),
	}
}

// saga returns the fold of a saga whose first steps completed and whose next, if
// there is one, failed, so that the others were undone.
func saga(completed int) *choreo.Instance {
	in := choreo.NewInstance(contract.Order.Definition)
	apply := func(t choreo.EventType, step int) {
		ev := &choreo.Event{Type: t, Time: time.Unix(1, 0)}
		if step >= 0 {
			ev.Step = contract.Order.Steps()[step].Name
		}
		in.Apply(ev)
	}
	apply(choreo.Started, -1)
	for i := range completed {
		apply(choreo.StepCompleted, i)
	}
	if completed < len(contract.Order.Steps()) {
		apply(choreo.StepFailed, completed)
		for i := completed - 1; i >= 0; i-- {
			apply(choreo.StepCompensated, i)
		}
	}
	return in
}

func TestBooksBalance(t *testing.T) {
	b, sagas := books(t)
	require.Equal(t, choreo.StatusCompleted, sagas["done"].Status)
	require.Equal(t, choreo.StatusCompensated, sagas["money"].Status)
	findings, err := b.Check(t.Context(), sagas)
	require.NoError(t, err)
	require.Empty(t, findings)
}

func TestEveryTamperedRecordIsFound(t *testing.T) {
	const (
		ord, inv, pay, ship = contract.Orders, contract.Inventory, contract.Payments, contract.Shipping
	)
	for _, test := range []struct{ db, statement, want string }{
		{inv, `UPDATE stock SET on_hand = 9 WHERE sku = 'pen'`, "sku pen: there were 10, now 9 are on hand and 2 reserved"},
		{inv, `UPDATE stock SET on_hand = 7, reserved = 3 WHERE sku = 'pen'`, "the reservations add up to 2"},
		{inv, `DELETE FROM stock WHERE sku = 'ink'`, "sku ink: there were 3, now 0 are on hand"},
		{inv, `UPDATE reservations SET quantity = 5 WHERE order_id = 'done' AND sku = 'pen'`, "the reservations add up to 5"},
		{inv, `UPDATE reservations SET status = 'released' WHERE order_id = 'done' AND sku = 'ink'`, "it says partly reserved, partly released"},
		{inv, `UPDATE reservations SET status = 'reserved' WHERE order_id = 'country'`, "order country: its saga is compensated, so that reservations should say released, but it says reserved"},
		{inv, `DELETE FROM reservations WHERE order_id = 'money'`, "order money: its saga is compensated, so that reservations should say released, but it says nothing"},
		{inv, `INSERT INTO reservations VALUES ('stock', 'pen', 1, 'released')`, "order stock: its saga is compensated, so that reservations should say nothing, but it says released"},
		{pay, `UPDATE accounts SET balance_cents = 600 WHERE customer = 'ann'`, "customer ann: there were 1000 cents, now 600 are left and 500 charged"},
		{pay, `UPDATE payments SET status = 'charged' WHERE order_id = 'country'`, "customer ann: there were 1000 cents, now 500 are left and 600 charged"},
		{pay, `UPDATE payments SET customer = 'bob' WHERE order_id = 'country'`, "order country: ann ordered for 100 cents, bob was charged 100"},
		{pay, `UPDATE payments SET amount_cents = 99 WHERE order_id = 'country'`, "order country: ann ordered for 100 cents, ann was charged 99"},
		{ship, `UPDATE shipments SET status = 'cancelled'`, "order done: its saga is completed, so that shipments should say booked, but it says cancelled"},
		{ship, `INSERT INTO shipments VALUES ('country', 'AQ', 'cancelled')`, "order country: its saga is compensated, so that shipments should say nothing"},
		{ship, `INSERT INTO shipments VALUES ('ghost', 'DE', 'booked')`, "order ghost: there are records of it, but no saga"},
		{ord, `UPDATE orders SET status = 'pending' WHERE order_id = 'done'`, "order done: its saga is completed, so that orders should say confirmed, but it says pending"},
		{ord, `UPDATE orders SET status = 'confirmed' WHERE order_id = 'stock'`, "order stock: its saga is compensated, so that orders should say cancelled"},
		{ord, `DELETE FROM orders WHERE order_id = 'stock'`, "order stock: its saga is compensated, so that orders should say cancelled, but it says nothing"},
	} {
		t.Run(test.statement, func(t *testing.T) {
			b, sagas := books(t)
			db := map[string]*sql.DB{ord: b.Orders, inv: b.Inventory, pay: b.Payments, ship: b.Shipping}[test.db]
			_, err := db.ExecContext(t.Context(), test.statement)
			require.NoError(t, err)
			findings, err := b.Check(t.Context(), sagas)
			require.NoError(t, err)
			require.NotEmpty(t, findings)
			joined := ""
			for _, f := range findings {
				joined += f + "\n"
			}
			require.Contains(t, joined, test.want)
		})
	}
}

func TestSagasThatHaveNotEndedAreFound(t *testing.T) {
	b, sagas := books(t)
	sagas["new"] = choreo.NewInstance(contract.Order.Definition)
	open := choreo.NewInstance(contract.Order.Definition)
	open.Apply(&choreo.Event{Type: choreo.Started, Time: time.Unix(1, 0)})
	sagas["open"] = open
	findings, err := b.Check(t.Context(), sagas)
	require.NoError(t, err)
	require.Equal(t, []string{
		"order new: its saga has not ended, it is not in the log",
		"order open: its saga has not ended, it is running",
	}, findings)
}

func TestABrokenDatabaseIsAnError(t *testing.T) {
	b, sagas := books(t)
	_, err := b.Payments.ExecContext(t.Context(), `DROP TABLE payments`)
	require.NoError(t, err)
	_, err = b.Check(t.Context(), sagas)
	require.ErrorContains(t, err, "audit of payments")
}
