package sagas

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
)

// maxReading is how long an answer may take that reads topics; --timeout ends it sooner.
const maxReading = 10 * time.Minute

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// RemoteConfig says how to reach a tracker.
type RemoteConfig struct {
	// URL of the tracker, with its base path. Required.
	URL string
	// Token is sent as a bearer token. Default: none.
	Token string
	// TLS is how an https URL is reached. Default: by the machine's authorities.
	TLS *tls.Config
}

// remote is a [Source] over the API of a tracker.
type remote struct {
	base   *url.URL
	token  string
	client *http.Client
}

// NewRemote returns the source that a tracker's API is.
func NewRemote(config RemoteConfig) (Source, error) {
	base, err := url.Parse(config.URL)
	switch {
	case err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https"):
		return nil, exit.Usagef("the tracker is %q: write its URL, such as http://127.0.0.1:7654", config.URL)
	case base.User != nil:
		return nil, exit.Usagef("the tracker's URL holds a password, which every process could read: use CHOREO_TRACKER_TOKEN")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, exit.Usagef("the tracker is %q: write its URL without what follows ? or #", config.URL)
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config.TLS, ForceAttemptHTTP2: true,
		ResponseHeaderTimeout: time.Minute, IdleConnTimeout: time.Minute,
	}
	// A token goes to nobody but who was named.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &remote{base: base.JoinPath("api", "v1"), token: config.Token, client: &http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

func (r *remote) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

// problem is an RFC 9457 answer.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

// request sends a request and returns the answer of a success.
func (r *remote) request(ctx context.Context, method string, query url.Values, body any, path ...string) (*http.Response, error) {
	escaped, plain := make([]string, len(path)), make([]string, len(path))
	for i := range path {
		escaped[i] = api.EscapeID(path[i])
		var err error
		if plain[i], err = url.PathUnescape(escaped[i]); err != nil {
			return nil, fmt.Errorf("asking the tracker: %w", err)
		}
	}
	at := *r.base
	at.RawPath = strings.TrimRight(at.EscapedPath(), "/") + "/" + strings.Join(escaped, "/")
	at.Path = strings.TrimRight(r.base.Path, "/") + "/" + strings.Join(plain, "/")
	at.RawQuery = query.Encode()
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("asking the tracker: %w", err)
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, at.String(), content)
	if err != nil {
		return nil, fmt.Errorf("asking the tracker: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "choreo-cli")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := r.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("the tracker at %s cannot be reached: %w: check --tracker, start one with 'choreo tracker serve', or read the topics by --brokers", r.base.Host, unwrapURL(err))
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer func() { _ = res.Body.Close() }()
		return nil, r.refusal(res)
	}
	return res, nil
}

// unwrapURL leaves out the request, which may hold what is secret and says nothing new.
func unwrapURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// refusal makes an error of an answer that is no success.
func (r *remote) refusal(res *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // the status says enough without it
	var p problem
	if json.Unmarshal(data, &p) != nil || p.Title == "" && p.Detail == "" {
		p = problem{Title: res.Status}
	}
	says := p.Title
	if p.Detail != "" {
		says = p.Detail
	}
	if res.StatusCode == http.StatusNotFound && p.Detail != "" {
		says = p.Title + ": " + p.Detail
	}
	switch res.StatusCode {
	case http.StatusBadRequest:
		if p.Code == string(api.CodeBadCursor) {
			return exit.With(exit.Usage, fmt.Errorf("the tracker does not understand: %w", tracker.ErrBadCursor))
		}
		return exit.Usagef("the tracker does not understand: %s", says)
	case http.StatusUnauthorized:
		return fmt.Errorf("the tracker wants to know who you are: set CHOREO_TRACKER_TOKEN or CHOREO_TRACKER_TOKEN_FILE: %s", says)
	case http.StatusForbidden:
		return fmt.Errorf("the tracker does not let you do that: %s", says)
	case http.StatusNotFound:
		if p.Code == "" || p.Code == string(api.CodeNotFound) {
			return exit.NotFoundf("there is no tracker's API at %s: check --tracker and its base path", r.base)
		}
		return exit.With(exit.NotFound, &notFoundError{says})
	case http.StatusGatewayTimeout:
		return exit.With(exit.TimedOut, fmt.Errorf("timed out: %s", says))
	case http.StatusConflict:
		return fmt.Errorf("%w: %s", ErrRefused, says)
	}
	return fmt.Errorf("the tracker answered %s: %s", res.Status, says)
}

// get asks for something and reads the answer into one.
func (r *remote) get(ctx context.Context, into any, query url.Values, path ...string) error {
	return r.ask(ctx, http.MethodGet, into, query, nil, path...)
}

// post sends something and reads the answer into one.
func (r *remote) post(ctx context.Context, body, into any, path ...string) error {
	return r.ask(ctx, http.MethodPost, into, nil, body, path...)
}

func (r *remote) ask(ctx context.Context, method string, into any, query url.Values, body any, path ...string) error {
	res, err := r.request(ctx, method, query, body, path...)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("the answer of the tracker at %s makes no sense: %w: check --tracker, and that both are of like versions", r.base.Host, err)
	}
	return nil
}

