package memory_test

import (
	"context"
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/memory"
)

func ExampleNew() {
	model := memory.New(memory.Options{})
	defer model.Close()
	ctx := context.Background()
	at := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	err := model.Put(ctx, []*tracker.Snapshot{{
		ID: "order-7", Saga: "order", Version: 1, Status: choreo.StatusRunning, StartedAt: at, UpdatedAt: at,
	}}, nil)
	page, listErr := model.List(ctx, tracker.Query{Filter: tracker.Filter{Search: "ORDER"}})
	fmt.Println(page.Sagas[0].ID, err, listErr)
	// Output: order-7 <nil> <nil>
}
