// Package audit checks that the books of the six services balance. It reads the tables
// alone, by SQL that anybody can run, and knows nothing of how they came about but what the
// sagas' logs say of their outcomes.
package audit

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/travel/contract"
)

// Books are the databases, by service.
type Books map[string]*sql.DB

// Check returns everything that does not add up, a sentence each: seats, rooms, cars and
// money neither lost nor made, and the records of every trip as the outcome of its
// saga says. sagas holds the fold of each saga by its trip's id.
func (b Books) Check(ctx context.Context, sagas map[string]*choreo.Instance) ([]string, error) {
	var findings []string
	for _, t := range totals() {
		found, err := t.check(ctx, b[t.service])
		if err != nil {
			return nil, fmt.Errorf("audit of %s: %w", t.service, err)
		}
		findings = append(findings, found...)
	}
	trips := make(map[string]*trip)
	for _, r := range records() {
		if err := r.read(ctx, b[r.service], trips); err != nil {
			return nil, fmt.Errorf("audit of %s: %w", r.service, err)
		}
	}
	var ofTrips []string
	for id, saga := range sagas {
		t := trips[id]
		if t == nil {
			t = newTrip()
		}
		ofTrips = append(ofTrips, t.compare(id, saga)...)
		delete(trips, id)
	}
	for id := range trips {
		ofTrips = append(ofTrips, fmt.Sprintf("trip %s: there are records of it, but no saga", id))
	}
	slices.Sort(ofTrips)
	return append(findings, ofTrips...), nil
}

// total is something of which there is as much as at first: what is left and what is used.
type total struct{ service, query string }

// totals lists what must balance. Each query returns what does not: its name, how much there
// was, how much is left and how much is used.
func totals() []total {
	const supply = `
		SELECT s.destination, s.units, s.free, COALESCE(SUM(b.units), 0)
		FROM supply s LEFT JOIN bookings b ON b.destination = s.destination AND b.status = 'booked'
		GROUP BY s.destination, s.units, s.free
		HAVING s.free + COALESCE(SUM(b.units), 0) <> s.units`
	return []total{
		{contract.Flights, supply},
		{contract.Hotels, supply},
		{contract.Cars, supply},
		{contract.Payments, `
			SELECT a.customer, a.initial_cents, a.balance_cents, COALESCE(SUM(p.amount_cents), 0)
			FROM accounts a LEFT JOIN payments p ON p.customer = a.customer
			GROUP BY a.customer, a.initial_cents, a.balance_cents
			HAVING a.balance_cents + COALESCE(SUM(p.amount_cents), 0) <> a.initial_cents`},
	}
}

func (t *total) check(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, t.query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var findings []string
	for rows.Next() {
		var name string
		var initial, left, used int64
		if err := rows.Scan(&name, &initial, &left, &used); err != nil {
			return nil, err
		}
		findings = append(findings, fmt.Sprintf("%s, %s: there were %d, now %d are left and %d are used", t.service, name, initial, left, used))
	}
	slices.Sort(findings)
	return findings, rows.Err()
}

// record is what a step leaves behind of a trip.
type record struct {
	service, what string
	query         string // trip, status, cents
}

func records() []record {
	const bookings = `SELECT trip_id, status, price_cents FROM bookings`
	return []record{
		{contract.Trips, "trip", `SELECT trip_id, status, paid_cents FROM trips`},
		{contract.Flights, "flight", bookings},
		{contract.Hotels, "hotel", bookings},
		{contract.Hotels, "notice", `SELECT trip_id, 'sent', 0 FROM notices`},
		{contract.Cars, "car", bookings},
		{contract.Payments, "payment", `SELECT trip_id, 'paid', amount_cents FROM payments`},
		{contract.Documents, "ticket", `SELECT trip_id, 'issued', 0 FROM documents WHERE kind = 'ticket'`},
		{contract.Documents, "voucher", `SELECT trip_id, 'issued', 0 FROM documents WHERE kind = 'voucher'`},
		{contract.Documents, "rental", `SELECT trip_id, 'issued', 0 FROM documents WHERE kind = 'rental'`},
	}
}

// trip is what the services wrote down about one trip, by what it is.
type trip struct {
	status map[string]string
	cents  map[string]int64
}

func newTrip() *trip { return &trip{status: make(map[string]string), cents: make(map[string]int64)} }

func (r *record) read(ctx context.Context, db *sql.DB, trips map[string]*trip) error {
	rows, err := db.QueryContext(ctx, r.query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, status string
		var cents int64
		if err := rows.Scan(&id, &status, &cents); err != nil {
			return err
		}
		if trips[id] == nil {
			trips[id] = newTrip()
		}
		trips[id].status[r.what], trips[id].cents[r.what] = status, cents
	}
	return rows.Err()
}

// compare compares a trip's records with the outcome of its saga.
func (t *trip) compare(id string, saga *choreo.Instance) []string {
	if saga == nil || !saga.Status.Ended() {
		stands := "not in the log"
		if saga != nil && saga.Status != "" {
			stands = string(saga.Status)
		}
		return []string{fmt.Sprintf("trip %s: its saga has not ended, it is %s", id, stands)}
	}
	var findings []string
	for _, r := range records() {
		if have, want := t.status[r.what], expected(saga, r.what); have != want {
			findings = append(findings, fmt.Sprintf("trip %s: its saga is %s, so that its %s should be %s, but it is %s",
				id, saga.Status, r.what, text(want), text(have)))
		}
	}
	if t.status["payment"] != "" {
		price := t.cents["flight"] + t.cents["hotel"] + t.cents["car"]
		if paid := t.cents["payment"]; paid != price || t.cents["trip"] != paid {
			findings = append(findings, fmt.Sprintf("trip %s: what was booked costs %d cents, %d were paid and %d confirmed",
				id, price, paid, t.cents["trip"]))
		}
	}
	return findings
}

// expected returns what a saga that has ended must have left behind.
func expected(saga *choreo.Instance, what string) string {
	switch what {
	case "trip":
		if left(saga, contract.ConfirmTrip, "confirmed", "") != "" {
			return "confirmed"
		}
		return left(saga, contract.OpenTrip, "open", "cancelled")
	case "flight":
		return left(saga, contract.BookFlight, "booked", "cancelled")
	case "hotel":
		return left(saga, contract.BookHotel, "booked", "cancelled")
	case "notice":
		return left(saga, contract.BookHotel, "", "sent")
	case "car":
		return left(saga, contract.BookCar, "booked", "cancelled")
	case "payment":
		return left(saga, contract.PayTrip, "paid", "")
	case "rental":
		if left(saga, contract.BookCar, "booked", "") == "" {
			return ""
		}
	}
	return left(saga, contract.IssueDocuments, "issued", "")
}

// left returns what a step of an ended saga left behind.
func left(saga *choreo.Instance, step choreo.StepRef, done, undone string) string {
	i := slices.IndexFunc(saga.Steps, func(s choreo.StepInstance) bool { return s.Name == step.Name() })
	switch s := &saga.Steps[i]; {
	case s.Status == choreo.StepDone:
		return done
	case s.Status == choreo.StepUndone && s.Attempts > 0:
		return undone
	default: // bypassed, failed, skipped, never begun; undone without a call, for it was bypassed
		return ""
	}
}

func text(status string) string {
	if status == "" {
		return "missing"
	}
	return status
}
