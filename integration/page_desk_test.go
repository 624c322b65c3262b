package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition/graph"
	"github.com/choreo-go/choreo/examples/order/contract"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/page"
)

// hostile stands in every field that a service can set: it must show as what it is, text.
const hostile = `<img src=x onerror=alert(1)><script>document.title='owned'</script>"'&{{1}}`

// massSize is how many sagas of the name "mass" there are; they are made up as they are asked for.
const massSize = 1_000_000

// longSteps is how many steps the saga of 300 events has.
const longSteps = 60

// desk is the tracker's API with sagas of all kinds and under a base path, together with the
// page: what the page needs to be seen in every state, without brokers.
type desk struct {
	*httptest.Server
	long *choreo.Saga[struct{}]

	mu       sync.Mutex
	sagas    []*tracker.Snapshot
	watchers map[chan *tracker.Snapshot]bool
	actions  []api.Action
	redrives []api.Redrive
	redriven int64
	token    string // what is asked for; empty: nothing
	may      []string
	away     bool // answers nothing
	empty    bool // knows nothing
}

const deskBase = "/ops/choreo"

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{watchers: map[chan *tracker.Snapshot]bool{}, may: []string{"view", "payload", "operate", "admin"}}
	options := make([]choreo.Option, longSteps)
	var before choreo.Step[struct{}, struct{}]
	for i := range options {
		step := choreo.NewStep[struct{}, struct{}](fmt.Sprintf("move-part-%02d", i))
		owned := step.OwnedBy(longService(i))
		if i%3 != 0 {
			owned = owned.After(before)
		}
		options[i], before = owned, step
	}
	d.long = choreo.MustDefine[struct{}]("migration", 1, options...)
	d.sagas = d.cast()
	mux := http.NewServeMux()
	d.routes(mux)
	mux.Handle("/", page.Handler(deskBase))
	d.Server = httptest.NewServer(mux)
	t.Cleanup(d.Close)
	return d
}

func longService(i int) string { return fmt.Sprintf("archive-%c", 'a'+i%6) }

func (d *desk) routes(mux *http.ServeMux) {
	handle := func(pattern string, answer func(*http.Request) any) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+deskBase+"/api/v1"+path, func(w http.ResponseWriter, r *http.Request) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.refuse(w, r) {
				return
			}
			d.write(w, answer(r))
		})
	}
	handle("GET /me", func(*http.Request) any { return api.Me{Name: "ada", Role: api.RoleAdmin, May: d.may} })
	handle("GET /overview", d.overview)
	handle("GET /sagas", d.list)
	handle("GET /counts", d.counts)
	handle("GET /sagas/{saga}/{id}", d.one)
	handle("GET /sagas/{saga}/{id}/events", d.events)
	handle("POST /sagas/{saga}/{id}/actions", d.act)
	handle("GET /definitions", func(*http.Request) any {
		if d.empty {
			return []api.DefinitionStanding{}
		}
		return d.definitions()
	})
	handle("GET /definitions/{saga}/{version}", func(r *http.Request) any {
		for _, def := range d.definitions() {
			if def.Saga == r.PathValue("saga") && strconv.Itoa(def.Version) == r.PathValue("version") {
				def.YAML = "saga: order\nversion: 2\n# " + hostile + "\nsteps:\n  - name: create-order\n    owner: orders\n"
				return def
			}
		}
		return problemOf(404, "No such definition", "nobody has published it")
	})
	handle("GET /definitions/{saga}/{version}/graph.svg", func(r *http.Request) any {
		switch {
		case r.PathValue("saga") == "migration":
			return graph.SVG(d.long, graph.Options{})
		case r.PathValue("version") == "1":
			return graph.SVG(contract.Order, graph.Options{})
		}
		return graph.SVG(contract.OrderV2, graph.Options{})
	})
	handle("GET /participants", d.participants)
	handle("GET /parked", d.parked)
	handle("GET /dead-letters", d.letters)
	handle("POST /dead-letters/redrive", d.redrive)
	mux.HandleFunc("GET "+deskBase+"/api/v1/live", d.live)
}

type problemAnswer struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func problemOf(status int, title, detail string) problemAnswer {
	return problemAnswer{Status: status, Title: title, Detail: detail}
}

