package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/servicetest"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/internal/audit"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
	"github.com/choreo-go/choreo/examples/travel/internal/documents"
	"github.com/choreo-go/choreo/examples/travel/internal/hotels"
	"github.com/choreo-go/choreo/examples/travel/internal/payments"
	"github.com/choreo-go/choreo/examples/travel/internal/trips"
)

// apply folds an event of a step in.
func apply(in *choreo.Instance, t choreo.EventType, step choreo.StepRef, attempt int, bypassed bool) {
	ev := &choreo.Event{Type: t, Time: time.Unix(1, 0), Attempt: attempt, Bypassed: bypassed}
	if step != nil {
		ev.Step = step.Name()
	}
	in.Apply(ev)
}

// begun is a saga that has booked all; the car only where one is wanted.
func begun(wantsCar bool) *choreo.Instance {
	in := choreo.NewInstance(contract.Trip.Definition)
	apply(in, choreo.Started, nil, 0, false)
	for _, step := range []choreo.StepRef{contract.OpenTrip, contract.CheckPapers, contract.BookFlight, contract.BookHotel} {
		apply(in, choreo.StepCompleted, step, 1, false)
	}
	apply(in, choreo.StepCompleted, contract.BookCar, 1, !wantsCar)
	return in
}

func completed(wantsCar bool) *choreo.Instance {
	in := begun(wantsCar)
	for _, step := range []choreo.StepRef{contract.PayTrip, contract.ConfirmTrip, contract.IssueDocuments} {
		apply(in, choreo.StepCompleted, step, 1, false)
	}
	return in
}

func turnedBack(wantsCar bool) *choreo.Instance {
	in := begun(wantsCar)
	apply(in, choreo.StepFailed, contract.PayTrip, 1, false)
	apply(in, choreo.StepCompensated, contract.CheckPapers, 0, false)
	for _, step := range []choreo.StepRef{contract.OpenTrip, contract.BookFlight, contract.BookHotel} {
		apply(in, choreo.StepCompensated, step, 1, false)
	}
	called := 0
	if wantsCar {
		called = 1
	}
	apply(in, choreo.StepCompensated, contract.BookCar, called, false)
	return in
}

// books holds four trips: two that were made, with a car and without, and two that were
// turned back for want of money.
func books(t *testing.T) (audit.Books, map[string]*choreo.Instance) {
	t.Helper()
	b := audit.Books{
		contract.Trips: servicetest.Open(t, trips.Schema), contract.Documents: servicetest.Open(t, documents.Schema),
		contract.Flights: servicetest.Open(t, capacity.Schema), contract.Hotels: servicetest.Open(t, hotels.Schema),
		contract.Cars: servicetest.Open(t, capacity.Schema), contract.Payments: servicetest.Open(t, payments.Schema),
	}
	for service, statements := range map[string]string{
		contract.Trips: `INSERT INTO trips VALUES ('car', 'ann', 600, 'confirmed'), ('bus', 'ann', 300, 'confirmed'),
			('nocar', 'bob', 0, 'cancelled'), ('nobus', 'bob', 0, 'cancelled')`,
		contract.Flights: `INSERT INTO supply VALUES ('Oslo', 'CH 1', 100, 9, 6);
			INSERT INTO bookings VALUES ('car', 'Oslo', 2, 200, 'booked'), ('bus', 'Oslo', 1, 100, 'booked'),
				('nocar', 'Oslo', 1, 100, 'cancelled'), ('nobus', 'Oslo', 1, 100, 'cancelled')`,
		contract.Hotels: `INSERT INTO supply VALUES ('Oslo', 'Fjord', 200, 2, 0);
			INSERT INTO bookings VALUES ('car', 'Oslo', 1, 200, 'booked'), ('bus', 'Oslo', 1, 200, 'booked'),
				('nocar', 'Oslo', 1, 200, 'cancelled'), ('nobus', 'Oslo', 1, 200, 'cancelled');
			INSERT INTO notices VALUES ('nocar', 'bob@example.com', ''), ('nobus', 'bob@example.com', '')`,
		contract.Cars: `INSERT INTO supply VALUES ('Oslo', 'estate', 200, 1, 0);
			INSERT INTO bookings VALUES ('car', 'Oslo', 1, 200, 'booked'), ('nocar', 'Oslo', 1, 200, 'cancelled')`,
		contract.Payments: `INSERT INTO accounts VALUES ('ann', 1000, 100), ('bob', 5, 5);
			INSERT INTO payments VALUES ('car', 'ann', 600), ('bus', 'ann', 300)`,
		contract.Documents: `INSERT INTO documents VALUES ('car', 'ticket', ''), ('car', 'voucher', ''), ('car', 'rental', ''),
			('bus', 'ticket', ''), ('bus', 'voucher', '')`,
	} {
		_, err := b[service].ExecContext(t.Context(), statements)
		require.NoError(t, err)
	}
	return b, map[string]*choreo.Instance{
		"car": completed(true), "bus": completed(false), "nocar": turnedBack(true), "nobus": turnedBack(false),
	}
}

