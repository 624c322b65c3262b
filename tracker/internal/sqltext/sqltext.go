package sqltext

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/internal/facts"
)

// maxBranches bounds the statuses of which each index is walked.
const maxBranches = 16

// Dialect is what sets the databases apart.
type Dialect struct {
	Table string // quoted
	// Few is up to how many sagas of one condition are read and sorted for one page.
	Few int64
	// Mark is what stands before the number of a parameter.
	Mark string
	// HasTerm yields a condition that s.terms holds one of the terms, without an index.
	HasTerm func(a *Args, terms []string) string
	// ByTerm yields the same condition with an index.
	ByTerm func(a *Args, terms []string) string
	// Contains yields a condition that a column contains the bytes of a parameter.
	Contains func(column, parameter string) string
	// Unindexed words a column so that no index serves a condition on it.
	Unindexed func(column string) string
	// Busy follows the table's name where those that have terms are walked by start or update.
	Busy func(column string) string
	// JoinTerms joins s with its terms, as t.term.
	JoinTerms string
	// TermKind is a condition that t.term is of a kind.
	TermKind func(a *Args, kind string) string
	// Counts is the table of how many sagas each class has, quoted. A class is what is the same
	// in its sagas: saga, version, status, terms, and whether they are open.
	Counts string
	// OfClass is a condition that s, which is open, is of the class c; an index serves it in the
	// order of the start.
	OfClass string
	// Key is the name of what identifies a row in other tables, and Payload a join of k
	// with what yields p.snapshot.
	Key, Payload string
}

// The kinds of terms, which are their first letter.
const (
	StepTerm    = "s"
	ServiceTerm = "v"
	CodeTerm    = "c"
)

// Terms returns the terms of a saga: what it can be found by of which it may have several.
func Terms(f *facts.Facts) []string {
	terms := make([]string, 0, len(f.Steps)+len(f.Services)+len(f.Codes))
	terms = append(terms, prefixed(StepTerm, f.Steps)...)
	terms = append(terms, prefixed(ServiceTerm, f.Services)...)
	return append(terms, prefixed(CodeTerm, f.Codes)...)
}

func prefixed(kind string, values []string) []string {
	terms := make([]string, len(values))
	for i, v := range values {
		terms[i] = kind + v
	}
	return terms
}

// Args collects the parameters of a statement.
type Args struct {
	List []any
	mark string
}

// Add adds a parameter and returns how the statement names it.
func (a *Args) Add(v any) string {
	if s, ok := v.(string); ok {
		v = []byte(s) // a text may hold NUL, which PostgreSQL's type of texts does not
	}
	a.List = append(a.List, v)
	return a.mark + strconv.Itoa(len(a.List))
}

// Bytes adds a parameter that is an array of bytes.
func (a *Args) Bytes(texts []string) string { return a.Add(ByteSlices(texts)) }

// ByteSlices returns the texts as bytes.
func ByteSlices(texts []string) [][]byte {
	list := make([][]byte, len(texts))
	for i, t := range texts {
		list[i] = []byte(t)
	}
	return list
}

// In yields a condition that a column has one of the values.
func In[T any](a *Args, column string, values []T) string {
	if len(values) == 0 {
		return "1 = 0"
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = a.Add(v)
	}
	return column + " IN (" + strings.Join(names, ", ") + ")"
}

// Statement is a statement with its parameters.
type Statement struct {
	SQL  string
	Args []any
}

// condition is one condition of a filter. word words it, for use with or without an index.
type condition struct {
	driver bool // it has an index
	status bool // it is the one on statuses
	term   bool // it is one on terms
	word   func(a *Args, indexed bool) string
}

