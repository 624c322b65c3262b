package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Server answers requests from a [Source]. It is safe for concurrent use.
type Server struct {
	source  Source
	config  Config
	routes  []*route
	metrics *metrics
	epoch   string // tells ids of live changes from those of another run
	live    atomic.Int64

	main, probes http.Handler
	stop         context.Context // ends what streams
	halt         context.CancelFunc
}

// New makes a server. The error names every fault of the configuration.
func New(source Source, config *Config) (*Server, error) {
	c, err := config.withDefaults()
	if source.Sagas == nil {
		err = errors.Join(err, errors.New("api: Source.Sagas is nil: hand over a tracker"))
	}
	if err != nil {
		return nil, err
	}
	s := &Server{source: source, config: c, epoch: rand.Text()[:10]}
	if s.metrics, err = newMetrics(s); err != nil {
		return nil, err
	}
	s.stop, s.halt = context.WithCancel(context.Background())
	s.routes = s.table()
	s.main = s.mux(func(r *route) bool { return !r.metrics || c.MetricsAddress == "" })
	s.probes = s.mux(func(r *route) bool { return r.metrics })
	return s, nil
}

// Handler serves all routes of Config.Address, for a server of your own. Call [Server.Close] when
// that stops.
func (s *Server) Handler() http.Handler { return s.main }

// Close ends all streams, and refuses new ones.
func (s *Server) Close() { s.halt() }

// ListenAndServe serves until ctx ends, then gives answers that are under way Config.Grace to
// end, and returns nil. It returns at once where it cannot listen.
func (s *Server) ListenAndServe(ctx context.Context) error {
	defer s.Close()
	addresses := []string{s.config.Address}
	handlers := []http.Handler{s.main}
	if s.config.MetricsAddress != "" {
		addresses, handlers = append(addresses, s.config.MetricsAddress), append(handlers, s.probes)
	}
	var listen net.ListenConfig
	listeners := make([]net.Listener, 0, len(addresses))
	for _, address := range addresses {
		l, err := listen.Listen(ctx, "tcp", address)
		if err == nil && !s.config.authenticated() && !loopback(l.Addr().String()) {
			_ = l.Close()
			err = errors.New("others can reach it, and there is no authentication")
		}
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return fmt.Errorf("api: listen at %s: %w: stop what listens there, or choose another address", address, err)
		}
		listeners = append(listeners, l)
	}
	return s.serve(ctx, listeners, handlers)
}

// serve serves each listener by its handler until ctx ends.
func (s *Server) serve(ctx context.Context, listeners []net.Listener, handlers []http.Handler) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, l := range listeners {
		srv := &http.Server{
			Handler:           handlers[i],
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       15 * time.Second,
			WriteTimeout:      s.config.Timeout + 10*time.Second, // streams set their own
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    maxHeader,
			TLSConfig:         s.config.TLS.Clone(),
			ErrorLog:          stdLog(s.config.Log),
		}
		group.Go(func() error {
			var err error
			if srv.TLSConfig != nil {
				err = srv.ServeTLS(l, "", "")
			} else {
				err = srv.Serve(l)
			}
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return fmt.Errorf("api: serve %s: %w", l.Addr(), err)
		})
		group.Go(func() error {
			<-ctx.Done()
			s.halt() // streams would not end by themselves
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Grace)
			defer cancel()
			if err := srv.Shutdown(grace); err != nil {
				s.config.Log.Warn("Answers were cut off at the stop", zap.Error(err))
				_ = srv.Close()
			}
			return nil
		})
		s.config.Log.Info("Serving", zap.Stringer("address", l.Addr()), zap.String("base_path", s.config.BasePath),
			zap.Bool("authentication", s.config.authenticated()), zap.Bool("tls", s.config.TLS != nil))
	}
	return group.Wait()
}

func stdLog(l *zap.Logger) *log.Logger {
	std, err := zap.NewStdLogAt(l, zap.DebugLevel) // broken connections of others
	if err != nil {
		return nil // the standard logger
	}
	return std
}
