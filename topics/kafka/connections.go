package kafka

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/choreo-go/choreo/topics"
)

// connections makes connections and can close them all, also those that kafka-go
// keeps in use or is about to make.
type connections struct {
	tls     *tls.Config
	timeout time.Duration

	mu     sync.Mutex
	open   map[*connection]struct{} // nil: closed
	ctx    context.Context          // ends at close
	cancel context.CancelFunc
}

func newConnections(config *Config) *connections {
	c := &connections{tls: config.TLS, timeout: config.RequestTimeout, open: make(map[*connection]struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// connection leaves the set when it is closed.
type connection struct {
	net.Conn
	of *connections
}

func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// dial connects and, if so configured, shakes hands over TLS.
func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if c.tls != nil {
		config := c.tls
		if config.ServerName == "" {
			config = config.Clone()
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		conn = secure
	}
	tracked := &connection{conn, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		_ = conn.Close()
		return nil, topics.ErrClosed
	}
	c.open[tracked] = struct{}{}
	return tracked, nil
}

// close closes all connections and makes no more.
func (c *connections) close() {
	c.cancel()
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close()
	}
}
