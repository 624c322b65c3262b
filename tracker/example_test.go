package tracker_test

import (
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

func ExampleExplain() {
	at := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	snapshot := &tracker.Snapshot{
		ID: "order-7", Saga: "order", Version: 1, Status: choreo.StatusRunning, StartedAt: at, UpdatedAt: at,
		Next: []tracker.Next{{Step: "charge", Service: "payments", Run: choreo.RunExecute, Ready: true}},
	}
	fmt.Println(tracker.Explain(snapshot, nil, at.Add(30*time.Second)).Sentence)
	// Output: running: waits for 30 s for charge in payments
}
