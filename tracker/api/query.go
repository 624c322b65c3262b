package api

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// Bounds of what a query may hold.
const (
	maxLimit     = 1000
	defaultLimit = 50
	maxValues    = 100  // of one parameter
	maxValue     = 1024 // bytes of one value
	maxCursor    = 4096
)

// parameters are the query of one request. Each is taken by its name; done tells those that nobody
// took. The first fault stands.
type parameters struct {
	values url.Values
	taken  map[string]bool
	fault  *Problem
}

func parseParameters(raw string) *parameters {
	p := &parameters{taken: map[string]bool{}}
	values, err := url.ParseQuery(raw)
	if err != nil {
		p.fail("", fmt.Sprintf("the query cannot be read: %v: escape what is special", err))
	}
	p.values = values
	return p
}

func (p *parameters) fail(name, detail string) {
	if p.fault == nil {
		p.fault = badParameter(name, detail)
	}
}

// many returns the values of a parameter that may be repeated.
func (p *parameters) many(name string) []string {
	p.taken[name] = true
	values := p.values[name]
	if len(values) > maxValues {
		p.fail(name, fmt.Sprintf("there are %d of it: at most %d", len(values), maxValues))
		return nil
	}
	for _, v := range values {
		p.checkText(name, v, maxValue)
		if v == "" {
			p.fail(name, "it is empty: leave it out to choose all")
		}
	}
	return values
}

func (p *parameters) checkText(name, value string, most int) {
	switch {
	case len(value) > most:
		p.fail(name, fmt.Sprintf("it has %d bytes: at most %d", len(value), most))
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		p.fail(name, "it is no UTF-8 text")
	}
}

// one returns the value of a parameter that stands there once at most.
func (p *parameters) one(name string, most int) (string, bool) {
	p.taken[name] = true
	switch values := p.values[name]; {
	case len(values) == 0:
		return "", false
	case len(values) > 1:
		p.fail(name, fmt.Sprintf("it is there %d times: give it once", len(values)))
		return "", false
	default:
		p.checkText(name, values[0], most)
		return values[0], true
	}
}

func (p *parameters) number(name string, def, least, most int) int {
	text, ok := p.one(name, maxValue)
	if !ok {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		p.fail(name, fmt.Sprintf("%.40q is no number from %d to %d", text, least, most))
		return def
	}
	return n
}

func (p *parameters) flag(name string) bool {
	text, ok := p.one(name, maxValue)
	switch {
	case !ok || text == "0" || text == "false":
		return false
	case text == "1" || text == "true":
		return true
	}
	p.fail(name, fmt.Sprintf("%.40q is neither 1 nor 0", text))
	return false
}

func (p *parameters) time(name string) time.Time {
	text, ok := p.one(name, maxValue)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		p.fail(name, fmt.Sprintf("%.40q is no time like 2026-01-31T12:00:00Z (write a '+' as %%2B)", text))
		return time.Time{}
	}
	return t.UTC()
}

// done returns the first fault. Parameters that nobody took are one: a typing error in a filter
// must not choose everything.
func (p *parameters) done() error {
	for name := range p.values {
		if p.taken[name] {
			continue
		}
		detail := "there is no such parameter here: there is none at all"
		if len(p.taken) > 0 {
			detail = "there is no such parameter here: use " + strings.Join(slices.Sorted(maps.Keys(p.taken)), ", ")
		}
		p.fail(strings.ToValidUTF8(name[:min(len(name), 64)], "\uFFFD"), detail)
	}
	if p.fault != nil {
		return p.fault
	}
	return nil
}

func statuses() []choreo.Status {
	return []choreo.Status{
		choreo.StatusRunning, choreo.StatusCancelling, choreo.StatusCompensating, choreo.StatusParked,
		choreo.StatusStuck, choreo.StatusCompleted, choreo.StatusCompensated, choreo.StatusFailed,
	}
}

func (p *parameters) filter() tracker.Filter {
	f := tracker.Filter{
		Sagas: p.many("saga"), Steps: p.many("step"), Services: p.many("service"), Codes: p.many("code"),
		StartedFrom: p.time("started_from"), StartedTo: p.time("started_to"), UpdatedTo: p.time("updated_to"),
	}
	f.Search, _ = p.one("q", maxValue)
	for _, text := range p.many("version") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			p.fail("version", fmt.Sprintf("%.40q is no number from 1 on", text))
			continue
		}
		f.Versions = append(f.Versions, n)
	}
	for _, text := range p.many("status") {
		status := choreo.Status(text)
		if !slices.Contains(statuses(), status) {
			p.fail("status", fmt.Sprintf("%.40q is no status: use one of %s", text, join(statuses())))
			continue
		}
		f.Statuses = append(f.Statuses, status)
	}
	if !f.StartedFrom.IsZero() && !f.StartedTo.IsZero() && !f.StartedFrom.Before(f.StartedTo) {
		p.fail("started_to", "it is not after started_from")
	}
	return f
}

func (p *parameters) query() tracker.Query {
	q := tracker.Query{Filter: p.filter(), Order: tracker.ByStarted, Limit: p.number("limit", defaultLimit, 1, maxLimit)}
	q.After, _ = p.one("after", maxCursor)
	sort, ok := p.one("sort", maxValue)
	if !ok {
		q.Descending = true // the newest is what people look for
		return q
	}
	word, descending := strings.CutPrefix(sort, "-")
	orders := []tracker.Order{tracker.ByStarted, tracker.ByUpdated, tracker.ByEnded}
	if !slices.Contains(orders, tracker.Order(word)) {
		p.fail("sort", fmt.Sprintf("%.40q is no order: use one of %s, with '-' before it for the other direction", sort, join(orders)))
	}
	q.Order, q.Descending = tracker.Order(word), descending
	return q
}

func (p *parameters) group(name string) tracker.Group {
	text, ok := p.one(name, maxValue)
	groups := []tracker.Group{
		tracker.GroupStatus, tracker.GroupSaga, tracker.GroupVersion,
		tracker.GroupStep, tracker.GroupService, tracker.GroupCode,
	}
	switch {
	case !ok:
		return tracker.GroupStatus
	case !slices.Contains(groups, tracker.Group(text)):
		p.fail(name, fmt.Sprintf("%.40q is no group: use one of %s", text, join(groups)))
	}
	return tracker.Group(text)
}

func join[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	return strings.Join(texts, ", ")
}
