package command_test

import (
	"context"
	"fmt"
	"log"

	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/command"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

func Example() {
	names, err := topics.NewNames("shop")
	if err != nil {
		log.Fatal(err)
	}
	events := memorylog.New(memorylog.Options{Partitions: 12})
	commands := command.New(events, names, &command.Config{Source: "backoffice"})
	order := command.Saga{Name: "order", Version: 1, ID: "o-17", Partition: 3}
	_, err = commands.Retry(context.Background(), order, "charge-payment", command.Operator{By: "ada", Note: "the gateway is back"})
	if err != nil {
		log.Fatal(err)
	}
	rec := events.Records("shop.order.events")[0]
	ev, err := topics.Decode(&rec)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s by %s: %s (partition %d)\n", ev.Type, ev.Step, ev.By, ev.Note, ev.Partition)
	// Output: choreo.step.retry-requested charge-payment by ada: the gateway is back (partition 3)
}
