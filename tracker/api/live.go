package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/tracker"
)

// liveWrite is how long a client may take to accept what is written to it.
const liveWrite = 30 * time.Second

// serveLive sends changes as server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html.
// The source keeps few changes for each client; one that is too slow is told to begin anew.
func (s *Server) serveLive(w http.ResponseWriter, r *http.Request) error {
	var f tracker.Filter
	var ids []string
	if err := read(r, func(p *parameters) { f, ids = p.filter(), p.many("id") }); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that gather would hold changes back
	if r.Method == http.MethodHead {
		return nil
	}
	if n := s.live.Add(1); n > int64(s.config.LiveClients) {
		s.live.Add(-1)
		h.Set("Retry-After", "15")
		return problem(CodeUnavailable, fmt.Sprintf("%d clients follow changes already: close some pages", n-1))
	}
	s.metrics.live.Inc()
	defer func() { s.metrics.live.Dec(); s.live.Add(-1) }()

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()
	c := &liveClient{server: s, w: w, control: http.NewResponseController(w)}
	after, known := s.resume(r.Header.Get("Last-Event-ID"))
	changes := s.source.Sagas.Watch(ctx, f, after)
	defer func() { // so that who sends does not wait
		cancel()
		for range changes { // what is left is of no use
		}
	}()
	if err := c.begin(!known); err != nil {
		return nil //nolint:nilerr // the client has gone
	}
	ping := time.NewTicker(s.config.PingEvery)
	defer ping.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-ping.C:
			if !s.still(r) {
				return nil // whoever asks again is told why
			}
			err = c.ping()
		case change, ok := <-changes:
			switch {
			case !ok:
				return nil
			case change.Reset:
				err = c.reset(change.Seq)
			case len(ids) == 0 || slices.Contains(ids, change.Snapshot.ID):
				err = c.saga(change)
			}
		}
		if err != nil {
			return nil //nolint:nilerr // the client has gone
		}
	}
}

// still reports whether who follows changes may do so still: a token may have been revoked, or be over.
func (s *Server) still(r *http.Request) bool {
	who, err := (&gate{server: s}).authenticate(r)
	return err == nil && who.Role.may(RoleViewer)
}

// resume reads the id of the last event that a client has seen. One of another run of the server
// says nothing.
func (s *Server) resume(id string) (after uint64, known bool) {
	if id == "" {
		return 0, true
	}
	epoch, seq, _ := strings.Cut(id, "-")
	after, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || epoch != s.epoch {
		return 0, false
	}
	return after, true
}

// liveClient writes to one client.
type liveClient struct {
	server  *Server
	w       http.ResponseWriter
	control *http.ResponseController
}

func (c *liveClient) begin(reset bool) error {
	if err := c.write("retry: 2000\n\n"); err != nil {
		return err
	}
	if reset {
		if err := c.reset(0); err != nil {
			return err
		}
	}
	return c.freshness()
}

func (c *liveClient) saga(change tracker.Change) error {
	return c.send("saga", change.Seq, shown(change.Snapshot))
}

func (c *liveClient) reset(seq uint64) error {
	c.server.metrics.resets.Inc()
	return c.send("reset", seq, struct{}{})
}

func (c *liveClient) freshness() error {
	return c.send("freshness", 0, c.server.source.Sagas.Freshness(false))
}

func (c *liveClient) ping() error {
	if err := c.freshness(); err != nil {
		return err
	}
	return c.send("ping", 0, struct {
		At time.Time `json:"at"`
	}{c.server.config.Now().UTC()})
}

// send writes an event. JSON has no line feeds in it, so that its data are one line.
func (c *liveClient) send(event string, seq uint64, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	id := ""
	if seq > 0 {
		id = fmt.Sprintf("id: %s-%d\n", c.server.epoch, seq)
	}
	return c.write("event: " + event + "\n" + id + "data: " + string(body) + "\n\n")
}

func (c *liveClient) write(text string) error {
	// Where it cannot be set, the connection has no deadline that could cut the stream.
	_ = c.control.SetWriteDeadline(time.Now().Add(liveWrite))
	if _, err := c.w.Write([]byte(text)); err != nil {
		return err
	}
	return c.control.Flush()
}