// conditions returns what the filter asks for.
func (d *Dialect) conditions(f *facts.Filter) []condition {
	var list []condition
	add := func(chosen, driver bool, word func(a *Args, indexed bool) string) {
		if chosen {
			list = append(list, condition{driver: driver, word: word})
		}
	}
	column := func(name string, indexed bool) string {
		if indexed {
			return "s." + name
		}
		return d.Unindexed("s." + name)
	}
	terms := func(kind string, values []string) {
		add(values != nil, true, func(a *Args, indexed bool) string {
			if indexed {
				return d.ByTerm(a, prefixed(kind, values))
			}
			return d.HasTerm(a, prefixed(kind, values))
		})
		if values != nil {
			list[len(list)-1].term = true
		}
	}
	terms(StepTerm, f.Steps)
	terms(ServiceTerm, f.Services)
	terms(CodeTerm, f.Codes)
	add(f.Sagas != nil, true, func(a *Args, indexed bool) string { return In(a, column("saga", indexed), f.Sagas) })
	add(f.Statuses != nil, true, func(a *Args, indexed bool) string { return In(a, column("status", indexed), f.Statuses) })
	if f.Statuses != nil {
		list[len(list)-1].status = true
	}
	add(f.Versions != nil, false, func(a *Args, _ bool) string { return In(a, "s.version", f.Versions) })
	add(f.HasFrom || f.HasTo, true, func(a *Args, indexed bool) string {
		var parts []string
		if f.HasFrom {
			parts = append(parts, column("started", indexed)+" >= "+a.Add(f.From))
		}
		if f.HasTo {
			parts = append(parts, column("started", indexed)+" < "+a.Add(f.To))
		}
		return strings.Join(parts, " AND ")
	})
	add(f.HasUntil, true, func(a *Args, indexed bool) string { return column("updated", indexed) + " < " + a.Add(f.UpdatedTo) })
	add(f.Search != "", false, func(a *Args, _ bool) string {
		return "(" + d.Contains("s.parts", a.Add(f.Parts())) + " OR " + d.Contains("s.tags", a.Add(f.Tags())) + ")"
	})
	return list
}

// List is a page's question.
type List struct {
	dialect    *Dialect
	query      *facts.Query
	conditions []condition
	driver     int // of conditions; -1: none
}

// NewList words a query.
func (d *Dialect) NewList(q *facts.Query) *List {
	return &List{dialect: d, query: q, conditions: d.conditions(q.Filter), driver: -1}
}

// Plan chooses the way to read. count runs a statement that yields one number.
func (l *List) Plan(count func(Statement) (int64, error)) error {
	fewest := l.dialect.Few
	for i, c := range l.conditions {
		if !c.driver {
			continue
		}
		a := Args{mark: l.dialect.Mark}
		sql := fmt.Sprintf("SELECT count(*) FROM (SELECT 1 AS one FROM %s s WHERE %s LIMIT %d) n", l.dialect.Table, c.word(&a, true), fewest+1)
		n, err := count(Statement{sql, a.List})
		if err != nil {
			return err
		}
		if n <= fewest {
			fewest, l.driver = n, i
		}
		if fewest == 0 {
			break
		}
	}
	return nil
}

// Walks reports whether pages are read along an index, which the planner may have to be told.
func (l *List) Walks() bool { return l.driver < 0 }

// Pages words the statements that yield the page: each what comes behind what the ones before yield. The
// rows have the time that the order is by, saga, id and snapshot. One row more than the page is
// asked for, which says that another page follows.
func (l *List) Pages() []func(limit int) Statement {
	q := l.query
	if q.Order != tracker.ByEnded || !q.Descending {
		return []func(int) Statement{func(limit int) Statement { return l.page(limit, "", q.After) }}
	}
	// Those that have not ended come last here, too.
	open := func(after *facts.Key) func(int) Statement {
		return func(limit int) Statement { return l.page(limit, "s.ended = %s", after) }
	}
	if q.After != nil && q.After.Time == facts.Open {
		return []func(int) Statement{open(q.After)}
	}
	return []func(int) Statement{
		func(limit int) Statement { return l.page(limit, "s.ended < %s", q.After) },
		open(nil),
	}
}