// params are the parameters of a filter.
func params(f tracker.Filter) url.Values {
	v := url.Values{}
	add := func(name string, values []string) {
		if len(values) > 0 {
			v[name] = values
		}
	}
	add("saga", f.Sagas)
	for _, version := range f.Versions {
		v.Add("version", strconv.Itoa(version))
	}
	for _, status := range f.Statuses {
		v.Add("status", string(status))
	}
	add("step", f.Steps)
	add("service", f.Services)
	add("code", f.Codes)
	for name, at := range map[string]time.Time{"started_from": f.StartedFrom, "started_to": f.StartedTo, "updated_to": f.UpdatedTo} {
		if !at.IsZero() {
			v.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if f.Search != "" {
		v.Set("q", f.Search)
	}
	return v
}

func (r *remote) List(ctx context.Context, q tracker.Query) (*List, error) {
	v := params(q.Filter)
	if q.Order != "" {
		order := string(q.Order)
		if q.Descending {
			order = "-" + order
		}
		v.Set("sort", order)
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.After != "" {
		v.Set("after", q.After)
	}
	var list List
	if err := r.get(ctx, &list, v, "sagas"); err != nil {
		return nil, err
	}
	return &list, nil
}

func (r *remote) Saga(ctx context.Context, saga, id string) (*Detail, error) {
	var d Detail
	if err := r.get(ctx, &d, nil, "sagas", saga, id); err != nil {
		return nil, err
	}
	if d.Saga == nil {
		return nil, fmt.Errorf("the answer of the tracker at %s holds no saga: check --tracker", r.base.Host)
	}
	return &d, nil
}

func (r *remote) Count(ctx context.Context, f tracker.Filter, by tracker.Group) ([]tracker.Count, error) {
	v := params(f)
	if by != "" {
		v.Set("by", string(by))
	}
	var answer struct {
		Counts []tracker.Count `json:"counts"`
	}
	err := r.get(ctx, &answer, v, "counts")
	return answer.Counts, err
}

func (r *remote) Overview(ctx context.Context) (overview tracker.Overview, err error) {
	err = r.get(ctx, &overview, nil, "overview")
	return overview, err
}

func (r *remote) Freshness(ctx context.Context, partitions bool) (fresh Freshness, err error) {
	v := url.Values{}
	if partitions {
		v.Set("partitions", "1")
	}
	err = r.get(ctx, &fresh, v, "freshness")
	return fresh, err
}

func (r *remote) Events(ctx context.Context, saga, id string, payload bool) ([]Event, error) {
	v := url.Values{}
	if payload {
		v.Set("payload", "1")
	}
	var answer struct {
		Events []Event `json:"events"`
	}
	if err := r.get(ctx, &answer, v, "sagas", saga, id, "events"); err != nil {
		return nil, err
	}
	for i := range answer.Events {
		answer.Events[i].fromHeaders()
	}
	return answer.Events, nil
}

func (r *remote) Participants(ctx context.Context) ([]Participant, error) {
	var answer wrapped[Participant]
	err := r.get(ctx, &answer, nil, "participants")
	return answer.items, err
}

func (r *remote) Groups(ctx context.Context) ([]LetterGroup, error) {
	var answer wrapped[LetterGroup]
	err := r.get(ctx, &answer, url.Values{"by": {"error"}}, "dead-letters")
	return answer.items, err
}

func (r *remote) Letters(ctx context.Context, group string) ([]Letter, error) {
	var answer wrapped[Letter]
	err := r.get(ctx, &answer, url.Values{"group": {group}}, "dead-letters")
	return answer.items, err
}

// wrapped reads a list that stands alone, or as the one list of an object.
type wrapped[T any] struct{ items []T }

func (w *wrapped[T]) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		return json.Unmarshal(data, &w.items)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	for _, value := range object {
		if bytes.HasPrefix(value, []byte("[")) {
			return json.Unmarshal(value, &w.items)
		}
	}
	return nil
}

func (r *remote) Redrive(ctx context.Context, what Redrive) (*Redriven, error) {
	var answer Redriven
	if err := r.post(ctx, what, &answer, "dead-letters", "redrive"); err != nil {
		return nil, err
	}
	return &answer, nil
}

func (r *remote) Act(ctx context.Context, saga, id string, action Action) (*Sent, error) {
	var sent Sent
	if err := r.post(ctx, action, &sent, "sagas", saga, id, "actions"); err != nil {
		return nil, err
	}
	return &sent, nil
}

func (r *remote) Start(ctx context.Context, saga string, start Start) (*Sent, error) {
	var sent Sent
	if err := r.post(ctx, start, &sent, "sagas", saga); err != nil {
		return nil, err
	}
	return &sent, nil
}

// answerWait is for how many seconds a tracker waits for an answer by one request, which proxies
// on the way have to bear.
const answerWait = 10

func (r *remote) Outcome(ctx context.Context, saga, id, command string) (*Outcome, error) {
	for {
		var out Outcome
		err := r.get(ctx, &out, url.Values{"wait": {strconv.Itoa(answerWait)}}, "sagas", saga, id, "actions", command)
		switch {
		case err != nil:
			return nil, err
		case out.State != api.OutcomePending && out.Answer != nil:
			return &out, nil
		}
		select { // a server that does not wait must not be asked without end
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(again):
		}
	}
}

// again is how long to wait before the stream of changes is asked for once more.
const again = time.Second

// Watch follows the stream of changes, and begins anew where that breaks.
func (r *remote) Watch(ctx context.Context, f tracker.Filter, reset func(), see func(*tracker.Snapshot) error) error {
	// The stream filters by saga and status; the rest is the same to who only needs to know that
	// something changed.
	v := params(tracker.Filter{Sagas: f.Sagas, Statuses: f.Statuses})
	for first := true; ; first = false {
		res, err := r.request(ctx, http.MethodGet, v, nil, "live")
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err == nil:
			reset() // what came before the stream began is not in it
			err = follow(res.Body, reset, see)
			_ = res.Body.Close()
			var seen *seeError
			if errors.As(err, &seen) {
				return seen.err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

// notFoundError says in the words of the tracker what is not there.
type notFoundError struct{ says string }

func (e *notFoundError) Error() string { return e.says }
func (e *notFoundError) Unwrap() error { return tracker.ErrNotFound }
