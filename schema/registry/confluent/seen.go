package confluent

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/registry/internal/shelf"
)

// maxUnknown bounds the unknown ids that are remembered: they come from payloads, and so
// from anybody.
const maxUnknown = 10_000

// seen is what the registry has said. Schemas, versions and registrations never change
// and stay; the lists are what was said last, for the time of an outage.
type seen struct {
	mu            sync.RWMutex
	schemas       map[schema.ID]schema.Schema
	byVersion     map[place]sr.SubjectSchema
	registrations map[registration]schema.ID
	direct        map[string][]sr.SchemaReference // by shelf.Identity
	unknown       map[schema.ID]time.Time         // until when
	subjects      []string
	versions      map[string][]schema.Version
}

// place is a version of a subject.
type place struct {
	subject string
	number  int
}

// registration is a schema under a subject.
type registration struct {
	subject string
	schema  string // its shelf.Identity
}

func newSeen() seen {
	return seen{
		schemas:       make(map[schema.ID]schema.Schema),
		byVersion:     make(map[place]sr.SubjectSchema),
		registrations: make(map[registration]schema.ID),
		direct:        make(map[string][]sr.SchemaReference),
		unknown:       make(map[schema.ID]time.Time),
		versions:      make(map[string][]schema.Version),
	}
}

func (s *seen) schema(id schema.ID) (schema.Schema, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.schemas[id]
	return clone(found), ok
}

func (s *seen) putSchema(id schema.ID, found schema.Schema, direct []sr.SchemaReference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schemas[id] = found
	s.direct[shelf.Identity(found)] = direct
	delete(s.unknown, id)
}

func (s *seen) isUnknown(id schema.ID, now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	until, ok := s.unknown[id]
	return ok && now.Before(until)
}

func (s *seen) putUnknown(id schema.ID, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unknown) >= maxUnknown {
		clear(s.unknown) // they are worth a request each, no more
	}
	s.unknown[id] = until
}

func (s *seen) registered(r registration) (schema.ID, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	id, ok := s.registrations[r]
	return id, ok
}

func (s *seen) putRegistered(r registration, id schema.ID, sch schema.Schema, direct []sr.SchemaReference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registrations[r] = id
	if _, had := s.schemas[id]; !had {
		s.schemas[id] = clone(sch)
	}
	s.direct[r.schema] = direct
	delete(s.unknown, id)
}

func (s *seen) directOf(identity string) ([]sr.SchemaReference, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	direct, ok := s.direct[identity]
	return direct, ok
}

func (s *seen) version(at place) (sr.SubjectSchema, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.byVersion[at]
	return v, ok
}

func (s *seen) putVersion(at place, v sr.SubjectSchema) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byVersion[at] = v
}

func (s *seen) lastSubjects() ([]string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.subjects, s.subjects != nil
}

func (s *seen) putSubjects(subjects []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subjects = subjects
}

func (s *seen) lastVersions(subject string) ([]schema.Version, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	versions, ok := s.versions[subject]
	return versions, ok
}

func (s *seen) putVersions(subject string, versions []schema.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[subject] = versions
}
