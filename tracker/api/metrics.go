package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/choreo-go/choreo/tracker"
)

// scrapeTimeout bounds what a scrape asks the source for.
const scrapeTimeout = 3 * time.Second

// metrics is what /metrics shows. No label bears the id of a saga, or anything that a client can
// make up.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	actions  *prometheus.CounterVec
	live     prometheus.Gauge
	resets   prometheus.Counter
}

func newMetrics(s *Server) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "choreo_tracker_http_requests_total", Help: "Requests by route, method and status.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "choreo_tracker_http_request_duration_seconds", Help: "How long answers took, by route. Streams are not in it.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
		}, []string{"route"}),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "choreo_tracker_actions_total", Help: "Actions that were asked for, by name and outcome.",
		}, []string{"action", "outcome"}),
		live:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "choreo_tracker_live_clients", Help: "Clients that follow changes."}),
		resets: prometheus.NewCounter(prometheus.CounterOpts{Name: "choreo_tracker_live_resets_total", Help: "Times that a client that follows changes had to begin anew."}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.actions, m.live, m.resets, newStanding(s)} {
		if err := s.config.Metrics.Register(c); err != nil {
			return nil, fmt.Errorf("api: Config.Metrics: %w: give each server a registry of its own", err)
		}
	}
	return m, nil
}

func (m *metrics) request(rt *route, method, status string, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(rt.name, method, status).Inc()
	if !rt.stream {
		m.seconds.WithLabelValues(rt.name).Observe(took.Seconds())
	}
}

func (m *metrics) action(action, outcome string) { m.actions.WithLabelValues(action, outcome).Inc() }

// standing tells at each scrape how the tracker stands.
type standing struct {
	server                     *Server
	sagas, lag, seconds, ready *prometheus.Desc
}

func newStanding(s *Server) *standing {
	return &standing{
		server:  s,
		sagas:   prometheus.NewDesc("choreo_tracker_sagas", "Sagas by status.", []string{"status"}, nil),
		lag:     prometheus.NewDesc("choreo_tracker_lag_events", "Events that are not folded in yet.", nil, nil),
		seconds: prometheus.NewDesc("choreo_tracker_lag_seconds", "How old the oldest of them is.", nil, nil),
		ready:   prometheus.NewDesc("choreo_tracker_ready", "Whether all that there was at the start is folded in.", nil, nil),
	}
}

// Describe implements [prometheus.Collector].
func (c *standing) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.sagas, c.lag, c.seconds, c.ready} {
		out <- d
	}
}

// Collect implements [prometheus.Collector]. What the source does not answer is missing.
func (c *standing) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(c.server.stop, scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	fresh := c.server.source.Sagas.Freshness(false)
	gauge(c.lag, float64(fresh.LagEvents))
	gauge(c.seconds, fresh.LagSeconds)
	ready := 1.0
	if c.server.notReady(ctx) != nil {
		ready = 0
	}
	gauge(c.ready, ready)
	counts, err := c.server.source.Sagas.Count(ctx, tracker.Filter{}, tracker.GroupStatus)
	if err != nil {
		c.server.config.Log.Warn("A scrape lacks how many sagas there are", zap.Error(err))
		return
	}
	byStatus := map[string]int64{}
	for _, n := range counts {
		byStatus[n.Key] = n.Count
	}
	for _, status := range statuses() { // also those of which there are none
		gauge(c.sagas, float64(byStatus[string(status)]), string(status))
	}
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	promhttp.HandlerFor(s.config.Metrics, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(w, r)
	return nil
}

// livez answers as long as the process does.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) error {
	return probe(w, http.StatusOK, "ok")
}

// readyz answers well while the server serves and the tracker is ready.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if err := s.notReady(r.Context()); err != nil {
		s.config.Log.Info("Not ready", zap.Error(err))
		return probe(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
	}
	return probe(w, http.StatusOK, "ok")
}

func (s *Server) notReady(ctx context.Context) error {
	if s.stop.Err() != nil {
		return errors.New("the server stops")
	}
	if s.source.Ready == nil {
		return nil
	}
	return s.source.Ready(ctx)
}

func probe(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // a client that is gone needs no answer
	return nil
}