func TestBooksBalance(t *testing.T) {
	b, sagas := books(t)
	require.Equal(t, choreo.StatusCompleted, sagas["bus"].Status)
	require.Equal(t, choreo.StatusCompensated, sagas["nobus"].Status)
	findings, err := b.Check(t.Context(), sagas)
	require.NoError(t, err)
	require.Empty(t, findings)
}

func TestEveryTamperedRecordIsFound(t *testing.T) {
	for _, test := range []struct{ service, statement, want string }{
		{contract.Flights, `UPDATE supply SET free = 7`, "flights, Oslo: there were 9, now 7 are left and 3 are used"},
		{contract.Flights, `UPDATE bookings SET units = 3 WHERE trip_id = 'car'`, "flights, Oslo: there were 9, now 6 are left and 4 are used"},
		{contract.Flights, `UPDATE bookings SET status = 'cancelled' WHERE trip_id = 'bus'`, "trip bus: its saga is completed, so that its flight should be booked, but it is cancelled"},
		{contract.Flights, `UPDATE bookings SET price_cents = 1 WHERE trip_id = 'car'`, "trip car: what was booked costs 401 cents, 600 were paid and 600 confirmed"},
		{contract.Hotels, `UPDATE supply SET free = 1`, "hotels, Oslo: there were 2, now 1 are left and 2 are used"},
		{contract.Hotels, `UPDATE bookings SET status = 'booked' WHERE trip_id = 'nobus'`, "its hotel should be cancelled, but it is booked"},
		{contract.Hotels, `DELETE FROM notices WHERE trip_id = 'nobus'`, "trip nobus: its saga is compensated, so that its notice should be sent, but it is missing"},
		{contract.Hotels, `INSERT INTO notices VALUES ('bus', '', '')`, "its notice should be missing, but it is sent"},
		{contract.Cars, `UPDATE supply SET free = 1`, "cars, Oslo: there were 1, now 1 are left and 1 are used"},
		{contract.Cars, `INSERT INTO bookings VALUES ('bus', 'Oslo', 1, 0, 'cancelled')`, "trip bus: its saga is completed, so that its car should be missing, but it is cancelled"},
		{contract.Cars, `DELETE FROM bookings WHERE trip_id = 'nocar'`, "its car should be cancelled, but it is missing"},
		{contract.Payments, `UPDATE accounts SET balance_cents = 1000 WHERE customer = 'ann'`, "payments, ann: there were 1000, now 1000 are left and 900 are used"},
		{contract.Payments, `INSERT INTO payments VALUES ('nobus', 'bob', 0)`, "its payment should be missing, but it is paid"},
		{contract.Documents, `DELETE FROM documents WHERE kind = 'rental'`, "trip car: its saga is completed, so that its rental should be issued, but it is missing"},
		{contract.Documents, `INSERT INTO documents VALUES ('ghost', 'ticket', '')`, "trip ghost: there are records of it, but no saga"},
		{contract.Documents, `DELETE FROM documents WHERE trip_id = 'bus'`, "its voucher should be issued"},
		{contract.Trips, `UPDATE trips SET status = 'open' WHERE trip_id = 'car'`, "its trip should be confirmed, but it is open"},
		{contract.Trips, `UPDATE trips SET paid_cents = 5 WHERE trip_id = 'car'`, "600 were paid and 5 confirmed"},
		{contract.Trips, `DELETE FROM trips WHERE trip_id = 'nocar'`, "its trip should be cancelled, but it is missing"},
	} {
		t.Run(test.statement, func(t *testing.T) {
			b, sagas := books(t)
			_, err := b[test.service].ExecContext(t.Context(), test.statement)
			require.NoError(t, err)
			findings, err := b.Check(t.Context(), sagas)
			require.NoError(t, err)
			require.Contains(t, strings.Join(findings, "\n"), test.want)
		})
	}
}

func TestSagasThatHaveNotEndedAreFound(t *testing.T) {
	b, sagas := books(t)
	sagas["open"], sagas["new"] = begun(true), choreo.NewInstance(contract.Trip.Definition)
	findings, err := b.Check(t.Context(), sagas)
	require.NoError(t, err)
	require.Equal(t, []string{
		"trip new: its saga has not ended, it is not in the log",
		"trip open: its saga has not ended, it is running",
	}, findings)
}

func TestABrokenDatabaseIsAnError(t *testing.T) {
	for _, table := range []struct{ service, name string }{{contract.Cars, "supply"}, {contract.Trips, "trips"}} {
		b, sagas := books(t)
		_, err := b[table.service].ExecContext(t.Context(), `DROP TABLE `+table.name)
		require.NoError(t, err)
		_, err = b.Check(t.Context(), sagas)
		require.ErrorContains(t, err, "audit of "+table.service)
	}
}
