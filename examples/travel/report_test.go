package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/topics"
)

// line is an event of a trip's log.
type line struct {
	trip     string
	event    choreo.EventType
	step     choreo.StepRef
	second   int64
	attempt  int
	bypassed bool
	failure  *choreo.Failure
}

func (l *line) record() choreo.Record {
	ev := &choreo.Event{
		ID: uuid.NewString(), Type: l.event, Saga: "trip", Version: 1, SagaID: l.trip,
		Source: "test", Initiator: contract.Trips, Time: time.Unix(l.second, 0),
		Attempt: l.attempt, Bypassed: l.bypassed, Failure: l.failure,
	}
	if l.step != nil {
		ev.Step = l.step.Name()
	}
	return topics.Encode(ev, "choreo.trip.events")
}

func fold(t *testing.T, w *watcher, lines ...line) {
	t.Helper()
	for i := range lines {
		require.NoError(t, w.fold(t.Context(), []choreo.Record{lines[i].record()}))
	}
}

func isDone(w *watcher) bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// booked are the events of a trip that has booked all but a car.
func booked(trip string) []line {
	lines := []line{{trip: trip, event: choreo.Started, second: 1}}
	for _, step := range []choreo.StepRef{contract.OpenTrip, contract.CheckPapers, contract.BookFlight, contract.BookHotel} {
		lines = append(lines, line{trip: trip, event: choreo.StepCompleted, step: step, second: 2, attempt: 1})
	}
	return lines
}

func made(trip string, car line, prints int) []line {
	car.trip, car.event, car.step, car.second = trip, choreo.StepCompleted, contract.BookCar, 2
	lines := append(booked(trip), car)
	for _, step := range []choreo.StepRef{contract.PayTrip, contract.ConfirmTrip} {
		lines = append(lines, line{trip: trip, event: choreo.StepCompleted, step: step, second: 3, attempt: 1})
	}
	return append(lines, line{trip: trip, event: choreo.StepCompleted, step: contract.IssueDocuments, second: 4, attempt: prints})
}

// back are the events of a trip that was turned back for want of money, with a car where one
// was booked, and its undoing in this order.
func back(trip string, car bool, undone ...choreo.StepRef) []line {
	lines := append(booked(trip),
		line{trip: trip, event: choreo.StepCompleted, step: contract.BookCar, second: 2, attempt: 1, bypassed: !car},
		line{trip: trip, event: choreo.StepFailed, step: contract.PayTrip, second: 3, attempt: 1,
			failure: &choreo.Failure{Class: choreo.ClassRefused, Code: contract.NoMoney}},
		line{trip: trip, event: choreo.StepCompensated, step: contract.CheckPapers, second: 4})
	if !car {
		lines = append(lines, line{trip: trip, event: choreo.StepCompensated, step: contract.BookCar, second: 4})
	}
	for _, step := range undone {
		lines = append(lines, line{trip: trip, event: choreo.StepCompensated, step: step, second: 5, attempt: 1})
	}
	return lines
}

// example of a log: three trips made, two turned back.
func exampleWatcher(t *testing.T) *watcher {
	t.Helper()
	w := newWatcher()
	refused := &choreo.Failure{Class: choreo.ClassRefused, Code: contract.NoCar}
	fold(t, w, made("car", line{attempt: 1}, 1)...)
	fold(t, w, made("bus", line{bypassed: true}, 3)...)
	fold(t, w, made("none", line{bypassed: true, attempt: 1, failure: refused}, 1)...)
	fold(t, w, back("reverse", false, contract.BookFlight, contract.BookHotel, contract.OpenTrip)...)
	fold(t, w, back("parallel", true, contract.BookFlight, contract.OpenTrip, contract.BookCar, contract.BookHotel)...)
	return w
}

