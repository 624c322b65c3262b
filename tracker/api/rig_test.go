package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a tracker over a model in memory, without a log.
type fake struct {
	*memory.Model
	mu       sync.Mutex
	watchers []chan tracker.Change
	seq      uint64
	offset   int64
	fail     error
	wait     bool // until the request ends
	missing  []string
	ended    bool // is what a verdict says
	caughtUp bool
	avro     []byte // the payload of the second event
	acted    []string
	letters  []api.Letter
}

// put stores what is newer than all before.
func (f *fake) put(snapshots ...*tracker.Snapshot) {
	for _, s := range snapshots {
		f.offset++
		s.Offset = f.offset
	}
	if err := f.Put(context.Background(), snapshots, nil); err != nil {
		panic(err)
	}
}

func (f *fake) check(ctx context.Context) error {
	if f.wait {
		<-ctx.Done()
		return ctx.Err()
	}
	return f.fail
}

// partial is the error of what lacks the parts that are away.
func (f *fake) partial() error {
	if f.missing == nil {
		return nil
	}
	return &tracker.PartialError{Parts: f.missing, Err: errors.New("dial 10.0.0.7")}
}

func (f *fake) Get(ctx context.Context, saga, id string) (*tracker.Snapshot, error) {
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	s, err := f.Model.Get(ctx, saga, id)
	if err != nil && f.missing != nil {
		err = f.partial()
	}
	return s, err
}

func (f *fake) List(ctx context.Context, q tracker.Query) (tracker.Page, error) {
	if err := f.check(ctx); err != nil {
		return tracker.Page{}, err
	}
	page, err := f.Model.List(ctx, q)
	return page, errors.Join(err, f.partial())
}

func (f *fake) Count(ctx context.Context, filter tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	counts, err := f.Model.Count(ctx, filter, by)
	return counts, errors.Join(err, f.partial())
}

func (f *fake) Freshness(partitions bool) tracker.Freshness {
	if f.caughtUp {
		return tracker.Freshness{}
	}
	fresh := tracker.Freshness{LagEvents: 3, LagSeconds: 0.25}
	for _, part := range f.missing {
		fresh.Parts = append(fresh.Parts, tracker.PartLag{Part: part, LagEvents: 3, LagSeconds: 0.25, Away: true})
	}
	if partitions {
		fresh.Partitions = []tracker.PartitionLag{{Topic: "choreo.order.events", Next: 4, End: 7, LagEvents: 3, LagSeconds: 0.25}}
	}
	return fresh
}

func (f *fake) Overview(ctx context.Context) (tracker.Overview, error) {
	return tracker.Overview{OldestStuck: []*tracker.Snapshot{snapshot("o-1", 0, choreo.StatusStuck)}, PerMinute: []tracker.Minute{{At: epoch, Started: 2}}}, errors.Join(f.check(ctx), f.partial())
}

func (f *fake) Watch(ctx context.Context, filter tracker.Filter, after uint64) <-chan tracker.Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	in, out := make(chan tracker.Change, 16), make(chan tracker.Change)
	if after > 0 && after != f.seq {
		in <- tracker.Change{Seq: f.seq, Reset: true}
	}
	f.watchers = append(f.watchers, in)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case change := <-in:
				if change.Reset || filter.Matches(change.Snapshot) {
					select {
					case out <- change:
					case <-ctx.Done():
						return
					}
				}
			}
		}
	}()
	return out
}

// change puts a snapshot and tells those who watch.
func (f *fake) change(s *tracker.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	for _, w := range f.watchers {
		w <- tracker.Change{Seq: f.seq, Snapshot: s}
	}
}

func (f *fake) Explain(ctx context.Context, s *tracker.Snapshot) (tracker.Verdict, error) {
	if f.ended {
		return tracker.Verdict{Sentence: "compensated", Why: tracker.Why{Reason: tracker.ReasonEnded, Step: "charge-payment"}}, f.check(ctx)
	}
	return tracker.Verdict{
		Sentence: "stuck at charge-payment in payments",
		Why: tracker.Why{
			Reason: tracker.ReasonStuck, Step: "charge-payment", Service: "payments", Partition: s.Partition,
			Since: &s.UpdatedAt, Cause: &tracker.Error{Code: "timeout"}, Attempt: 7,
		},
	}, f.check(ctx)
}

