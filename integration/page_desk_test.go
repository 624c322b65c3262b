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
	actions  []map[string]string
	redriven int
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
	handle("GET /me", func(*http.Request) any { return map[string]any{"name": "ada", "role": "admin", "may": d.may} })
	handle("GET /overview", d.overview)
	handle("GET /sagas", d.list)
	handle("GET /counts", d.counts)
	handle("GET /sagas/{saga}/{id}", d.one)
	handle("GET /sagas/{saga}/{id}/events", d.events)
	handle("POST /sagas/{saga}/{id}/actions", d.act)
	handle("GET /definitions", func(*http.Request) any {
		if d.empty {
			return map[string]any{"definitions": []any{}}
		}
		return map[string]any{"definitions": d.definitions(), "freshness": fresh()}
	})
	handle("GET /definitions/{saga}/{version}", func(r *http.Request) any {
		for _, def := range d.definitions() {
			if def["saga"] == r.PathValue("saga") && fmt.Sprint(def["version"]) == r.PathValue("version") {
				def["yaml"] = "saga: order\nversion: 2\n# " + hostile + "\nsteps:\n  - name: create-order\n    owner: orders\n"
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

func (d *desk) asked() []map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.actions)
}

func (d *desk) set(how func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	how()
}

func fresh() map[string]any { return map[string]any{"lag_events": 0, "lag_seconds": 0} }

func (d *desk) byStatus() map[string]int {
	counts := map[string]int{}
	for _, s := range d.sagas {
		counts[string(s.Status)]++
	}
	return counts
}

func (d *desk) overview(*http.Request) any {
	minutes := make([]map[string]any, 60)
	now := time.Now().UTC().Truncate(time.Minute)
	for i := range minutes {
		n := 40 + (i*37)%23 + i/2
		if d.empty {
			n = 0
		}
		minutes[i] = map[string]any{"at": now.Add(time.Duration(i-59) * time.Minute), "started": n, "completed": n * 4 / 5, "compensated": n / 9, "failed": n / 50}
	}
	if d.empty {
		return map[string]any{"counts": map[string]int{}, "per_minute": minutes, "oldest_stuck": []any{}, "slowest_steps": []any{}, "freshness": fresh()}
	}
	counts := d.byStatus()
	counts["completed"] += 18_204
	counts["compensated"] += 1_311
	var stuck []*tracker.Snapshot
	for _, s := range d.sagas {
		if s.Status == choreo.StatusStuck {
			stuck = append(stuck, s)
		}
	}
	step := func(step, service string, n int, p50, p95, most float64) map[string]any {
		return map[string]any{"saga": "order", "version": 2, "step": step, "service": service, "count": n, "p50_seconds": p50, "p95_seconds": p95, "max_seconds": most}
	}
	return map[string]any{"counts": counts, "per_minute": minutes, "oldest_stuck": stuck, "slowest_steps": []any{
		step("charge-payment", "payments", 18204, 0.81, 4.2, 63), step("book-shipment", "shipping", 17950, 0.42, 1.9, 12.5),
		step("check-fraud", "payments", 18204, 0.2, 0.6, 2.4), step("reserve-stock", hostile, 19515, 0.011, 0.08, 0.9),
	}, "freshness": fresh()}
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
		return map[string]any{"sagas": rows, "next": next, "freshness": fresh()}
	}
	rows := d.chosen(r)
	from, _ := strconv.Atoi(q.Get("after"))
	next := ""
	if from+limit < len(rows) {
		next = strconv.Itoa(from + limit)
	}
	return map[string]any{"sagas": rows[min(from, len(rows)):min(from+limit, len(rows))], "next": next, "freshness": fresh()}
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
		return map[string]any{"counts": []any{map[string]any{"key": "completed", "count": massSize}}, "freshness": fresh()}
	}
	n := map[string]int{}
	var oldest *time.Time
	for _, s := range d.chosen(r) {
		key := string(s.Status)
		if r.URL.Query().Get("by") == "code" {
			key = "gateway-timeout"
			for _, x := range s.Steps {
				if x.Error != nil {
					key = x.Error.Code
				}
			}
		}
		n[key]++
		oldest = &s.StartedAt
	}
	counts := []tracker.Count{}
	for key, c := range n {
		counts = append(counts, tracker.Count{Key: key, Count: int64(c), Oldest: oldest})
	}
	return map[string]any{"counts": counts, "freshness": fresh()}
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
	type step struct {
		Name  string   `json:"name"`
		Owner string   `json:"owner"`
		After []string `json:"after,omitempty"`
	}
	var steps []step
	for i, x := range s.Steps {
		st := step{Name: x.Name, Owner: x.Service}
		if i > 0 && s.Saga == "order" {
			st.After = []string{s.Steps[i-1].Name}
		}
		steps = append(steps, st)
	}
	due := time.Now().Add(40 * time.Second).UTC()
	why := map[string]any{"status": s.Status}
	if s.EndedAt == nil {
		why["waits_for"] = []any{map[string]any{"step": s.Steps[2].Name, "service": s.Steps[2].Service, "attempt": 7, "due": due, "cause": map[string]any{"code": "gateway-timeout", "message": "card gateway timeout"}}}
	}
	return map[string]any{"saga": s, "verdict": verdictOf(s), "why": why, "definition": map[string]any{"steps": steps, "strategy": "reverse-order", "deadline_seconds": 1800}, "freshness": fresh()}
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
	return string(s.Status) + " for 14 s: waits for charge-payment in payments"
}

