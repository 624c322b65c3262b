package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/internal/database"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
	"github.com/choreo-go/choreo/examples/travel/internal/audit"
	"github.com/choreo-go/choreo/examples/travel/internal/capacity"
	"github.com/choreo-go/choreo/examples/travel/internal/documents"
	"github.com/choreo-go/choreo/examples/travel/internal/payments"
	"github.com/choreo-go/choreo/examples/travel/sample"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/participant/choreotest"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/protobuf"
	"github.com/choreo-go/choreo/topics"
)

// templates are the files of databases that are made and loaded, by service: to copy them costs
// less than to make them anew.
type templates map[string][]byte

func newTemplates(t *testing.T, s *sample.Sample) templates {
	t.Helper()
	files, dir, a := make(templates), t.TempDir(), &agency{sample: s}
	for _, name := range contract.Trip.Services() {
		path := filepath.Join(dir, name+".db")
		db, err := database.OpenSQLite(path)
		require.NoError(t, err)
		require.NoError(t, db.Prepare(t.Context(), schemaOf(name)))
		require.NoError(t, a.load(t.Context(), name, db.SQL))
		require.NoError(t, db.Close())
		files[name], err = os.ReadFile(path)
		require.NoError(t, err)
	}
	return files
}

// stage is a world with some of the six services in it.
type stage struct {
	*choreotest.World
	files    templates
	books    audit.Books
	services map[string]*choreotest.Service[*sql.Tx]
}

// enough is a supply of everything for one trip to Oslo by ann.
func enough() *sample.Sample {
	supply := func(name string, units int64) []capacity.Supply {
		return []capacity.Supply{{Destination: "Oslo", Name: name, Unit: 1000, Units: units}}
	}
	return &sample.Sample{
		Flights: supply("CH 1", 4), Hotels: supply("Fjord", 2), Cars: supply("estate", 1),
		Papers:   []documents.Papers{{Customer: "ann", Valid: true}},
		Accounts: []payments.Account{{Customer: "ann", Balance: 1_000_000}},
	}
}

// patience is on virtual time. Steps past the pivot are retried by SQLite's clock, which is the
// real one: meanwhile many virtual days go by.
const patience = 60 * 24 * time.Hour

func newStage(w *choreotest.World, files templates) *stage {
	t := w.T()
	codec, err := protobuf.New(nil, nil)
	require.NoError(t, err)
	w.Config.Codecs = []schema.Codec{codec}
	w.Patience = patience
	return &stage{
		World: w, files: files, books: make(audit.Books),
		services: make(map[string]*choreotest.Service[*sql.Tx]),
	}
}

// serve runs services, each with a database of its own.
func (st *stage) serve(names ...string) {
	t, dir := st.T(), st.T().TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name+".db")
		require.NoError(t, os.WriteFile(path, st.files[name], 0o600))
		db, err := database.OpenSQLite(path)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		st.books[name] = db.SQL
		st.services[name] = choreotest.ServeOn(st.World, name, db.Store, func(p *participant.Participant[*sql.Tx]) {
			register(name, p)
		})
	}
}

// start starts a trip of two to Oslo, for three nights.
func (st *stage) start(id string, wantsCar bool) participant.Ref {
	return choreotest.Start(st.services[contract.Trips], contract.Trip, id, &travelv1.TripRequested{
		TripId: id, Customer: "ann", Email: "ann@example.com",
		Plan: &travelv1.Plan{Destination: "Oslo", Travellers: 2, Nights: 3, WantsCar: wantsCar},
	})
}

// requireBalance audits the books after one saga.
func (st *stage) requireBalance(ref participant.Ref) {
	st.T().Helper()
	findings, err := st.books.Check(st.T().Context(), map[string]*choreo.Instance{ref.SagaID: st.Instance(ref)})
	require.NoError(st.T(), err)
	require.Empty(st.T(), findings, st.Story(ref))
}

// number queries one number of a service's database.
func (st *stage) number(service, query string) (n int64) {
	require.NoError(st.T(), st.books[service].QueryRowContext(st.T().Context(), query).Scan(&n))
	return n
}