func (f *fake) Events(ctx context.Context, s *tracker.Snapshot, limit int) ([]choreo.Record, bool, error) {
	ev := &choreo.Event{
		ID: "e1", Type: choreo.StepCompleted, Saga: s.Saga, Version: s.Version, SagaID: s.ID, Step: "create-order", Source: "orders",
		Initiator: "orders", Time: epoch, Attempt: 1, ContentType: "application/json", Payload: []byte(`{"card":"4711"}`),
		Carried: []choreo.Output{{Step: "create-order", ContentType: "application/json", Data: []byte(`{"secret":1}`)}},
	}
	failed := *ev
	failed.Type, failed.ContentType, failed.Payload = choreo.StepFailed, string(choreo.Avro), f.avro
	failed.Failure = &choreo.Failure{Class: choreo.ClassCancelled, Code: "no", Message: "because"}
	records := []choreo.Record{topics.Encode(ev, "choreo.order.events"), topics.Encode(&failed, "choreo.order.events"), {
		Offset: 2, Time: epoch, Value: []byte("x"), Headers: []choreo.Header{{Key: "bin\xff", Value: []byte{0xFF}}},
	}}
	return records[:min(limit, 3)], limit < 3, f.check(ctx)
}

func (f *fake) Definitions(ctx context.Context) ([]api.Published, error) {
	var all []api.Published
	for version := 1; version <= 2; version++ {
		text := strings.Replace(orderYAML, "version: 1", fmt.Sprintf("version: %d", version), 1)
		doc, err := definition.Parse("order.yaml", []byte(text))
		if err != nil {
			return nil, err
		}
		fingerprint := definition.Fingerprint(doc.Definition)
		all = append(all, api.Published{Document: doc, Fingerprint: fingerprint, By: []api.Publisher{{Service: "orders", Build: "1.2", Fingerprint: fingerprint, Starts: true}}})
	}
	return all, f.check(ctx)
}

func (f *fake) Participants(ctx context.Context) ([]api.Participant, error) {
	return []api.Participant{{
		Service: "payments", LagEvents: 2, LastSeen: epoch, Instances: []api.Instance{{
			Instance: "p-1", Build: "1", StartedAt: epoch, SeenAt: epoch, Partitions: 12,
			Waiting: []api.Waiting{{Saga: "order", ID: "o-1", Step: "charge-payment", State: "retrying", Attempt: 7, Due: &epoch, Error: &tracker.Error{Code: "timeout"}}},
		}, {Instance: "p-2", StartedAt: epoch, SeenAt: epoch, Gone: true}},
	}}, f.check(ctx)
}

func (f *fake) Groups(ctx context.Context) ([]api.LetterGroup, error) {
	return []api.LetterGroup{{Group: "g1", Error: "broken …", Topic: "choreo.order.events", Service: "payments", Count: 2, First: epoch, Last: epoch, Sample: f.letters[0]}}, f.check(ctx)
}

func (f *fake) Letters(ctx context.Context, group string, limit int) ([]api.Letter, error) {
	if group != "g1" {
		return nil, api.ErrNoGroup
	}
	return f.letters[:min(limit, len(f.letters))], f.check(ctx)
}

func (f *fake) Redrive(ctx context.Context, by string, r api.Redrive) (api.Redriven, error) {
	if r.Group != "" && r.Group != "g1" {
		return api.Redriven{}, api.ErrNoGroup
	}
	f.acted = append(f.acted, fmt.Sprintf("redrive by %s: %s", by, r.Reason))
	return api.Redriven{Redriven: 1, DryRun: r.DryRun, Skipped: []api.Skipped{{LetterID: api.LetterID{Partition: 1, Offset: 2}, Why: "it was redriven before"}}}, f.check(ctx)
}

func (f *fake) Act(ctx context.Context, s *tracker.Snapshot, by string, a api.Action) (string, error) {
	f.acted = append(f.acted, fmt.Sprintf("%s %s %s by %s: %s", a.Action, s.ID, a.Step, by, a.Reason))
	return "event-1", f.check(ctx)
}

