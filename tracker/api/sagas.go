package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/tracker"
)

// SagaList answers GET /sagas.
type SagaList struct {
	Sagas     []*tracker.Snapshot `json:"sagas"`
	Next      string              `json:"next,omitempty"` // the cursor of the next page
	Freshness tracker.Freshness   `json:"freshness"`
	// Missing are the parts that are away, of several trackers: what they know is not in it.
	Missing []string `json:"missing,omitempty"`
}

// CountList answers GET /counts.
type CountList struct {
	Counts    []tracker.Count   `json:"counts"`
	Freshness tracker.Freshness `json:"freshness"`
	Missing   []string          `json:"missing,omitempty"` // as in SagaList
}

// OverviewView answers GET /overview.
type OverviewView struct {
	tracker.Overview
	Missing []string `json:"missing,omitempty"` // as in SagaList
}

// SagaView answers GET /sagas/{saga}/{id}.
type SagaView struct {
	Saga    *tracker.Snapshot `json:"saga"`
	Verdict string            `json:"verdict"`
	Why     *WhyView          `json:"why,omitempty"`
	// Definition is missing where nobody has published it.
	Definition *DefinitionView   `json:"definition,omitempty"`
	Freshness  tracker.Freshness `json:"freshness"`
}

// WhyView is a verdict for programs.
type WhyView struct {
	tracker.Why
	// WaitsFor is what has to happen next; empty where nothing has to.
	WaitsFor []tracker.Why `json:"waits_for,omitempty"`
}

// DefinitionView is what a picture of a saga takes.
type DefinitionView struct {
	Steps           []StepView `json:"steps"`
	Strategy        string     `json:"strategy"`
	DeadlineSeconds float64    `json:"deadline_seconds,omitempty"`
}

// StepView is a step of a definition.
type StepView struct {
	Name        string   `json:"name"`
	Owner       string   `json:"owner"`
	After       []string `json:"after,omitempty"`
	Uses        []string `json:"uses,omitempty"`
	Pivot       bool     `json:"pivot,omitempty"`
	Optional    bool     `json:"optional,omitempty"`
	Condition   string   `json:"condition,omitempty"`
	Compensates bool     `json:"compensates,omitempty"` // it has something to undo
}

func (s *Server) listSagas(w http.ResponseWriter, r *http.Request) error {
	var q tracker.Query
	var strict bool
	if err := read(r, func(p *parameters) { q, strict = p.query(), p.flag("strict") }); err != nil {
		return err
	}
	page, err := s.source.Sagas.List(r.Context(), q)
	missing, err := whatIsMissing(w, err, strict)
	if err != nil {
		return err
	}
	list := SagaList{Sagas: make([]*tracker.Snapshot, len(page.Sagas)), Next: page.Next, Freshness: s.fresh(w, false), Missing: missing}
	for i, one := range page.Sagas {
		list.Sagas[i] = shown(one)
	}
	return answer(w, http.StatusOK, list)
}

func (s *Server) counts(w http.ResponseWriter, r *http.Request) error {
	var f tracker.Filter
	var by tracker.Group
	var strict bool
	if err := read(r, func(p *parameters) { f, by, strict = p.filter(), p.group("by"), p.flag("strict") }); err != nil {
		return err
	}
	counts, err := s.source.Sagas.Count(r.Context(), f, by)
	missing, err := whatIsMissing(w, err, strict)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, CountList{Counts: orEmpty(counts), Freshness: s.fresh(w, false), Missing: missing})
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request) error {
	var strict bool
	if err := read(r, func(p *parameters) { strict = p.flag("strict") }); err != nil {
		return err
	}
	o, err := s.source.Sagas.Overview(r.Context())
	missing, err := whatIsMissing(w, err, strict)
	if err != nil {
		return err
	}
	if o.Counts == nil {
		o.Counts = map[choreo.Status]int64{}
	}
	o.PerMinute, o.SlowestSteps, o.Freshness = orEmpty(o.PerMinute), orEmpty(o.SlowestSteps), s.fresh(w, true)
	stuck := make([]*tracker.Snapshot, len(o.OldestStuck))
	for i, one := range o.OldestStuck {
		stuck[i] = shown(one)
	}
	o.OldestStuck = stuck
	return answer(w, http.StatusOK, OverviewView{Overview: o, Missing: missing})
}

// partialHeader names the parts that are missing in an answer.
const partialHeader = "Choreo-Partial"

