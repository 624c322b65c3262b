package trackertest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// chooses checks which of the sagas a filter chooses.
func (x *exercise) chooses(f tracker.Filter, want ...*tracker.Snapshot) {
	x.Helper()
	require.Equal(x, titles(want), titles(x.page(x, tracker.Query{Filter: f, Limit: 1000}).Sagas), "%+v", f)
	require.Equal(x, int64(len(want)), x.count(x, f, "")[0].Count, "%+v", f)
}

func (x *exercise) eachField() {
	plain, other, waits, stuckAt, undo, parked, turned := saga(1), saga(2), saga(3), saga(4), saga(5), saga(6), saga(7)
	other.Saga, other.Version, other.Status = "refund", 2, choreo.StatusCompensating
	waits.Next = []tracker.Next{{Step: "charge", Service: "payments", Ready: true}, {Step: "ship", Service: "stock"}}
	plain.Steps = []tracker.Step{{Name: "charge", Service: "payments", Status: choreo.StepFailing, Error: &tracker.Error{Code: "late"}}}
	stuckAt.Steps = []tracker.Step{{Name: "ship", Service: "stock", Status: choreo.StepRetried, Error: &tracker.Error{Code: "late"}}}
	undo.Steps = []tracker.Step{{Name: "charge", Service: "payments", Status: choreo.StepUndoFailed}}
	parked.Parked = []tracker.Parked{{Service: "mail", Since: instant(1), Error: &tracker.Error{Code: "bad"}}, {Service: "stock", Since: instant(2)}}
	turned.Cause = &tracker.Cause{Code: "bad", Step: "charge"}
	x.put(plain, other, waits, stuckAt, undo, parked, turned)
	all := []*tracker.Snapshot{plain, other, waits, stuckAt, undo, parked, turned}

	x.chooses(tracker.Filter{}, all...)
	x.chooses(tracker.Filter{Sagas: []string{}, Versions: []int{}, Statuses: []choreo.Status{}, Steps: []string{}, Services: []string{}, Codes: []string{}}, all...)
	x.chooses(tracker.Filter{Sagas: []string{"refund"}}, other)
	x.chooses(tracker.Filter{Sagas: []string{"refund", "order", "order"}}, all...)
	x.chooses(tracker.Filter{Sagas: []string{""}})
	x.chooses(tracker.Filter{Versions: []int{2, 3}}, other)
	x.chooses(tracker.Filter{Versions: []int{math.MinInt64, math.MaxInt64}})
	x.chooses(tracker.Filter{Statuses: []choreo.Status{choreo.StatusCompensating}}, other)
	x.chooses(tracker.Filter{Statuses: []choreo.Status{"Compensating"}})
	x.chooses(tracker.Filter{Steps: []string{"charge"}}, waits, undo)
	x.chooses(tracker.Filter{Steps: []string{"ship", "none"}}, stuckAt)
	x.chooses(tracker.Filter{Services: []string{"payments"}}, waits, undo)
	x.chooses(tracker.Filter{Services: []string{"stock", "mail"}}, stuckAt, parked)
	x.chooses(tracker.Filter{Codes: []string{"bad"}}, parked, turned)
	x.chooses(tracker.Filter{Codes: []string{"late"}}, stuckAt)
	x.chooses(tracker.Filter{Steps: []string{""}})
	x.chooses(tracker.Filter{Services: []string{""}})
	x.chooses(tracker.Filter{Codes: []string{""}})
	x.chooses(tracker.Filter{Codes: []string{"charge"}})
	x.chooses(tracker.Filter{Services: []string{"stock"}, Codes: []string{"late"}, Steps: []string{"ship"}}, stuckAt)
	x.chooses(tracker.Filter{Services: []string{"stock"}, Codes: []string{"bad"}, Search: "0006"}, parked)
	x.chooses(tracker.Filter{Services: []string{"stock"}, Steps: []string{"charge"}})
}

func (x *exercise) bounds() {
	all := sagas(10, func(n int, s *tracker.Snapshot) { s.UpdatedAt = instant(20 + n) })
	x.put(all...)
	x.chooses(tracker.Filter{StartedFrom: instant(4)}, all[4:]...)
	x.chooses(tracker.Filter{StartedTo: instant(4)}, all[:4]...)
	x.chooses(tracker.Filter{StartedFrom: instant(4), StartedTo: instant(6)}, all[4:6]...)
	x.chooses(tracker.Filter{StartedFrom: instant(6), StartedTo: instant(4)})
	x.chooses(tracker.Filter{UpdatedTo: instant(23)}, all[:3]...)
	x.chooses(tracker.Filter{UpdatedTo: instant(23), StartedFrom: instant(2)}, all[2])
	x.chooses(tracker.Filter{StartedFrom: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), UpdatedTo: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, all...)
	x.chooses(tracker.Filter{StartedTo: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)})
}