func (f *fake) Answer(ctx context.Context, saga, id, command string, home int32, wait time.Duration) (api.Answer, error) {
	asked := &choreo.Event{
		ID: command, Type: choreo.AbortRequested, Saga: saga, Version: 1, SagaID: id, Source: "tracker", By: "ada", Time: epoch,
		Failure: &choreo.Failure{Class: choreo.ClassCancelled, Code: "cancelled"}, ContentType: "application/json", Payload: []byte("{}"),
	}
	no := *asked
	no.ID, no.Type, no.CausationID, no.Failure = "e-no", choreo.AbortRejected, command, &choreo.Failure{Class: choreo.ClassRefused, Code: "completed", Message: "it is over"}
	switch command {
	case "started":
		asked.Type, asked.Target, asked.Failure = choreo.StartRequested, "orders", nil
		no.Type, no.Failure = choreo.Started, nil
	case "resolved":
		asked.Type, asked.Step, asked.Resolve, asked.Failure = choreo.ResolveRequested, "ship", choreo.ResolveUndone, nil
	case "forced":
		asked.Force = true
	case "none":
		return api.Answer{}, api.ErrNoCommand
	}
	f.acted = append(f.acted, fmt.Sprintf("answer to %s of %s from %d within %s", command, id, home, wait))
	rec, answer := topics.Encode(asked, "choreo.order.events"), topics.Encode(&no, "choreo.order.events")
	if command == "open" {
		return api.Answer{Command: &rec}, f.check(ctx)
	}
	return api.Answer{Command: &rec, Record: &answer}, f.check(ctx)
}

func (f *fake) Start(ctx context.Context, saga, by string, s api.Start) (string, error) {
	if saga != "order" {
		return "", &api.RefusedError{Why: "nobody starts such sagas"}
	}
	f.acted = append(f.acted, fmt.Sprintf("start %s %s by %s", saga, s.ID, by))
	return "event-2", f.check(ctx)
}

var epoch = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

const orderYAML = `saga: order
version: 1
deadline: 30m
steps:
  create-order:
    owner: orders
  charge-payment:
    owner: payments
    after: [create-order]
    pivot: true
  ship:
    owner: shipping
    after: [charge-payment]
`

func snapshot(id string, n int, status choreo.Status) *tracker.Snapshot {
	at := epoch.Add(time.Duration(n) * time.Second)
	s := &tracker.Snapshot{
		ID: id, Saga: "order", Version: 1, Status: status, Initiator: "orders", StartedAt: at, UpdatedAt: at, Offset: int64(n + 1), Events: 1,
		Tags: map[string]string{"customer": "c-" + id},
		Steps: []tracker.Step{
			{Name: "create-order", Service: "orders", Status: choreo.StepDone, EndedAt: &at},
			{Name: "charge-payment", Service: "payments", Status: choreo.StepReady, Pivot: true, ReadyAt: &at},
			{Name: "ship", Service: "shipping", Status: choreo.StepIdle},
		},
		Next: []tracker.Next{{Step: "charge-payment", Service: "payments", Run: "execute", Ready: true}},
		Fold: &tracker.Fold{Requested: true},
	}
	if status.Ended() {
		s.EndedAt = &at
	}
	return s
}

// hostile is an id that a service may give a saga.
const hostile = "a/b ?%..ü<x>"

func newFake() *fake {
	f := &fake{Model: memory.New(memory.Options{}), avro: []byte{0xC3, 0x01, 0xFF}, letters: []api.Letter{{Service: "payments", Error: "broken 1", Topic: "choreo.order.events", Time: epoch, Key: "o-1"}, {LetterID: api.LetterID{Partition: 1, Offset: 2}, Time: epoch}}}
	parked := snapshot("o-5", 4, choreo.StatusParked)
	parked.Parked = []tracker.Parked{{Service: "payments", Since: epoch, Error: &tracker.Error{Code: "undecodable", Message: "no schema"}}}
	f.put(snapshot("o-1", 0, choreo.StatusRunning), snapshot("o-2", 1, choreo.StatusRunning), snapshot("o-3", 2, choreo.StatusRunning),
		snapshot(hostile, 9, choreo.StatusCompleted), parked)
	return f
}

// rig is a server, a client, and the document that holds every answer to its word.
type rig struct {
	t      *testing.T
	fake   *fake
	server *api.Server
	http   *httptest.Server
	logs   *observer.ObservedLogs
	check  validator.Validator
	token  string
	base   string
}