func (d *desk) write(w http.ResponseWriter, answer any) {
	switch a := answer.(type) {
	case []byte:
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = w.Write(a)
		return
	case problemAnswer:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(a.Status)
	default:
		w.Header().Set("Content-Type", "application/json")
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// refuse answers for a tracker that is away, or a caller without a token.
func (d *desk) refuse(w http.ResponseWriter, r *http.Request) bool {
	switch auth := r.Header.Get("Authorization"); {
	case d.away:
		panic(http.ErrAbortHandler) // the line breaks
	case d.token != "" && auth == "Bearer nobody":
		d.write(w, problemOf(403, "Forbidden", "the token gives no role here"))
	case d.token != "" && auth != "Bearer "+d.token:
		d.write(w, problemOf(401, "Unauthenticated", "a bearer token is needed"))
	default:
		return false
	}
	return true
}

func (d *desk) live(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	if d.refuse(w, r) {
		d.mu.Unlock()
		return
	}
	changes := make(chan *tracker.Snapshot, 64)
	d.watchers[changes] = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.watchers, changes)
		d.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprint(w, ": hello\n\nevent: freshness\ndata: {\"lag_events\":3,\"lag_seconds\":0.2}\n\n")
	w.(http.Flusher).Flush()
	for n := 1; ; n++ {
		select {
		case s := <-changes:
			data, _ := json.Marshal(s)
			_, _ = fmt.Fprintf(w, "id: %d\nevent: saga\ndata: %s\n\n", n, data)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// change changes a saga, and tells who watches.
func (d *desk) change(saga, id string, how func(*tracker.Snapshot)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.sagas, func(s *tracker.Snapshot) bool { return s.Saga == saga && s.ID == id })
	c := *d.sagas[i]
	c.Steps = slices.Clone(c.Steps)
	how(&c)
	d.sagas[i] = &c
	for w := range d.watchers {
		w <- &c
	}
}

func (d *desk) asked() []api.Action {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.actions)
}

func (d *desk) set(how func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	how()
}

func (d *desk) byStatus() map[choreo.Status]int64 {
	counts := map[choreo.Status]int64{}
	for _, s := range d.sagas {
		counts[s.Status]++
	}
	return counts
}

func (d *desk) overview(*http.Request) any {
	minutes := make([]tracker.Minute, 60)
	now := time.Now().UTC().Truncate(time.Minute)
	for i := range minutes {
		n := int64(40 + (i*37)%23 + i/2)
		if d.empty {
			n = 0
		}
		minutes[i] = tracker.Minute{At: now.Add(time.Duration(i-59) * time.Minute), Started: n, Completed: n * 4 / 5, Compensated: n / 9, Failed: n / 50}
	}
	if d.empty {
		return tracker.Overview{Counts: map[choreo.Status]int64{}, PerMinute: minutes}
	}
	counts := d.byStatus()
	counts[choreo.StatusCompleted] += 18_204
	counts[choreo.StatusCompensated] += 1_311
	var stuck []*tracker.Snapshot
	for _, s := range d.sagas {
		if s.Status == choreo.StatusStuck {
			stuck = append(stuck, s)
		}
	}
	step := func(step, service string, n int64, p50, p95, most float64) tracker.StepFigures {
		return tracker.StepFigures{Saga: "order", Version: 2, Step: step, Service: service, Count: n, P50Seconds: p50, P95Seconds: p95, MaxSeconds: most}
	}
	return tracker.Overview{Counts: counts, PerMinute: minutes, OldestStuck: stuck, SlowestSteps: []tracker.StepFigures{
		step("charge-payment", "payments", 18204, 0.81, 4.2, 63), step("book-shipment", "shipping", 17950, 0.42, 1.9, 12.5),
		step("check-fraud", "payments", 18204, 0.2, 0.6, 2.4), step("reserve-stock", hostile, 19515, 0.011, 0.08, 0.9),
	}}
}

func (d *desk) list(r *http.Request) any {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("limit"))
	if limit == 0 {
		limit = 50
	}
	if q.Get("saga") == "mass" {
		from, _ := strconv.Atoi(q.Get("after"))
		var rows []*tracker.Snapshot
		for i := from; i < min(from+limit, massSize); i++ {
			rows = append(rows, d.order(fmt.Sprintf("mass-%07d", i), choreo.StatusCompleted, 6, time.Duration(i)*time.Second, func(s *tracker.Snapshot) { s.Saga = "mass" }))
		}
		next := ""
		if from+limit < massSize {
			next = strconv.Itoa(from + limit)
		}
		return api.SagaList{Sagas: rows, Next: next}
	}
	rows := d.chosen(r)
	from, _ := strconv.Atoi(q.Get("after"))
	next := ""
	if from+limit < len(rows) {
		next = strconv.Itoa(from + limit)
	}
	return api.SagaList{Sagas: rows[min(from, len(rows)):min(from+limit, len(rows))], Next: next}
}

func (d *desk) chosen(r *http.Request) []*tracker.Snapshot {
	q := r.URL.Query()
	has := func(name, value string) bool { return len(q[name]) == 0 || slices.Contains(q[name], value) }
	rows := []*tracker.Snapshot{}
	for _, s := range d.sagas {
		if !d.empty && has("saga", s.Saga) && has("status", string(s.Status)) && has("version", strconv.Itoa(s.Version)) && strings.Contains(s.ID, q.Get("q")) {
			rows = append(rows, s)
		}
	}
	return rows
}

func (d *desk) counts(r *http.Request) any {
	if r.URL.Query().Get("saga") == "mass" {
		return api.CountList{Counts: []tracker.Count{{Key: "completed", Count: massSize}}}
	}
	n := map[string]int{}
	var oldest *time.Time
	for _, s := range d.chosen(r) {
		key := string(s.Status)
		n[key]++
		oldest = &s.StartedAt
	}
	counts := []tracker.Count{}
	for key, c := range n {
		counts = append(counts, tracker.Count{Key: key, Count: int64(c), Oldest: oldest})
	}
	return api.CountList{Counts: counts}
}

func (d *desk) find(r *http.Request) *tracker.Snapshot {
	for _, s := range d.sagas {
		if s.Saga == r.PathValue("saga") && s.ID == r.PathValue("id") {
			return s
		}
	}
	return nil
}

func (d *desk) one(r *http.Request) any {
	s := d.find(r)
	if s == nil {
		return problemOf(404, "No such saga", "no saga order of this id is in the tracker: look at the id")
	}
	var steps []api.StepView
	for i, x := range s.Steps {
		st := api.StepView{Name: x.Name, Owner: x.Service}
		if i > 0 && s.Saga == "order" {
			st.After = []string{s.Steps[i-1].Name}
		}
		steps = append(steps, st)
	}
	view := api.SagaView{Saga: s, Verdict: verdictOf(s), Why: &api.WhyView{}, Definition: &api.DefinitionView{Steps: steps, Strategy: string(choreo.ReverseOrder), DeadlineSeconds: 1800}}
	for _, n := range s.Next {
		if n.Ready {
			why := tracker.Why{Step: n.Step, Service: n.Service, Run: n.Run}
			if s.Status == choreo.StatusStuck {
				due := time.Now().Add(40 * time.Second).UTC()
				why.Attempt, why.Due, why.Cause = 7, &due, &tracker.Error{Code: "gateway-timeout", Message: "card gateway timeout"}
			}
			view.Why.WaitsFor = append(view.Why.WaitsFor, why)
		}
	}
	return view
}

func verdictOf(s *tracker.Snapshot) string {
	switch {
	case s.ID == hostile:
		return "parked by " + hostile
	case s.Status == choreo.StatusStuck:
		return "stuck for 14 min at charge-payment in payments: card gateway timeout, attempt 7, next in 40 s"
	case s.Status == choreo.StatusCompensated:
		return "compensated after 3.1 s: book-shipment in shipping refused: country-not-served"
	case s.Status == choreo.StatusCompleted:
		return "completed in 2.4 s"
	}
	return tracker.Explain(s, nil, time.Now()).Sentence
}

func (d *desk) events(r *http.Request) any {
	s := d.find(r)
	if s == nil {
		return problemOf(404, "No such saga", "it is not there")
	}
	var list []api.EventView
	add := func(kind choreo.EventType, step, source string, at time.Time) *api.EventView {
		e := api.EventView{
			Offset: int64(1000 + len(list)*3), Partition: s.Partition, ID: fmt.Sprintf("0190-%d", len(list)), Type: kind, Step: step, Source: source, Time: at,
			Attempt: 1, ContentType: "avro/binary", Size: 84,
			Headers: []api.HeaderView{{Name: "ce_type", Value: string(kind)}, {Name: "ce_source", Value: source}},
		}
		if s.ID == hostile {
			e.ID, e.ContentType, e.By, e.Note = hostile, hostile, hostile, hostile
			e.Headers = append(e.Headers, api.HeaderView{Name: hostile, Value: hostile})
		}
		if r.URL.Query().Get("payload") == "1" {
			e.Payload, _ = json.Marshal(map[string]any{"order": s.ID, "amount": "129.90", "note": hostile})
		}
		list = append(list, e)
		return &list[len(list)-1]
	}
	add(choreo.Started, "", s.Initiator, s.StartedAt)
	for _, x := range s.Steps {
		if s.Saga == "migration" {
			for i := range 4 {
				add(choreo.RetryRequested, x.Name, x.Service, x.ReadyAt.Add(time.Duration(i)*100*time.Millisecond)).Attempt = i + 1
			}
		}
		kind := map[choreo.StepStatus]choreo.EventType{choreo.StepFailing: choreo.StepFailed, choreo.StepRetried: choreo.StepStuck, choreo.StepUndoFailed: choreo.CompensationFailed}[x.Status]
		if kind == "" {
			kind = choreo.StepCompleted
		}
		if x.EndedAt == nil && x.Error == nil {
			continue
		}
		at := s.UpdatedAt
		if x.EndedAt != nil {
			at = *x.EndedAt
		}
		add(kind, x.Name, x.Service, at).Error = x.Error
	}
	for _, x := range slices.Backward(s.Steps) {
		if x.UndoneAt != nil {
			add(choreo.StepCompensated, x.Name, x.Service, *x.UndoneAt)
		}
	}
	return api.EventList{Events: list, Payloads: api.PayloadsShown}
}

// ask reads what is asked for as the server does: with no fields but those that it knows.
func ask(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func (d *desk) act(r *http.Request) any {
	var a api.Action
	if err := ask(r, &a); err != nil {
		return problemOf(400, "Bad body", err.Error())
	}
	if a.Action == api.ActionForceAbort {
		return problemOf(409, "Refused", "the pivot has completed: the saga can only go forward")
	}
	d.actions = append(d.actions, a)
	return api.Sent{EventID: "0190-ffff", Action: a.Action}
}

func (d *desk) definitions() []api.DefinitionStanding {
	of := func(saga string, version int, counts map[choreo.Status]int64, steps map[string]int64, deletable bool, why string) api.DefinitionStanding {
		one := api.DefinitionStanding{
			Saga: saga, Version: version, Fingerprint: "sha256:6d1f0c7b2ae94f", Services: []string{"orders", "inventory", "payments", "shipping"},
			Builds:      []api.Build{{Service: "orders", Build: "v1.9.0"}, {Service: "inventory", Build: "v1.8.2"}, {Service: "payments"}},
			PublishedBy: []string{"orders"}, Counts: counts, Steps: steps, Deletable: deletable, Why: why,
		}
		if saga == hostile {
			one.Fingerprint, one.Services, one.PublishedBy, one.Builds = hostile, []string{hostile}, []string{hostile}, []api.Build{{Service: hostile, Build: hostile}}
		}
		return one
	}
	type statuses = map[choreo.Status]int64
	return []api.DefinitionStanding{
		of("order", 2, statuses{choreo.StatusRunning: 31, choreo.StatusStuck: 2, choreo.StatusCompleted: 18204, choreo.StatusCompensated: 1311},
			map[string]int64{"charge-payment": 29, "book-shipment": 4}, false, "33 sagas still live by it"),
		of("order", 1, statuses{choreo.StatusCompleted: 90311}, nil, true, "no saga lives by it any more, and every service knows version 2"),
		of(hostile, 1, statuses{choreo.StatusRunning: 1}, nil, false, hostile),
		of("migration", 1, statuses{choreo.StatusRunning: 1}, map[string]int64{"move-part-41": 1}, false, "1 saga still lives by it"),
	}
}

func (d *desk) participants(*http.Request) any {
	if d.empty {
		return []api.Participant{}
	}
	now := time.Now().UTC()
	one := func(service, build string, gone bool, lag, entries int64) api.Participant {
		seen := now.Add(-2 * time.Second)
		in := api.Instance{
			Instance: service + "-7c9d-0", Build: build, StartedAt: now.Add(-26 * time.Hour), SeenAt: seen, Gone: gone, Partitions: 4, LagEvents: lag,
			Outbox: api.Outbox{Entries: entries, OldestSeconds: 3.5}, Waiting: []api.Waiting{},
		}
		due := now.Add(40 * time.Second)
		switch service {
		case "payments":
			in.Waiting = append(in.Waiting, api.Waiting{Saga: "order", ID: "o-20931", Step: "charge-payment", State: "retrying", Attempt: 7, Due: &due,
				Error: &tracker.Error{Code: "gateway-timeout", Message: "card gateway timeout"}})
		case hostile:
			in.Waiting = append(in.Waiting, api.Waiting{Saga: hostile, ID: hostile, Step: hostile, State: hostile, Error: &tracker.Error{Code: hostile, Message: hostile}})
		}
		return api.Participant{Service: service, LagEvents: lag, LastSeen: seen, Instances: []api.Instance{in}}
	}
	return []api.Participant{
		one("orders", "v1.9.0", false, 0, 0), one("payments", "v1.9.0", false, 1204, 37), one("shipping", "v1.8.2", true, 88, 0),
		{Service: "archive", Instances: []api.Instance{}}, // it has published its contract, and told nothing since
		one(hostile, hostile, false, 0, 0),
	}
}

func (d *desk) parked(*http.Request) any {
	if d.empty {
		return []api.ParkedGroup{}
	}
	return []api.ParkedGroup{
		{Service: "shipping", Code: "schema-unknown", Message: "schema 41 is not in the registry", Count: 3, Oldest: time.Now().Add(-3 * time.Hour), Sagas: []api.SagaRef{{Saga: "order", ID: "o-20922"}}},
		{Service: hostile, Code: hostile, Message: hostile, Count: 1, Oldest: time.Now().Add(-time.Hour), Sagas: []api.SagaRef{{Saga: "order", ID: hostile}}},
	}
}

func (d *desk) letters(r *http.Request) any {
	now := time.Now().UTC()
	late := api.Letter{
		LetterID: api.LetterID{Partition: 0, Offset: 17}, Time: now.Add(-time.Minute), Service: "payments", Error: "schema 41 is not in the registry", Code: "undecodable",
		Topic: "shop.order.events", From: 2, At: 99, Key: "o-20922", EventType: "choreo.step.completed", Redriven: true,
	}
	bad := api.Letter{
		LetterID: api.LetterID{Partition: 0, Offset: 16}, Time: now.Add(-time.Hour), Service: hostile, Error: hostile, Code: hostile,
		Topic: hostile + ".events", From: 2, At: 98, Key: hostile, EventType: hostile,
	}
	none := api.Letter{LetterID: api.LetterID{Partition: 1, Offset: 4}, Time: now.Add(-5 * time.Hour), Service: "payments", Error: "the record has no ce_id", Code: "unreadable", Topic: "shop.order.events", From: 1, At: 7}
	switch {
	case r.URL.Query().Get("group") != "":
		return []api.Letter{late, bad, none}
	case d.empty:
		return []api.LetterGroup{}
	}
	return []api.LetterGroup{
		{Group: "g1", Error: "the record has no ce_id", Code: "unreadable", Topic: "shop.order.events", Service: "payments", Count: 12 - d.redriven, First: now.Add(-5 * time.Hour), Last: now.Add(-time.Minute), Sample: none},
		{Group: "g2", Error: hostile, Code: hostile, Topic: hostile, Service: hostile, Count: 1, First: now, Last: now, Sample: bad},
	}
}

func (d *desk) redrive(r *http.Request) any {
	var what api.Redrive
	if err := ask(r, &what); err != nil {
		return problemOf(400, "Bad body", err.Error())
	}
	if !what.DryRun {
		d.redriven = 10
		d.redrives = append(d.redrives, what)
	}
	return api.Redriven{Redriven: 10, DryRun: what.DryRun, Skipped: []api.Skipped{
		{LetterID: api.LetterID{Offset: 17}, Why: "it was redriven before"}, {LetterID: api.LetterID{Offset: 18}, Why: hostile},
	}}
}