// whatIsMissing tells an answer that lacks the parts that are away from none. It names them in the
// header, too. Who is strict wants a whole answer or none.
func whatIsMissing(w http.ResponseWriter, err error, strict bool) ([]string, error) {
	var partial *tracker.PartialError
	if !errors.As(err, &partial) || strict {
		return nil, err
	}
	w.Header().Set(partialHeader, strings.Join(partial.Parts, ", "))
	return partial.Parts, nil
}

// freshness tells how fresh answers are.
func (s *Server) freshness(w http.ResponseWriter, r *http.Request) error {
	var partitions bool
	if err := read(r, func(p *parameters) { partitions = p.flag("partitions") }); err != nil {
		return err
	}
	return answer(w, http.StatusOK, s.fresh(w, partitions))
}

func (s *Server) getSaga(w http.ResponseWriter, r *http.Request) error {
	if err := read(r, noParameters); err != nil {
		return err
	}
	one, err := s.source.Sagas.Get(r.Context(), r.PathValue("saga"), pathID(r))
	if err != nil {
		return err
	}
	view := SagaView{Saga: shown(one)}
	if s.source.Explainer != nil {
		verdict, err := s.source.Explainer.Explain(r.Context(), one)
		if err != nil {
			return fmt.Errorf("explain saga %s %s: %w", one.Saga, one.ID, err)
		}
		view.Verdict, view.Why = verdict.Sentence, &WhyView{Why: verdict.Why}
		if verdict.Why.Reason != tracker.ReasonEnded && (verdict.Why.Step != "" || verdict.Why.Service != "") {
			view.Why.WaitsFor = []tracker.Why{verdict.Why}
		}
	}
	if view.Definition, err = s.definitionOf(r.Context(), one.Saga, one.Version); err != nil {
		return err
	}
	return s.answerTagged(w, r, view, func() { view.Freshness = s.fresh(w, false) }, &view)
}

// answerTagged sends a value with a tag of all but its freshness, which add fills in, or nothing
// where the client has it.
func (s *Server) answerTagged(w http.ResponseWriter, r *http.Request, bare any, add func(), whole any) error {
	body, err := json.Marshal(bare)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	// It is weak: what is compressed has other bytes, and the freshness is not in it.
	tag := `W/"` + hex.EncodeToString(sum[:12]) + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Authorization")
	add()
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return answer(w, http.StatusOK, whole)
}

// matches compares tags weakly, as RFC 9110 has it for If-None-Match.
func matches(header, tag string) bool {
	bare := func(t string) string { return strings.TrimPrefix(strings.TrimSpace(t), "W/") }
	for t := range strings.SplitSeq(header, ",") {
		if t := bare(t); t == "*" || t == bare(tag) {
			return true
		}
	}
	return false
}

// shown returns a snapshot as others see it: without what is the tracker's alone.
func shown(s *tracker.Snapshot) *tracker.Snapshot {
	out := *s
	out.Fold = nil
	if out.Steps == nil {
		out.Steps = []tracker.Step{}
	}
	return &out
}

// fresh says how fresh the answer is, in its headers, too.
func (s *Server) fresh(w http.ResponseWriter, partitions bool) tracker.Freshness {
	f := s.source.Sagas.Freshness(partitions)
	w.Header().Set("Choreo-Lag-Events", strconv.FormatInt(f.LagEvents, 10))
	w.Header().Set("Choreo-Lag-Seconds", strconv.FormatFloat(f.LagSeconds, 'f', 3, 64))
	return f
}

// definitionOf returns a definition for a picture, or nil where it is not known.
func (s *Server) definitionOf(ctx context.Context, saga string, version int) (*DefinitionView, error) {
	if s.source.Definitions == nil {
		return nil, nil //nolint:nilnil // an answer without a definition is a good one
	}
	all, err := s.source.Definitions.Definitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	for i := range all {
		if d := all[i].Document.Definition; d.Name() == saga && d.Version() == version {
			return viewOf(all[i].Document), nil
		}
	}
	return nil, nil //nolint:nilnil // the same
}

func viewOf(doc *definition.Document) *DefinitionView {
	d := doc.Definition
	view := &DefinitionView{Steps: []StepView{}, Strategy: string(d.Strategy()), DeadlineSeconds: d.Deadline().Seconds()}
	steps := d.Steps()
	for i := range steps {
		step := &steps[i]
		view.Steps = append(view.Steps, StepView{
			Name: step.Name, Owner: step.Owner, After: step.After, Uses: step.Uses, Pivot: step.Pivot,
			Optional: step.Optional, Condition: step.Condition, Compensates: d.Compensates(step.Name),
		})
	}
	return view
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
