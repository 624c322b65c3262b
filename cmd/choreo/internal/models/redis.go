package models

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/tracker"
	model "github.com/choreo-go/choreo/tracker/redis"
)

// clientOf closes the client with the model.
type clientOf struct {
	*model.Model
	client *redis.Client
}

func (c clientOf) Close() error { return errors.Join(c.Model.Close(), c.client.Close()) }

func openRedis(ctx context.Context, address string) (tracker.Model, error) {
	options, err := redis.ParseURL(address)
	if err != nil {
		return nil, exit.Usagef("--model redis: its URL makes no sense: write it as redis://host:6379/0")
	}
	client := redis.NewClient(options)
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("--model: Redis at %s cannot be reached: %w: start it, or mend %s", options.Addr, err, variable), client.Close())
	}
	return clientOf{model.New(client, nil), client}, nil
}
