package sqltext

import (
	"fmt"
	"strings"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// CountClasses words the question how many sagas of each class a timeless filter chooses. It costs what
// the classes are, however many sagas they have. The rows are classes ([Class]).
func (d *Dialect) CountClasses(f *facts.Filter) Statement {
	a := Args{mark: d.Mark}
	parts := []string{"1 = 1"}
	for _, c := range d.conditions(f) {
		parts = append(parts, c.word(&a, false))
	}
	const columns = "s.saga, s.version, s.status, s.is_open, s.terms"
	classes := fmt.Sprintf("SELECT %s, CAST(sum(s.sagas) AS bigint) AS sagas FROM %s s WHERE %s GROUP BY %s HAVING sum(s.sagas) > 0",
		columns, d.Counts, strings.Join(parts, " AND "), columns)
	oldest := fmt.Sprintf("SELECT s.started FROM %s s WHERE %s ORDER BY s.started LIMIT 1", d.Table, d.OfClass)
	return Statement{fmt.Sprintf("SELECT c.saga, c.version, c.status, c.terms, c.sagas, CASE WHEN c.is_open THEN (%s) END FROM (%s) c",
		oldest, classes), a.List}
}

// Class is a row that the statement of CountClasses yields.
type Class struct {
	Saga    []byte
	Version int
	Status  []byte
	Sagas   int64
	Oldest  *int64
}

// AddTo adds the sagas of a class to a counter.
func (k *Class) AddTo(c *facts.Counter, terms []string) {
	f := facts.Facts{Saga: string(k.Saga), Version: k.Version, Status: string(k.Status)}
	for _, t := range terms {
		switch kind, value := t[:1], t[1:]; kind {
		case StepTerm:
			f.Steps = append(f.Steps, value)
		case ServiceTerm:
			f.Services = append(f.Services, value)
		case CodeTerm:
			f.Codes = append(f.Codes, value)
		}
	}
	oldest := int64(facts.Open)
	if k.Oldest != nil {
		oldest = *k.Oldest
	}
	c.Class(&f, k.Sagas, oldest)
}

// CountEach words the question how many sagas of each key a filter chooses, whatever it asks for: all
// sagas that it chooses are read. The rows have what the key is made of ([Group]), how many, and the
// start of the oldest that is open, or NULL.
func (d *Dialect) CountEach(f *facts.Filter, by tracker.Group) Statement {
	a := Args{mark: d.Mark}
	join, keys := "", "s.saga"
	parts := []string{"1 = 1"}
	version := "0"
	term := "s.saga"
	kind := ""
	switch by {
	case tracker.GroupStatus:
		keys = "s.status"
	case tracker.GroupVersion:
		version = "s.version"
	case tracker.GroupStep:
		version, term, kind = "s.version", "t.term", StepTerm
	case tracker.GroupService:
		keys, term, kind = "t.term", "t.term", ServiceTerm
	case tracker.GroupCode:
		keys, term, kind = "t.term", "t.term", CodeTerm
	case tracker.GroupSaga, "":
	}
	if kind != "" {
		join = d.JoinTerms
		parts = append(parts, d.TermKind(&a, kind))
	}
	if term == "s.saga" {
		term = keys
	}
	for _, c := range d.conditions(f) {
		parts = append(parts, c.word(&a, true)) // here the planner is right: all of them are read
	}
	open := a.Add(int64(facts.Open))
	group := []string{keys}
	if version != "0" {
		group = append(group, version)
	}
	if term != keys {
		group = append(group, term)
	}
	return Statement{fmt.Sprintf("SELECT %s, %s, %s, count(*), min(CASE WHEN s.ended = %s THEN s.started END) FROM %s s %s WHERE %s GROUP BY %s",
		keys, version, term, open, d.Table, join, strings.Join(parts, " AND "), strings.Join(group, ", ")), a.List}
}

// Group is a row that the statement of CountEach yields.
type Group struct {
	Name    []byte
	Version int
	Term    []byte
	Count   int64
	Oldest  *int64
}

// AddTo adds the row to a counter.
func (g *Group) AddTo(c *facts.Counter, by tracker.Group) {
	oldest := int64(facts.Open)
	if g.Oldest != nil {
		oldest = *g.Oldest
	}
	c.Add(countKey(by, string(g.Name), g.Version, string(g.Term)), g.Count, oldest)
}

// countKey returns the key that a row of CountEach stands for. A term begins with its kind.
func countKey(by tracker.Group, name string, version int, term string) string {
	switch by {
	case tracker.GroupVersion:
		return facts.VersionKey(name, version)
	case tracker.GroupStep:
		return facts.StepKey(name, version, term[1:])
	case tracker.GroupService, tracker.GroupCode:
		return name[1:]
	case tracker.GroupStatus, tracker.GroupSaga:
		return name
	}
	return ""
}