// followsChanges asks again after each change of one saga.
func (x *exercise) followsChanges() {
	s := saga(1)
	for i, step := range []string{"reserve", "charge", "ship"} {
		s = next(s, instant(10+i))
		s.Next = []tracker.Next{{Step: step, Service: "of-" + step, Ready: true}}
		s.Cause = &tracker.Cause{Code: "at-" + step}
		s.Tags = map[string]string{"at": step}
		s.Version = i
		x.put(s)
		for _, other := range []string{"reserve", "charge", "ship"} {
			var want []*tracker.Snapshot
			if other == step {
				want = []*tracker.Snapshot{s}
			}
			x.chooses(tracker.Filter{Steps: []string{other}}, want...)
			x.chooses(tracker.Filter{Services: []string{"of-" + other}}, want...)
			x.chooses(tracker.Filter{Codes: []string{"at-" + other}}, want...)
			x.chooses(tracker.Filter{Search: "at=" + other}, want...)
		}
		x.chooses(tracker.Filter{Versions: []int{i}}, s)
		sameCounts(x, []tracker.Count{{Key: fmt.Sprintf("order/%d/%s", i, step), Count: 1, Oldest: &s.StartedAt}}, x.count(x, tracker.Filter{}, tracker.GroupStep))
		sameCounts(x, []tracker.Count{{Key: "of-" + step, Count: 1, Oldest: &s.StartedAt}}, x.count(x, tracker.Filter{}, tracker.GroupService))
	}
	s = next(s, instant(50))
	s.Next, s.Cause, s.Tags = nil, nil, nil
	x.put(s)
	x.chooses(tracker.Filter{Steps: []string{"ship"}})
	for _, by := range []tracker.Group{tracker.GroupStep, tracker.GroupService, tracker.GroupCode} {
		require.Empty(x, x.count(x, tracker.Filter{}, by))
	}
}

func (x *exercise) search() {
	anna, ben, long := saga(1), saga(2), saga(12)
	anna.Tags = map[string]string{"customer": "Anna Müller", "region": "EU"}
	ben.Tags = map[string]string{"customer": "Ben", "region": "US", "voucher": "a=b"}
	long.ID = "Prefix-ÄRGER-0012"
	x.put(anna, ben, long)
	search := func(text string, want ...*tracker.Snapshot) {
		x.Helper()
		x.chooses(tracker.Filter{Search: text}, want...)
	}
	search("order-0001", anna)
	search("ORDER-000", anna, ben)
	search("001", anna, long)
	search("ärger", long)
	search("ANNA", anna)
	search("müll", anna)
	search("MÜLL", anna)
	search("Customer=anna müller", anna)
	search("customer=anna")
	search("customer", []*tracker.Snapshot{}...)
	search("region=")
	search("=EU")
	search("region=eu", anna)
	search("a=b", ben)
	search("voucher=A=B", ben)
	search("order-0001anna")
	search("annaeu")
	search("mülLer ")
	search(" müller", anna)
	search("nobody")
}

// searchHostile finds each text by itself and finds nothing else by it.
func (x *exercise) searchHostile() {
	texts := slices.DeleteFunc(slices.Clone(hostile), func(s string) bool { return s == "" })
	var all reference
	for i, text := range texts {
		s := saga(i)
		s.ID = fmt.Sprintf("n%d", i)
		s.Tags = map[string]string{"key" + text: text}
		all.put(s)
	}
	x.put(all...)
	for _, text := range texts {
		for _, search := range []string{text, "key" + text + "=" + text, strings.ToUpper(text)} {
			f := tracker.Filter{Search: search}
			x.chooses(f, all.list(tracker.Query{Filter: f})...)
		}
	}
}

func (x *exercise) groups() {
	sameCounts(x, []tracker.Count{{}}, x.count(x, tracker.Filter{}, ""))
	for _, by := range groups[1:] {
		require.Empty(x, x.count(x, tracker.Filter{}, by))
	}
	a, b, c := saga(1), saga(2), ended(saga(3), instant(9))
	a.Next = []tracker.Next{{Step: "charge", Service: "payments", Ready: true}, {Step: "pack", Service: "payments", Ready: true}, {Step: "ship", Service: "stock"}}
	b.Next = []tracker.Next{{Step: "charge", Service: "payments", Ready: true}}
	b.Parked = []tracker.Parked{{Service: "mail", Error: &tracker.Error{Code: "bad"}}, {Service: "payments", Error: &tracker.Error{Code: "bad"}}}
	c.Cause = &tracker.Cause{Code: "bad"}
	c.Version = 12
	x.put(a, b, c)
	at := func(s *tracker.Snapshot) *time.Time { return &s.StartedAt }
	want := map[tracker.Group][]tracker.Count{
		"":                   {{Count: 3, Oldest: at(a)}},
		tracker.GroupStatus:  {{Key: "running", Count: 2, Oldest: at(a)}, {Key: "completed", Count: 1}},
		tracker.GroupSaga:    {{Key: "order", Count: 3, Oldest: at(a)}},
		tracker.GroupVersion: {{Key: "order/1", Count: 2, Oldest: at(a)}, {Key: "order/12", Count: 1}},
		tracker.GroupStep:    {{Key: "order/1/charge", Count: 2, Oldest: at(a)}, {Key: "order/1/pack", Count: 1, Oldest: at(a)}},
		tracker.GroupService: {{Key: "payments", Count: 2, Oldest: at(a)}, {Key: "mail", Count: 1, Oldest: at(b)}},
		tracker.GroupCode:    {{Key: "bad", Count: 2, Oldest: at(b)}},
	}
	for by, counts := range want {
		sameCounts(x, counts, x.count(x, tracker.Filter{}, by), by)
	}
	sameCounts(x, []tracker.Count{{Key: "mail", Count: 1, Oldest: at(b)}, {Key: "payments", Count: 1, Oldest: at(b)}},
		x.count(x, tracker.Filter{Services: []string{"mail"}}, tracker.GroupService), "at all services of the chosen sagas")
	sameCounts(x, []tracker.Count{{}}, x.count(x, tracker.Filter{Sagas: []string{"none"}}, ""))
}

func (x *exercise) countRefused() {
	for _, by := range []tracker.Group{"id", "status, id", "'"} {
		_, err := x.Model.Count(x.ctx, tracker.Filter{}, by)
		require.Error(x, err)
	}
}