func TestWatcherWaitsForEveryTripItWasToldOf(t *testing.T) {
	w := newWatcher()
	w.expect("a")
	fold(t, w, made("a", line{}, 1)...)
	require.False(t, isDone(w), "not all trips are started")
	w.expect("b")
	w.allFed()
	require.False(t, isDone(w), "b is not in the log yet")
	lines := back("b", false, contract.BookFlight, contract.BookHotel, contract.OpenTrip)
	fold(t, w, lines[:len(lines)-1]...)
	require.NoError(t, w.fold(t.Context(), []choreo.Record{{Value: []byte("not an event")}}))
	require.False(t, isDone(w), "b is not undone yet")
	all, resting := w.counts()
	require.Equal(t, []int{2, 1}, []int{all, resting})
	fold(t, w, lines[len(lines)-1])
	require.True(t, isDone(w))

	empty := newWatcher()
	empty.allFed()
	require.True(t, isDone(empty))
}

func TestAStuckTripIsAtRestAndNotGood(t *testing.T) {
	w := newWatcher()
	fold(t, w, back("a", false)...)
	w.allFed()
	require.False(t, isDone(w))
	fold(t, w, line{trip: "a", event: choreo.CompensationFailed, step: contract.BookHotel, second: 5, attempt: 9})
	require.True(t, isDone(w), "it waits for an operator")
	require.Equal(t, 1, w.tally().stuck)
	require.False(t, newReport(w.tally(), 0, true).good())
}

func TestGoodNeedsRestAndBalance(t *testing.T) {
	require.True(t, newReport(exampleWatcher(t).tally(), 0, true).good())
	require.False(t, newReport(exampleWatcher(t).tally(), 0, false).good())
	w := newWatcher()
	w.expect("a")
	require.False(t, newReport(w.tally(), 0, true).good())
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, newReport(exampleWatcher(t).tally(), 2500*time.Millisecond, true).writeTable(&b))
	require.Equal(t, `Trip sagas on an embedded broker and SQLite, payloads in Protobuf

  outcome                       trips      share
  ──────────────────────────────────────────────────────────────────────
  completed                         3     60.0 %
    with a car                      1
    no car wanted                   1
    no car left                     1
  turned back                       2     40.0 %
    no-money                        2
  stuck                             0
  ──────────────────────────────────────────────────────────────────────
  trips                             5

  step             service      executed   bypassed   refused     undone
  ──────────────────────────────────────────────────────────────────────
  open-trip        trips               5          0         0          2
  check-papers     documents           5          0         0          0
  book-flight      flights             5          0         0          2
  book-hotel       hotels              5          0         0          2
  book-car         cars                2          3         0          1
  pay-trip         payments            3          0         2          0
  confirm-trip     trips               3          0         0          0
  issue-documents  documents           3          0         0          0
  ──────────────────────────────────────────────────────────────────────

  undone side by side        2 trips, of which 1 not in reverse order
  from refusal to undone     p50 2.00 s   p99 2.00 s
  documents tried again      1 trip
  at rest after              2.50 s
  one trip                   p50 3.00 s   p99 4.00 s
  books balance              yes
`, b.String())
	for line := range strings.Lines(b.String()) {
		require.LessOrEqual(t, len([]rune(line)), 80)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, newReport(exampleWatcher(t).tally(), 2500*time.Millisecond, true).writeJSON(&b))
	require.Equal(t, `{
  "trips": 5,
  "completed": 3,
  "with_car": 1,
  "no_car_wanted": 1,
  "no_car_left": 1,
  "turned_back": 2,
  "refusals": {
    "no-money": 2
  },
  "stuck": 0,
  "steps_undone": {
    "book-car": 1,
    "book-flight": 2,
    "book-hotel": 2,
    "open-trip": 2
  },
  "undone_out_of_reverse_order": 1,
  "documents_retried": 1,
  "duration_seconds": 2.5,
  "books_balance": true
}
`, b.String())
}

func TestNothingToReport(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, newReport(newWatcher().tally(), 0, true).writeTable(&b))
	require.Contains(t, b.String(), "completed                         0\n")
	require.Contains(t, b.String(), "one trip                   -\n")
}
