package kafka_test

import (
	"context"
	"fmt"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/embedded"
	"github.com/choreo-go/choreo/topics/kafka"
)

func Example() {
	broker, err := embedded.Start(embedded.Config{})
	if err != nil {
		panic(err)
	}
	defer broker.Close()
	log, err := kafka.New(kafka.Config{Brokers: broker.Addresses()})
	if err != nil {
		panic(err)
	}
	defer log.Close()
	ctx, stop := context.WithCancel(context.Background())
	if err := log.CreateTopic(ctx, topics.TopicSpec{Name: "greetings", Partitions: 3}); err != nil {
		panic(err)
	}
	errs := log.Publish(ctx, []choreo.Record{
		{Topic: "greetings", Partition: choreo.AnyPartition, Key: []byte("world"), Value: []byte("hello")},
	})
	fmt.Println("faults:", errs)
	err = log.Consume(ctx, topics.ConsumeConfig{Group: "readers", Topics: []string{"greetings"}},
		func(_ context.Context, batch []choreo.Record) error {
			for _, r := range batch {
				fmt.Printf("%s, %s\n", r.Value, r.Key)
			}
			stop()
			return nil
		})
	fmt.Println("ended:", err)
	// Output:
	// faults: []
	// hello, world
	// ended: <nil>
}