func (d *desk) events(r *http.Request) any {
	s := d.find(r)
	if s == nil {
		return problemOf(404, "No such saga", "it is not there")
	}
	var list []map[string]any
	add := func(kind choreo.EventType, step, source string, at time.Time) map[string]any {
		e := map[string]any{"offset": 1000 + len(list)*3, "partition": s.Partition, "id": fmt.Sprintf("0190-%d", len(list)), "type": kind, "step": step, "source": source, "time": at,
			"attempt": 1, "content_type": "avro/binary", "size": 84,
			"headers": []any{map[string]any{"name": "ce_type", "value": kind}, map[string]any{"name": "ce_source", "value": source}}}
		if r.URL.Query().Get("payload") == "1" {
			e["payload"] = map[string]any{"order": s.ID, "amount": "129.90", "note": hostile}
		}
		list = append(list, e)
		return e
	}
	add(choreo.Started, "", s.Initiator, s.StartedAt)
	for _, x := range s.Steps {
		if s.Saga == "migration" {
			for i := range 4 {
				add(choreo.RetryRequested, x.Name, x.Service, x.ReadyAt.Add(time.Duration(i)*100*time.Millisecond))["attempt"] = i + 1
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
		e := add(kind, x.Name, x.Service, at)
		if x.Error != nil {
			e["error"] = x.Error
		}
	}
	for _, x := range slices.Backward(s.Steps) {
		if x.UndoneAt != nil {
			add(choreo.StepCompensated, x.Name, x.Service, *x.UndoneAt)
		}
	}
	return map[string]any{"events": list}
}

func (d *desk) act(r *http.Request) any {
	body := map[string]string{}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return problemOf(400, "Bad body", err.Error())
	}
	if body["action"] == "force-abort" {
		return problemOf(409, "Refused", "the pivot has completed: the saga can only go forward")
	}
	d.actions = append(d.actions, body)
	return map[string]any{"event_id": "0190-ffff", "action": body["action"]}
}

func (d *desk) definitions() []map[string]any {
	of := func(saga string, version int, counts, steps map[string]int, deletable bool, why string) map[string]any {
		return map[string]any{"saga": saga, "version": version, "fingerprint": "sha256:6d1f0c7b2ae94f", "services": []string{"orders", "inventory", "payments", "shipping"},
			"builds": []string{"v1.8.2", "v1.9.0"}, "published_by": []string{"orders"}, "counts": counts, "steps": steps, "deletable": deletable, "why": why}
	}
	return []map[string]any{
		of("order", 2, map[string]int{"running": 31, "stuck": 2, "completed": 18204, "compensated": 1311}, map[string]int{"charge-payment": 29, "book-shipment": 4}, false, "33 sagas still live by it"),
		of("order", 1, map[string]int{"completed": 90311}, nil, true, "no saga lives by it any more, and every service knows version 2"),
		of(hostile, 1, map[string]int{"running": 1}, nil, false, hostile),
		of("migration", 1, map[string]int{"running": 1}, map[string]int{"move-part-41": 1}, false, "1 saga still lives by it"),
	}
}

func (d *desk) participants(*http.Request) any {
	if d.empty {
		return map[string]any{"participants": []any{}}
	}
	now := time.Now().UTC()
	one := func(service, build string, gone bool, lag, entries int) map[string]any {
		waiting := []any{}
		if service == "payments" {
			waiting = append(waiting, map[string]any{"saga": "order", "id": "o-20931", "step": "charge-payment", "state": "retries", "attempt": 7, "due_at": now.Add(40 * time.Second), "error": map[string]any{"code": "gateway-timeout", "message": "card gateway timeout"}})
		}
		return map[string]any{"service": service, "lag_events": lag, "last_seen": now.Add(-2 * time.Second), "instances": []any{
			map[string]any{"instance": service + "-7c9d-0", "build": build, "started_at": now.Add(-26 * time.Hour), "seen_at": now.Add(-2 * time.Second), "gone": gone, "partitions": []int{0, 1, 2, 5}, "lag_events": lag,
				"outbox": map[string]any{"entries": entries, "oldest_seconds": 3.5}, "parked": 0, "waiting": waiting},
		}}
	}
	return map[string]any{"participants": []any{one("orders", "v1.9.0", false, 0, 0), one("payments", "v1.9.0", false, 1204, 37), one("shipping", "v1.8.2", true, 88, 0), one(hostile, hostile, false, 0, 0)}}
}

func (d *desk) parked(*http.Request) any {
	if d.empty {
		return map[string]any{"groups": []any{}}
	}
	return map[string]any{"groups": []any{
		map[string]any{"service": "shipping", "code": "schema-unknown", "message": "schema 41 is not in the registry", "count": 3, "oldest": time.Now().Add(-3 * time.Hour), "sagas": []any{map[string]any{"saga": "order", "id": "o-20922"}}},
		map[string]any{"service": hostile, "code": hostile, "message": hostile, "count": 1, "oldest": time.Now().Add(-time.Hour), "sagas": []any{map[string]any{"saga": "order", "id": hostile}}},
	}, "freshness": fresh()}
}

func (d *desk) letters(r *http.Request) any {
	now := time.Now().UTC()
	letter := map[string]any{"partition": 0, "offset": 17, "time": now, "service": "payments", "error": hostile, "code": "unreadable", "topic": "shop.order.events", "original": map[string]any{"partition": 2, "offset": 99}, "saga": "order", "id": hostile, "event_type": "choreo.step.completed", "redriven": false}
	if r.URL.Query().Get("group") != "" {
		return map[string]any{"letters": []any{letter}}
	}
	if d.empty {
		return map[string]any{"groups": []any{}}
	}
	return map[string]any{"groups": []any{
		map[string]any{"group": "g1", "error": "the record has no ce_id", "code": "unreadable", "topic": "shop.order.events", "service": "payments", "count": 12 - d.redriven, "first": now.Add(-5 * time.Hour), "last": now.Add(-time.Minute), "sample": letter},
		map[string]any{"group": "g2", "error": hostile, "code": hostile, "topic": hostile, "service": hostile, "count": 1, "first": now, "last": now, "sample": letter},
	}}
}

func (d *desk) redrive(r *http.Request) any {
	var body struct {
		DryRun bool   `json:"dry_run"`
		Reason string `json:"reason"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	if !body.DryRun {
		d.redriven = 10
		d.actions = append(d.actions, map[string]string{"action": "redrive", "reason": body.Reason})
	}
	return map[string]any{"redriven": 10, "dry_run": body.DryRun, "skipped": []any{map[string]any{"partition": 0, "offset": 17, "why": "it was redriven before"}, map[string]any{"partition": 0, "offset": 18, "why": hostile}}}
}
