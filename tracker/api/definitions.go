package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/definition/graph"
	"github.com/choreo-go/choreo/tracker"
)

// DefinitionStanding is a version of a saga and how many sagas live by it.
type DefinitionStanding struct {
	Saga        string                  `json:"saga"`
	Version     int                     `json:"version"`
	Fingerprint string                  `json:"fingerprint"`
	Services    []string                `json:"services"` // that own its steps
	Builds      []Build                 `json:"builds"`
	PublishedBy []string                `json:"published_by"`
	Counts      map[choreo.Status]int64 `json:"counts"`
	// Steps are how many sagas wait at each step, or are stuck at it.
	Steps map[string]int64 `json:"steps"`
	// Deletable says whether the version can be dropped, Why the reason.
	Deletable bool   `json:"deletable"`
	Why       string `json:"why"`
	// YAML and Graph are there if one definition was asked for.
	YAML  string          `json:"yaml,omitempty"`
	Graph *DefinitionView `json:"graph,omitempty"`
}

// Build is which build of a service has published a definition.
type Build struct {
	Service string `json:"service"`
	Build   string `json:"build"`
}

func (s *Server) published(ctx context.Context) ([]Published, error) {
	if s.source.Definitions == nil {
		return nil, problem(CodeNotAvailable, "the tracker was started without the topic of definitions")
	}
	return s.source.Definitions.Definitions(ctx)
}

func (s *Server) definitions(w http.ResponseWriter, r *http.Request) error {
	if err := read(r, noParameters); err != nil {
		return err
	}
	all, err := s.published(r.Context())
	if err != nil {
		return err
	}
	list := make([]DefinitionStanding, 0, len(all))
	for i := range all {
		one, err := s.standingOf(r.Context(), all, &all[i])
		if err != nil {
			return err
		}
		list = append(list, one)
	}
	s.fresh(w, false)
	return answer(w, http.StatusOK, list)
}

func (s *Server) definition(w http.ResponseWriter, r *http.Request) error {
	all, d, err := s.named(r)
	if err != nil {
		return err
	}
	one, err := s.standingOf(r.Context(), all, d)
	if err != nil {
		return err
	}
	one.YAML, one.Graph = string(definition.Format(d.Document)), viewOf(d.Document)
	s.fresh(w, false)
	return answer(w, http.StatusOK, one)
}

func (s *Server) graph(w http.ResponseWriter, r *http.Request) error {
	_, d, err := s.named(r)
	if err != nil {
		return err
	}
	h := w.Header()
	// Looked at by itself, the picture has a style of its own, and nothing else.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Content-Type", "image/svg+xml")
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Authorization")
	tag := strconv.Quote(d.Fingerprint)
	h.Set("ETag", "W/"+tag)
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	_, _ = w.Write(graph.SVG(d.Document.Definition, graph.Options{})) // a client that is gone needs no answer
	return nil
}

// named returns the definition that a request names, and all others.
func (s *Server) named(r *http.Request) (all []Published, one *Published, err error) {
	if err := read(r, noParameters); err != nil {
		return nil, nil, err
	}
	if all, err = s.published(r.Context()); err != nil {
		return nil, nil, err
	}
	version, err := strconv.Atoi(r.PathValue("version"))
	for i := range all {
		if d := all[i].Document.Definition; err == nil && d.Name() == r.PathValue("saga") && d.Version() == version {
			return all, &all[i], nil
		}
	}
	return nil, nil, problem(CodeNoDefinition, "no service has published it: look at the list of definitions")
}

func (s *Server) standingOf(ctx context.Context, all []Published, p *Published) (DefinitionStanding, error) {
	d := p.Document.Definition
	one := DefinitionStanding{
		Saga: d.Name(), Version: d.Version(), Fingerprint: p.Fingerprint, Services: orEmpty(slices.Sorted(slices.Values(d.Services()))),
		Builds: []Build{}, PublishedBy: []string{}, Counts: map[choreo.Status]int64{}, Steps: map[string]int64{},
	}
	var others []string
	for _, by := range p.By {
		one.PublishedBy = append(one.PublishedBy, by.Service)
		if by.Build != "" {
			one.Builds = append(one.Builds, Build{Service: by.Service, Build: by.Build})
		}
		if by.Fingerprint != p.Fingerprint {
			others = append(others, by.Service)
		}
	}
	filter := tracker.Filter{Sagas: []string{d.Name()}, Versions: []int{d.Version()}}
	counts, err := s.source.Sagas.Count(ctx, filter, tracker.GroupStatus)
	var partial *tracker.PartialError
	if err != nil && !errors.As(err, &partial) {
		return one, fmt.Errorf("count sagas of %s: %w", d, err)
	}
	var open int64
	for _, c := range counts {
		status := choreo.Status(c.Key)
		one.Counts[status] = c.Count
		if !status.Ended() {
			open += c.Count
		}
	}
	steps, err := s.source.Sagas.Count(ctx, filter, tracker.GroupStep)
	if err != nil && !errors.As(err, &partial) {
		return one, fmt.Errorf("count steps of %s: %w", d, err)
	}
	of := d.String() + "/"
	for _, c := range steps {
		if len(c.Key) > len(of) && c.Key[:len(of)] == of {
			one.Steps[c.Key[len(of):]] = c.Count
		}
	}
	fresh := s.source.Sagas.Freshness(false)
	newest := !slices.ContainsFunc(all, func(o Published) bool {
		return o.Document.Definition.Name() == d.Name() && o.Document.Definition.Version() > d.Version()
	})
	switch {
	case len(others) > 0:
		one.Why = fmt.Sprintf("the services do not agree on it: %v hold another course of the same version", others)
	case open > 0:
		one.Why = fmt.Sprintf("%d of its sagas have not ended", open)
	case partial != nil:
		one.Why = fmt.Sprintf("%s is away, which may have sagas of it: ask again once its tracker runs", strings.Join(partial.Parts, ", "))
	case s.notReady(ctx) != nil || fresh.LagEvents > 0:
		one.Why = fmt.Sprintf("the tracker is %d events behind: ask again once it has caught up", fresh.LagEvents)
	case newest:
		one.Why = "none of its sagas is open, and it is the newest version: new ones begin by it"
	default:
		one.Deletable, one.Why = true, "each of its sagas has ended, and there is a newer version for new ones"
	}
	return one, nil
}
