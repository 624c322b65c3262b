package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/sqlite"
)

// A tracker puts what it has folded; whoever asks gets pages of it.
func Example() {
	folder, err := os.MkdirTemp("", "tracker")
	check(err)
	defer func() { check(os.RemoveAll(folder)) }()
	model, err := sqlite.Open(filepath.Join(folder, "tracker.db"))
	check(err)
	defer model.Close()
	ctx := context.Background()
	check(model.Migrate(ctx))

	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	err = model.Put(ctx, []*tracker.Snapshot{
		{Saga: "order", ID: "o-1", Version: 1, Status: choreo.StatusCompleted, StartedAt: at, EndedAt: &at, Offset: 7},
		{
			Saga: "order", ID: "o-2", Version: 1, Status: choreo.StatusRunning, StartedAt: at.Add(time.Second), Offset: 8,
			Next: []tracker.Next{{Step: "charge", Service: "payments", Run: choreo.RunExecute, Ready: true}},
		},
	}, []tracker.Position{{Topic: "choreo.order.events", Partition: 0, Next: 9}})
	check(err)

	page, err := model.List(ctx, tracker.Query{Filter: tracker.Filter{Services: []string{"payments"}}})
	check(err)
	for _, s := range page.Sagas {
		fmt.Println(s.ID, "waits for payments")
	}
	counts, err := model.Count(ctx, tracker.Filter{}, tracker.GroupStatus)
	check(err)
	for _, c := range counts {
		fmt.Println(c.Count, c.Key)
	}
	// Output:
	// o-2 waits for payments
	// 1 completed
	// 1 running
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
