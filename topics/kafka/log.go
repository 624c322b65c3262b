package kafka

import (
	"context"
	"net"
	"sync"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// Log is a Kafka cluster as a topics.Log. It is safe for concurrent use.
type Log struct {
	config    *Config
	mechanism sasl.Mechanism // nil: none
	ctx       context.Context
	close     context.CancelCauseFunc // of ctx
	address   net.Addr

	connections *connections // the transport's
	transport   *segmentio.Transport
	client      *segmentio.Client
	cluster     *cluster
	publisher   *publisher

	mu      sync.Mutex // orders calls against Close
	readers sync.WaitGroup
	closed  sync.Once
}

var _ topics.Log = (*Log)(nil)

// metadataTTL is how old the transport's view of the cluster's nodes may be.
const metadataTTL = time.Second

// New returns a log on the cluster. It connects when it is first used; an unreachable
// cluster is not an error here.
func New(config Config) (*Log, error) {
	c, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{config: c, address: segmentio.TCP(c.Brokers...), connections: newConnections(c)}
	if c.SASL != nil {
		if l.mechanism, err = c.SASL.mechanism(); err != nil {
			return nil, err
		}
	}
	l.ctx, l.close = context.WithCancelCause(context.Background())
	l.transport = &segmentio.Transport{
		Dial: l.connections.dial, DialTimeout: c.RequestTimeout, IdleTimeout: time.Minute,
		MetadataTTL: metadataTTL, ClientID: c.ClientID, SASL: l.mechanism, Context: l.ctx,
	}
	l.client = &segmentio.Client{Addr: l.address, Timeout: c.RequestTimeout, Transport: l.transport}
	l.cluster = newCluster(c.ClientID, l.roundTrip)
	l.publisher = newPublisher(l.ctx, c, l.cluster, l.roundTrip)
	return l, nil
}

// roundTrip sends a request, bounded by the request timeout.
func (l *Log) roundTrip(ctx context.Context, request segmentio.Request) (segmentio.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.RequestTimeout)
	defer cancel()
	return l.transport.RoundTrip(ctx, l.address, request)
}

// bind returns a context that ends with ctx or when the log is closed.
func (l *Log) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(topics.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// enter begins a call that Close has to wait for.
func (l *Log) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return topics.ErrClosed
	}
	l.readers.Add(1)
	return nil
}

// Publish implements topics.Log.
func (l *Log) Publish(ctx context.Context, records []choreo.Record) []error {
	return l.publisher.publish(ctx, records)
}

// Close ends all calls that are under way and closes all connections. It may be called
// again.
func (l *Log) Close() error {
	l.closed.Do(func() {
		l.mu.Lock()
		l.close(topics.ErrClosed)
		l.mu.Unlock()
		l.readers.Wait()
		l.publisher.stop()
		l.transport.CloseIdleConnections()
		l.connections.close()
	})
	return nil
}