// onStage runs one trip with what there is, and looks at the end.
func onStage(t *testing.T, s *sample.Sample, id string, wantsCar bool, look func(st *stage, ref participant.Ref)) {
	t.Helper()
	files := newTemplates(t, s)
	choreotest.Run(t, []choreo.AnySaga{contract.Trip}, func(w *choreotest.World) {
		st := newStage(w, files)
		st.serve(contract.Trip.Services()...)
		ref := st.start(id, wantsCar)
		st.Wait(ref)
		st.AssertOutboxEmpty()
		st.requireBalance(ref)
		look(st, ref)
	})
}

const (
	jamming = "trip-1-0081" // the printer jams at its documents
	smooth  = "trip-1-0002" // and not at these
)

func TestATripWithACar(t *testing.T) {
	onStage(t, enough(), smooth, true, func(st *stage, ref participant.Ref) {
		st.AssertStatus(ref, choreo.StatusCompleted)
		st.AssertEventsInAnyOrder(ref, "started", "completed open-trip", "completed check-papers",
			"completed book-flight", "completed book-hotel", "completed book-car",
			"completed pay-trip", "completed confirm-trip", "completed issue-documents")
		require.EqualValues(t, 2000+3000+3000, st.number(contract.Payments, `SELECT amount_cents FROM payments`))
		require.EqualValues(t, 3, st.number(contract.Documents, `SELECT COUNT(*) FROM documents`))
		for _, rec := range st.Records() {
			ev, err := topics.Decode(&rec)
			require.NoError(t, err)
			require.Equal(t, string(choreo.Protobuf), ev.ContentType, choreotest.Line(ev))
		}
	})
}

func TestNoCarIsWanted(t *testing.T) {
	onStage(t, enough(), smooth, false, func(st *stage, ref participant.Ref) {
		st.AssertStatus(ref, choreo.StatusCompleted)
		require.Contains(t, st.Events(ref), "completed book-car (bypassed)")
		require.EqualValues(t, 2000+3000, st.number(contract.Payments, `SELECT amount_cents FROM payments`))
		require.EqualValues(t, 1, st.number(contract.Cars, `SELECT free FROM supply`))
		require.EqualValues(t, 2, st.number(contract.Documents, `SELECT COUNT(*) FROM documents`))
	})
}

func TestNoCarIsLeft(t *testing.T) {
	s := enough()
	s.Cars[0].Units = 0
	onStage(t, s, smooth, true, func(st *stage, ref participant.Ref) {
		st.AssertStatus(ref, choreo.StatusCompleted)
		require.Contains(t, st.Events(ref), "completed book-car (bypassed): refused no-car")
		require.EqualValues(t, 2000+3000, st.number(contract.Payments, `SELECT amount_cents FROM payments`))
	})
}

func TestNoRoomIsLeft(t *testing.T) {
	s := enough()
	s.Hotels[0].Units = 0
	onStage(t, s, smooth, true, func(st *stage, ref participant.Ref) {
		st.AssertStatus(ref, choreo.StatusCompensated)
		require.Contains(t, st.Events(ref), "failed book-hotel: refused no-room")
		require.NotContains(t, st.Events(ref), "completed pay-trip")
		require.EqualValues(t, 4, st.number(contract.Flights, `SELECT free FROM supply`))
		require.EqualValues(t, 1, st.number(contract.Cars, `SELECT free FROM supply`))
		require.Zero(t, st.number(contract.Hotels, `SELECT COUNT(*) FROM notices`))
	})
}

func TestNoMoneyIsLeft(t *testing.T) {
	s := enough()
	s.Accounts[0].Balance = 7999
	onStage(t, s, smooth, true, func(st *stage, ref participant.Ref) {
		st.AssertStatus(ref, choreo.StatusCompensated)
		st.AssertEventsInAnyOrder(ref, "started", "completed open-trip", "completed check-papers",
			"completed book-flight", "completed book-hotel", "completed book-car",
			"failed pay-trip: refused no-money", "compensated check-papers",
			"compensated open-trip", "compensated book-flight", "compensated book-hotel", "compensated book-car")
		require.EqualValues(t, 7999, st.number(contract.Payments, `SELECT balance_cents FROM accounts`))
		require.EqualValues(t, 1, st.number(contract.Hotels, `SELECT COUNT(*) FROM notices WHERE email = 'ann@example.com'`),
			"UndoUses brought the address along")
	})
}