func newRig(t *testing.T, change func(*api.Config)) *rig {
	core, logs := observer.New(zap.DebugLevel)
	config := &api.Config{Log: zap.New(core), PingEvery: time.Hour}
	if change != nil {
		change(config)
	}
	r := &rig{t: t, fake: newFake(), logs: logs, check: document(t), base: config.BasePath}
	server, err := api.New(api.Source{
		Sagas: r.fake, Explainer: r.fake, Events: r.fake, Definitions: r.fake, Participants: r.fake, DeadLetters: r.fake, Commands: r.fake, Answers: r.fake,
	}, config)
	require.NoError(t, err)
	r.server, r.http = server, httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		server.Close()
		r.http.Close()
	})
	return r
}

func document(t *testing.T) validator.Validator {
	var tree any
	require.NoError(t, json.Unmarshal(api.OpenAPI(), &tree))
	seal(tree)
	sealed, err := json.Marshal(tree)
	require.NoError(t, err)
	doc, err := libopenapi.NewDocument(sealed)
	require.NoError(t, err)
	check, errs := validator.NewValidator(doc, config.WithFormatAssertions())
	require.Empty(t, errs)
	return check
}

// seal forbids properties that are not documented. Clients have to bear them, for later versions
// may have more; this version has none.
func seal(node any) {
	switch n := node.(type) {
	case map[string]any:
		if _, open := n["additionalProperties"]; n["type"] == "object" && n["properties"] != nil && !open {
			n["additionalProperties"] = false
		}
		for _, child := range n {
			seal(child)
		}
	case []any:
		for _, child := range n {
			seal(child)
		}
	}
}

// do sends a request and holds the answer, where it is of a documented address, to the document.
func (r *rig) do(method, path string, body any, change ...func(*http.Request)) (reply, []byte) {
	r.t.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		require.NoError(r.t, err)
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.http.URL+r.base+path, content)
	require.NoError(r.t, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for _, c := range change {
		c(req)
	}
	res, err := r.http.Client().Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	res.Body = io.NopCloser(bytes.NewReader(data)) // for the validator
	if strings.HasPrefix(path, "/api/v1/") && res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMethodNotAllowed && method != http.MethodHead {
		doc := req.Clone(r.t.Context())
		doc.URL.Path, doc.URL.RawPath = strings.TrimPrefix(doc.URL.Path, r.base), strings.TrimPrefix(doc.URL.RawPath, r.base)
		ok, errs := r.check.ValidateHttpResponse(doc, res)
		for _, e := range errs {
			r.t.Errorf("%s %s: %d %.2000s\n%v %v", method, path, res.StatusCode, data, e, e.SchemaValidationErrors)
		}
		require.True(r.t, ok)
	}
	if res.StatusCode >= 400 && strings.Contains(path, "/api/") && method != http.MethodHead {
		require.Equal(r.t, "application/problem+json", res.Header.Get("Content-Type"), "%s %s", method, path)
		require.Equal(r.t, res.StatusCode, problemOf(r.t, data).Status)
	}
	return reply{res.StatusCode, res.Header, res.Uncompressed}, data
}

// reply is an answer whose body was read.
type reply struct {
	StatusCode   int
	Header       http.Header
	Uncompressed bool
}

func problemOf(t *testing.T, data []byte) api.Problem {
	var p api.Problem
	require.NoError(t, json.Unmarshal(data, &p), "%s", data)
	return p
}

// get reads an answer that is well.
func get[T any](r *rig, path string) (value T) {
	r.t.Helper()
	res, data := r.do(http.MethodGet, path, nil)
	require.Equal(r.t, http.StatusOK, res.StatusCode, "%s: %s", path, data)
	require.NoError(r.t, json.Unmarshal(data, &value))
	return value
}

// refused reads the problem that a request is answered by.
func (r *rig) refused(code api.Code, method, path string, body any, change ...func(*http.Request)) api.Problem {
	r.t.Helper()
	_, data := r.do(method, path, body, change...)
	p := problemOf(r.t, data)
	require.Equal(r.t, code, p.Code, "%s %s: %s", method, path, data)
	return p
}