func (l *List) page(limit int, segment string, after *facts.Key) Statement {
	a := Args{mark: l.dialect.Mark}
	column := map[tracker.Order]string{tracker.ByStarted: "started", tracker.ByUpdated: "updated", tracker.ByEnded: "ended"}[l.query.Order]
	keys := l.keys(&a, column, segment, after, limit)
	sql := fmt.Sprintf("SELECT k.place, k.saga, k.id, p.snapshot FROM (%s) k %s ORDER BY %s", keys, l.dialect.Payload,
		l.order("k.place", "k.saga", "k.id"))
	return Statement{sql, a.List}
}

func (l *List) order(columns ...string) string {
	if l.query.Descending {
		for i := range columns {
			columns[i] += " DESC"
		}
	}
	return strings.Join(columns, ", ")
}

// keys words the question for the places of the page alone.
func (l *List) keys(a *Args, column, segment string, after *facts.Key, limit int) string {
	statuses := l.query.Statuses
	if l.driver < 0 && l.query.Order != tracker.ByEnded && !l.busy() && len(statuses) > 0 && len(statuses) <= maxBranches {
		branches := make([]string, len(statuses))
		for i, status := range statuses {
			where := l.where(a, column, segment, after, status)
			branches[i] = fmt.Sprintf("SELECT * FROM (%s) b%d", l.walk(column, where, limit), i)
		}
		if len(branches) == 1 {
			return branches[0]
		}
		return fmt.Sprintf("SELECT * FROM (%s) m ORDER BY %s LIMIT %d", strings.Join(branches, " UNION ALL "), l.order("place", "saga", "id"), limit)
	}
	where := l.where(a, column, segment, after, "")
	if l.driver < 0 {
		return l.walk(column, where, limit)
	}
	// What is materialised is read by the driver's index, whatever the planner thinks.
	d := l.dialect
	return fmt.Sprintf("WITH f AS MATERIALIZED (SELECT %s, s.%s AS place, s.saga, s.id FROM %s s WHERE %s) SELECT * FROM f ORDER BY %s LIMIT %d",
		d.Key, column, d.Table, where, l.order("place", "saga", "id"), limit)
}

func (l *List) walk(column, where string, limit int) string {
	d := l.dialect
	busy := ""
	if l.busy() && l.query.Order != tracker.ByEnded {
		busy = d.Busy(column)
	}
	return fmt.Sprintf("SELECT %s, s.%s AS place, s.saga, s.id FROM %s s%s WHERE %s ORDER BY %s LIMIT %d",
		d.Key, column, d.Table, busy, where, l.order("s."+column, "s.saga", "s.id"), limit)
}

// busy reports whether the query is for sagas that have terms.
func (l *List) busy() bool {
	return slices.ContainsFunc(l.conditions, func(c condition) bool { return c.term })
}

// where words the conditions. A status, if not empty, stands for the condition on statuses.
func (l *List) where(a *Args, column, segment string, after *facts.Key, status string) string {
	parts := []string{"1 = 1"}
	indexed := l.driver < 0
	if segment != "" {
		part := fmt.Sprintf(segment, a.Add(int64(facts.Open)))
		if !indexed {
			part = strings.Replace(part, "s.ended", l.dialect.Unindexed("s.ended"), 1)
		}
		parts = append(parts, part)
	}
	if after != nil {
		than := ">"
		if l.query.Descending {
			than = "<"
		}
		place := "s." + column
		if !indexed {
			place = l.dialect.Unindexed(place)
		}
		parts = append(parts, fmt.Sprintf("(%s, s.saga, s.id) %s (%s, %s, %s)", place, than, a.Add(after.Time), a.Add(after.Saga), a.Add(after.ID)))
	}
	if status != "" {
		parts = append(parts, "s.status = "+a.Add(status))
	}
	for i, c := range l.conditions {
		if status == "" || !c.status {
			parts = append(parts, c.word(a, i == l.driver))
		}
	}
	return strings.Join(parts, " AND ")
}