func TestPapersAndPlansAreLookedAtBeforeAnythingIsBooked(t *testing.T) {
	s := enough()
	s.Papers[0].Valid = false
	onStage(t, s, smooth, true, func(st *stage, ref participant.Ref) {
		st.AssertStatus(ref, choreo.StatusCompensated)
		st.AssertEvents(ref, "started", "completed open-trip", "failed check-papers: refused no-papers", "compensated open-trip")
	})
}

func TestDocumentsAreTriedAgain(t *testing.T) {
	require.Error(t, documents.JammingPrinter(jamming, 1))
	onStage(t, enough(), jamming, true, func(st *stage, ref participant.Ref) {
		st.AssertStatus(ref, choreo.StatusCompleted)
		require.Equal(t, 3, stepOf(st.Instance(ref), contract.IssueDocuments).Attempts)
		require.EqualValues(t, 3, st.number(contract.Documents, `SELECT COUNT(*) FROM documents`))
	})
}

// TestCompensationsDoNotWaitForEachOther has the hotels' service away when a trip is turned
// back: all others undo what they did, open-trip too, on which book-hotel depends, so that in
// reverse order it would have to wait.
func TestCompensationsDoNotWaitForEachOther(t *testing.T) {
	s := enough()
	s.Accounts[0].Balance = 0
	files := newTemplates(t, s)
	choreotest.Run(t, []choreo.AnySaga{contract.Trip}, func(w *choreotest.World) {
		st := newStage(w, files)
		st.serve(slices.DeleteFunc(contract.Trip.Services(), func(name string) bool { return name == contract.Payments })...)
		ref := st.start(smooth, true)
		st.WaitFor(ref, "have booked all", func(in *choreo.Instance) bool {
			return stepOf(in, contract.PayTrip).Status == choreo.StepReady &&
				stepOf(in, contract.BookHotel).Status == choreo.StepDone &&
				stepOf(in, contract.BookFlight).Status == choreo.StepDone &&
				stepOf(in, contract.BookCar).Status == choreo.StepDone
		})
		st.services[contract.Hotels].Kill()
		st.serve(contract.Payments)
		undone := func(in *choreo.Instance, step choreo.StepRef) bool {
			return stepOf(in, step).Status == choreo.StepUndone
		}
		in := st.WaitFor(ref, "have undone all but the hotel", func(in *choreo.Instance) bool {
			return undone(in, contract.BookFlight) && undone(in, contract.BookCar) && undone(in, contract.OpenTrip)
		})
		require.Equal(t, choreo.StepUndoing, stepOf(in, contract.BookHotel).Status)
		require.Equal(t, choreo.StatusCompensating, in.Status)

		st.services[contract.Hotels].Restart()
		st.Wait(ref)
		st.AssertStatus(ref, choreo.StatusCompensated)
		events := st.Events(ref)
		require.Equal(t, "compensated book-hotel", events[len(events)-1])
		st.requireBalance(ref)
	})
}

func TestWhateverFailsTheBooksBalance(t *testing.T) {
	stages, files := make(map[*choreotest.World]*stage), newTemplates(t, enough())
	choreotest.FailEach(t, contract.Trip, func(w *choreotest.World) participant.Ref {
		if len(stages)%scale != 0 {
			stages[w] = nil
			w.T().Skip("the race detector takes its time: it sees one failure in some")
		}
		st := newStage(w, files)
		stages[w] = st
		st.serve(contract.Trip.Services()...)
		return st.start(smooth, true)
	}, func(w *choreotest.World, trial choreotest.Trial) {
		stages[w].requireBalance(trial.Ref)
		if f := trial.Failure; f.Step == contract.BookCar.Name() && f.Kind == choreotest.Refused {
			w.AssertStatus(trial.Ref, choreo.StatusCompleted)
		}
	})
	require.Len(t, stages, len(choreotest.Failures(contract.Trip)))
}
