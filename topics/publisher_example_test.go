package topics_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
)

// A service writes what needs no transaction straight to the log.
func ExamplePublisher() {
	ctx := context.Background()
	log := memory.New(memory.Options{Partitions: 3})
	defer log.Close()
	_ = log.CreateTopic(ctx, topics.TopicSpec{
		Name: "page-views", Partitions: 3, Settings: map[string]string{"max.message.bytes": "1000"},
	})
	p, err := topics.NewPublisher(log, &topics.PublisherConfig{DeadLetters: "choreo.dlq"})
	if err != nil {
		fmt.Println(err)
		return
	}

	var results []*topics.Result
	for _, page := range []string{"/", "/orders", "/orders/" + strings.Repeat("7", 2000)} {
		results = append(results, p.PublishAsync(ctx, choreo.Record{Topic: "page-views", Key: []byte("visitor-1"), Value: []byte(page)}))
	}
	for i, r := range results {
		var dead *topics.DeadLetteredError
		fmt.Println(i, "dead-lettered:", errors.As(r.Err(), &dead))
	}
	_ = p.Close(ctx)
	s := p.Stats()
	fmt.Println(s.Published, "published,", s.DeadLettered, "dead-lettered")
	// Output:
	// 0 dead-lettered: false
	// 1 dead-lettered: false
	// 2 dead-lettered: true
	// 2 published, 1 dead-lettered
}
