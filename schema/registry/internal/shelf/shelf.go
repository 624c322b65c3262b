package shelf

import (
	"fmt"
	"maps"
	"slices"

	"github.com/choreo-go/choreo/schema"
)

// Shelf holds subjects, their versions, and what each id stands for. Its zero value is empty.
type Shelf struct {
	subjects map[string][]schema.Version // by number
	byID     map[schema.ID]schema.Schema
}

// Put notes a schema as a version of a subject and returns the version, and false if the
// subject has the id already. The version gets the wanted number if that is free, else
// the next one. The schema must be as [Shelf.Complete] returned it.
func (s *Shelf) Put(subject string, id schema.ID, sch schema.Schema, wanted int) (schema.Version, bool) {
	if v, had := s.Version(subject, id); had {
		return v, false
	}
	s.Know(id, sch)
	versions := s.subjects[subject]
	taken := func(v schema.Version) bool { return v.Number == wanted }
	if wanted < 1 || slices.ContainsFunc(versions, taken) {
		wanted = s.Next(subject)
	}
	v := schema.Version{Number: wanted, ID: id, Schema: clone(sch)}
	at, _ := slices.BinarySearchFunc(versions, wanted, func(v schema.Version, n int) int { return v.Number - n })
	s.subjects[subject] = slices.Insert(versions, at, v)
	return copied(v), true
}

// Know notes what an id stands for without making it a version of a subject.
func (s *Shelf) Know(id schema.ID, sch schema.Schema) {
	if s.byID == nil {
		s.subjects = make(map[string][]schema.Version)
		s.byID = make(map[schema.ID]schema.Schema)
	}
	if _, had := s.byID[id]; !had {
		s.byID[id] = clone(sch)
	}
}

// Remove takes a version from its subject. Its id stays known, for there may be payloads
// with it.
func (s *Shelf) Remove(subject string, id schema.ID) {
	left := slices.DeleteFunc(s.subjects[subject], func(v schema.Version) bool { return v.ID == id })
	if len(left) == 0 {
		delete(s.subjects, subject)
	} else {
		s.subjects[subject] = left
	}
}

// Next returns the number that the next version of a subject would have.
func (s *Shelf) Next(subject string) int {
	versions := s.subjects[subject]
	if len(versions) == 0 {
		return 1
	}
	return versions[len(versions)-1].Number + 1
}

// Version returns the version of a subject that has the id.
func (s *Shelf) Version(subject string, id schema.ID) (schema.Version, bool) {
	for _, v := range s.subjects[subject] {
		if v.ID == id {
			return copied(v), true
		}
	}
	return schema.Version{}, false
}

// Schema returns what an id stands for.
func (s *Shelf) Schema(id schema.ID) (schema.Schema, error) {
	sch, ok := s.byID[id]
	if !ok {
		return sch, fmt.Errorf("%w: id %s", schema.ErrUnknownSchema, id)
	}
	return clone(sch), nil
}

// Subjects returns all subjects, sorted.
func (s *Shelf) Subjects() []string { return slices.Sorted(maps.Keys(s.subjects)) }

// Versions returns the versions of a subject, oldest first.
func (s *Shelf) Versions(subject string) ([]schema.Version, error) {
	versions, ok := s.subjects[subject]
	if !ok {
		return nil, fmt.Errorf("%w: there is no subject %s", schema.ErrUnknownSchema, subject)
	}
	out := make([]schema.Version, len(versions))
	for i, v := range versions {
		out[i] = copied(v)
	}
	return out, nil
}

// Earlier returns the schemas of a subject before that with the id, oldest first: all
// where the subject does not have it.
func (s *Shelf) Earlier(subject string, id schema.ID) []schema.Schema {
	var out []schema.Schema
	for _, v := range s.subjects[subject] {
		if v.ID == id {
			break
		}
		out = append(out, clone(v.Schema))
	}
	return out
}

// Complete returns the schema with the text of each reference, and with what those refer
// to before them, so that it can be read without the registry.
func (s *Shelf) Complete(sch schema.Schema) (schema.Schema, error) {
	var all []schema.Reference
	add := func(ref schema.Reference) {
		if !slices.ContainsFunc(all, func(have schema.Reference) bool { return have.Name == ref.Name }) {
			all = append(all, ref)
		}
	}
	for _, ref := range sch.References {
		if ref.Subject == "" {
			if ref.Text == "" {
				return sch, fmt.Errorf("the reference %s names neither a subject nor a text: register it first and name its subject and version", ref.Name)
			}
			add(ref)
			continue
		}
		versions := s.subjects[ref.Subject]
		at := slices.IndexFunc(versions, func(v schema.Version) bool { return v.Number == ref.Version })
		if at < 0 {
			return sch, fmt.Errorf("%w: the reference %s is to version %d of subject %s, which is not registered: register it first",
				schema.ErrUnknownSchema, ref.Name, ref.Version, ref.Subject)
		}
		for _, deeper := range versions[at].Schema.References {
			add(deeper)
		}
		ref.Text = versions[at].Schema.Text
		add(ref)
	}
	sch.References = all
	return sch, nil
}

func clone(s schema.Schema) schema.Schema {
	s.References = slices.Clone(s.References)
	return s
}

func copied(v schema.Version) schema.Version {
	v.Schema = clone(v.Schema)
	return v
}
