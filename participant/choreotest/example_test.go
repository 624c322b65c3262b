package choreotest_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/participant/choreotest"
)

// The contract of a booking, as the services share it.
type (
	Stay    struct{ Guest string }
	Room    struct{ Number string }
	Payment struct{}
)

var (
	BookRoom = choreo.NewStep[Stay, Room]("book-room")
	PayStay  = choreo.NewStep[Room, Payment]("pay-stay")

	Booking = choreo.MustDefine[Stay]("booking", 1,
		BookRoom.OwnedBy("hotel"),
		PayStay.OwnedBy("bank").After(BookRoom).NoCompensation(),
	)
)

// bookRoom is a handler of the hotel's, as it runs in production.
type bookRoom struct{}

func (bookRoom) Execute(_ context.Context, tx *memory.Tx, call *participant.Call[Stay]) (Room, error) {
	return Room{Number: "12"}, tx.Put("rooms", "12", call.Input.Guest)
}

func (bookRoom) Compensate(_ context.Context, tx *memory.Tx, _ *participant.Call[Stay], room Room) error {
	return tx.Delete("rooms", room.Number)
}

func payStay(_ context.Context, tx *memory.Tx, call *participant.Call[Room]) (Payment, error) {
	return Payment{}, tx.Put("paid", call.SagaID, call.Input.Number)
}

func registerHotel(p *participant.Participant[*memory.Tx]) {
	participant.Handle(p, BookRoom, bookRoom{})
}

func registerBank(p *participant.Participant[*memory.Tx]) {
	participant.HandleForward(p, PayStay, participant.ExecuteFunc[*memory.Tx, Room, Payment](payStay))
}

var (
	t        *testing.T // of the test function
	sagas    = []choreo.AnySaga{Booking}
	recorded []choreo.Record
)

// TestExamples runs the examples that need a test to run in.
func TestExamples(tt *testing.T) {
	t = tt
	ExampleRun()
	ExampleFailEach()
	ExampleReplay()
}

func ExampleRun() {
	choreotest.Run(t, sagas, func(w *choreotest.World) {
		hotel := choreotest.Serve(w, "hotel", registerHotel)
		choreotest.Serve(w, "bank", registerBank)

		booking := choreotest.Start(hotel, Booking, "b-1", Stay{Guest: "Ada"})
		w.Wait(booking)
		w.AssertStatus(booking, choreo.StatusCompleted)
		w.AssertEvents(booking, "started", "completed book-room", "completed pay-stay")
		w.AssertRows(booking, "book-room completed", "pay-stay completed")
		w.AssertOutboxEmpty()
		recorded = w.Records()
	})
}

func ExampleFailEach() {
	choreotest.FailEach(t, Booking, func(w *choreotest.World) participant.Ref {
		choreotest.Serve(w, "bank", registerBank)
		hotel := choreotest.Serve(w, "hotel", registerHotel)
		return choreotest.Start(hotel, Booking, "b-1", Stay{Guest: "Ada"})
	}, func(w *choreotest.World, trial choreotest.Trial) {
		// Whatever failed: the room is taken if and only if it was paid for.
		_, taken := w.Database("hotel").Snapshot().Tables["rooms"]["12"]
		_, paid := w.Database("bank").Snapshot().Tables["paid"]["b-1"]
		if taken != paid {
			w.T().Errorf("%s: taken is %v and paid is %v\n%s", trial.Failure, taken, paid, w.Story(trial.Ref))
		}
	})
}

// Version 2 has the same steps, and handlers that might answer otherwise.
func ExampleReplay() {
	version2 := choreo.MustDefine[Stay]("booking", 2,
		BookRoom.OwnedBy("hotel"),
		PayStay.OwnedBy("bank").After(BookRoom).NoCompensation(),
	)
	choreotest.Replay(t, recorded, version2, func(w *choreotest.World) {
		choreotest.Serve(w, "hotel", registerHotel)
		choreotest.Serve(w, "bank", registerBank)
	}, nil)
}

func ExampleFailures() {
	for _, failure := range choreotest.Failures(Booking) {
		fmt.Println(failure)
	}
	// Output:
	// book-room/execute/refused
	// book-room/execute/timeout
	// book-room/execute/panic
	// book-room/execute/crash before commit
	// book-room/execute/crash after commit
	// book-room/compensate/fault
	// book-room/compensate/crash before commit
	// book-room/compensate/crash after commit
	// pay-stay/execute/refused
	// pay-stay/execute/timeout
	// pay-stay/execute/panic
	// pay-stay/execute/crash before commit
	// pay-stay/execute/crash after commit
}

func ExampleLine() {
	fmt.Println(choreotest.Line(&choreo.Event{Type: choreo.Started}))
	fmt.Println(choreotest.Line(&choreo.Event{Type: choreo.StepCompleted, Step: "gift-wrap", Bypassed: true}))
	fmt.Println(choreotest.Line(&choreo.Event{
		Type: choreo.StepFailed, Step: "charge-card",
		Failure: &choreo.Failure{Class: choreo.ClassRefused, Code: "no-credit", Message: "balance is 3"},
	}))
	// Output:
	// started
	// completed gift-wrap (bypassed)
	// failed charge-card: refused no-credit
}

func ExampleSaveLog() {
	var file bytes.Buffer
	err := choreotest.SaveLog(&file, []choreo.Record{{
		Topic: "choreo.order.events", Partition: 3, Offset: 17,
		Key:     []byte("o-1"),
		Headers: []choreo.Header{{Key: "ce_type", Value: []byte("choreo.saga.started")}},
		Value:   []byte{0xc3, 0x01},
	}})
	fmt.Print(file.String(), err, "\n")
	records, err := choreotest.LoadLog(&file)
	fmt.Printf("%s %x %v\n", records[0].Key, records[0].Value, err)
	// Output:
	// {"topic":"choreo.order.events","partition":3,"offset":17,"key":"o-1","headers":[{"key":"ce_type","value":"choreo.saga.started"}],"value":{"base64":"wwE="}}
	// <nil>
	// o-1 c301 <nil>
}
