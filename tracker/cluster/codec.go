package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/avro"
	"github.com/choreo-go/choreo/schema/registry/topic"
	"github.com/choreo-go/choreo/topics"
)

// registryWait bounds how long the topic of schemas is read.
const registryWait = 10 * time.Second

// registry returns the registry, which is opened when it is asked for first: the topic of schemas
// may come later than the tracker.
func (c *Cluster) registry(ctx context.Context) (schema.Registry, error) {
	if c.config.Registry != nil {
		return c.config.Registry, nil
	}
	c.schemas.mu.Lock()
	defer c.schemas.mu.Unlock()
	if c.schemas.opened != nil {
		return c.schemas.opened, nil
	}
	states, err := c.log.DescribeTopics(ctx, c.names.Schemas())
	if err != nil {
		return nil, fmt.Errorf("cluster: the topic of schemas: %w", err)
	}
	if len(states) == 0 {
		return nil, fmt.Errorf("cluster: %s: %w", c.names.Schemas(), topics.ErrUnknownTopic)
	}
	opened, err := topic.New(ctx, c.log, c.names, &topic.Config{ReadTimeout: registryWait, Logger: c.config.Logger})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	c.schemas.opened = opened
	return opened, nil
}

// schemas is the registry in the topic of schemas, once it is open.
type schemas struct {
	mu     sync.Mutex
	opened schema.Registry
}

// reader decodes Avro for those who may see payloads, by whatever schema the registry has.
type reader struct {
	cluster *Cluster
	mu      sync.Mutex
	codec   *avro.Codec
}

// ContentType implements [schema.Codec].
func (r *reader) ContentType() string { return avro.ContentType }

// Encode implements [schema.Codec]: nothing is written by it.
func (r *reader) Encode(any) ([]byte, error) { return nil, errReads }

var errReads = errors.New("cluster: this codec reads and does not write: see Cluster.Act and Start")

// Decode implements [schema.Codec].
func (r *reader) Decode(data []byte, into any) error {
	codec, err := r.open()
	if err != nil {
		return err
	}
	return codec.Decode(data, into)
}

func (r *reader) open() (*avro.Codec, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.codec != nil {
		return r.codec, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), registryWait)
	defer cancel()
	registry, err := r.cluster.registry(ctx)
	if err != nil {
		return nil, err
	}
	if r.codec, err = avro.New(registry, nil); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return r.codec, nil
}
