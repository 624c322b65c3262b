package redis_test

import (
	"context"
	"fmt"
	"log"

	goredis "github.com/redis/go-redis/v9"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/redis"
)

func Example() {
	client := goredis.NewClient(&goredis.Options{Addr: "localhost:6379"})
	defer client.Close()
	model := redis.New(client, nil)
	counts, err := model.Count(context.Background(), tracker.Filter{}, tracker.GroupService)
	check(err)
	for _, c := range counts {
		fmt.Println(c.Count, "sagas wait for", c.Key)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
