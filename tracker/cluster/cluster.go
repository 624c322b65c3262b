package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/command"
)

// Config configures a [Cluster]. The zero value of a field is its default.
type Config struct {
	// Source is the program that gives commands, as it stands in the log. Default: "tracker".
	Source string
	// Fresh is for how long a copy of a topic is taken for the topic. Default: 2 s; negative: it is
	// read each time.
	Fresh time.Duration
	// Registry has the schemas by which payloads of commands are encoded, and those of events
	// decoded for who may see them. Default: the topic of schemas.
	Registry schema.Registry
	// Logger gets what cannot be read. Default: none.
	Logger *zap.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Cluster is the topics of one namespace. It is safe for concurrent use.
type Cluster struct {
	log      topics.Log
	names    topics.Names
	config   Config
	commands *command.Commander

	published copyOf[[]contract]
	statuses  copyOf[[]topics.Status]
	letters   *topics.DeadLetters
	schemas   schemas
	sent      sent
}

// New returns the topics of a namespace. config may be nil. The caller keeps the log.
func New(log topics.Log, names topics.Names, config *Config) *Cluster {
	c := &Cluster{log: log, names: names}
	if config != nil {
		c.config = *config
	}
	if c.config.Source == "" {
		c.config.Source = "tracker"
	}
	if c.config.Fresh == 0 {
		c.config.Fresh = 2 * time.Second
	}
	if c.config.Logger == nil {
		c.config.Logger = zap.NewNop()
	}
	if c.config.Now == nil {
		c.config.Now = time.Now
	}
	c.letters = topics.NewDeadLetters(log, names)
	c.commands = command.New(log, names, &command.Config{Source: c.config.Source, Now: c.config.Now})
	return c
}

// copyOf is what was read of a topic, for a while. Who asks meanwhile waits for the one that
// reads.
type copyOf[T any] struct {
	mu   sync.Mutex
	at   time.Time
	copy T
}

// get returns the copy, or reads another one where that is old.
func (k *copyOf[T]) get(now time.Time, fresh time.Duration, read func() (T, error)) (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := now.Sub(k.at); !k.at.IsZero() && age >= 0 && age < fresh {
		return k.copy, nil
	}
	another, err := read()
	if err != nil {
		var none T
		return none, err
	}
	k.copy, k.at = another, now
	return k.copy, nil
}

// table reads a compacted topic; one that does not exist is empty.
func (c *Cluster) table(ctx context.Context, topic string) (map[string]choreo.Record, error) {
	states, err := c.log.DescribeTopics(ctx, topic)
	if err != nil {
		return nil, err
	}
	if _, ok := states[topic]; !ok {
		return nil, nil
	}
	table, err := topics.ReadTable(ctx, c.log, topic)
	if errors.Is(err, topics.ErrUnknownTopic) { // it is gone since
		return nil, nil
	}
	return table, err
}
