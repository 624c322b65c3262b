package trackertest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// epochUnix is where the drawn times begin. There are few of them, so that many are equal.
const epochUnix = 1_772_366_400_123_456_789

func instant(n int) time.Time { return time.Unix(0, epochUnix+int64(n)).UTC() }

var (
	statuses = []choreo.Status{
		choreo.StatusRunning, choreo.StatusCancelling, choreo.StatusCompensating, choreo.StatusParked,
		choreo.StatusStuck, choreo.StatusCompleted, choreo.StatusCompensated, choreo.StatusFailed,
	}
	stepStatuses = []choreo.StepStatus{
		choreo.StepIdle, choreo.StepReady, choreo.StepDone, choreo.StepBypassed, choreo.StepFailing,
		choreo.StepNotRun, choreo.StepRetried, choreo.StepUndoing, choreo.StepUndone, choreo.StepUndoFailed,
	}
	orders = []tracker.Order{"", tracker.ByStarted, tracker.ByUpdated, tracker.ByEnded}
	groups = []tracker.Group{
		"", tracker.GroupStatus, tracker.GroupSaga, tracker.GroupVersion,
		tracker.GroupStep, tracker.GroupService, tracker.GroupCode,
	}
	// hostile are texts that mean something to a database, or that are easily mangled on the way.
	hostile = []string{
		"", "%", "_", "a%b", `\`, `\%`, "'", `"`, "''; DROP TABLE saga; --", "$1", "?", "*", "a*c", "[a-z]", "{x}:y",
		"a:b", "a/b", "a=b", "=", "a|b", "a,b", " ", "\t", "\n", "line\r\nbreak", "\x00", "a\x00b", "\x01", "\x7f",
		"É", "é", "e\u0301", "ß", "ẞ", "İ", "ı", "Σς", "日本語", "🧾", "\u202eevil", "\ufffd", "NULL", "nil", "0", "-1",
		"<script>alert(1)</script>", "{\"a\":1}", "order-1", "ORDER-1", "order-10",
	}
)

// names are the few texts that a field of a test's sagas can have, so that filters hit.
type names struct{ sagas, ids, steps, services, codes, tags, values []string }

func plainNames() names {
	n := names{
		sagas: []string{"order", "refund", "order-archive"}, steps: []string{"reserve", "charge", "ship"},
		services: []string{"stock", "payments", "payments-eu"}, codes: []string{"card_declined", "timeout", "x"},
		tags: []string{"customer", "Region"}, values: []string{"4711", "471", "Anna", "anna-b", "EU", "eu=1"},
	}
	for i := range 200 {
		n.ids = append(n.ids, fmt.Sprintf("order-%03d", i))
	}
	return n
}

func hostileNames() names {
	some := slices.DeleteFunc(slices.Clone(hostile), func(s string) bool { return s == "" })
	return names{sagas: some, ids: some, steps: hostile, services: hostile, codes: hostile, tags: hostile, values: hostile}
}

func (n names) snapshot() *rapid.Generator[*tracker.Snapshot] {
	return rapid.Custom(func(t *rapid.T) *tracker.Snapshot {
		s := &tracker.Snapshot{
			ID: rapid.SampledFrom(n.ids).Draw(t, "id"), Saga: rapid.SampledFrom(n.sagas).Draw(t, "saga"),
			Version:   rapid.SampledFrom([]int{1, 2, 2, 3, 11}).Draw(t, "version"),
			Status:    rapid.SampledFrom(statuses).Draw(t, "status"),
			StartedAt: moment(t, "started"), UpdatedAt: moment(t, "updated"),
			Partition: rapid.Int32Range(0, 3).Draw(t, "partition"), Offset: rapid.Int64Range(0, 40).Draw(t, "offset"),
			Events: rapid.Int64Range(1, 30).Draw(t, "events"), Unknown: rapid.IntRange(0, 3).Draw(t, "unknown") == 0,
		}
		if s.Status.Ended() {
			ended := moment(t, "ended")
			s.EndedAt = &ended
		}
		for range rapid.IntRange(0, 2).Draw(t, "tags") {
			if s.Tags == nil {
				s.Tags = map[string]string{}
			}
			s.Tags[rapid.SampledFrom(n.tags).Draw(t, "tag")] = rapid.SampledFrom(n.values).Draw(t, "value")
		}
		if rapid.Bool().Draw(t, "turned") {
			s.Cause = &tracker.Cause{Class: choreo.ClassPermanent, Code: rapid.SampledFrom(n.codes).Draw(t, "cause")}
		}
		s.Steps = []tracker.Step{}
		for range rapid.IntRange(0, 3).Draw(t, "steps") {
			s.Steps = append(s.Steps, tracker.Step{
				Name: rapid.SampledFrom(n.steps).Draw(t, "step"), Service: rapid.SampledFrom(n.services).Draw(t, "owner"),
				Status: rapid.SampledFrom(stepStatuses).Draw(t, "step status"), Error: n.error(t),
			})
		}
		for range rapid.IntRange(0, 3).Draw(t, "next") {
			s.Next = append(s.Next, tracker.Next{
				Step: rapid.SampledFrom(n.steps).Draw(t, "next step"), Service: rapid.SampledFrom(n.services).Draw(t, "next service"),
				Run: choreo.RunExecute, Ready: rapid.Bool().Draw(t, "ready"),
			})
		}
		for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "parked") {
			s.Parked = append(s.Parked, tracker.Parked{
				Service: rapid.SampledFrom(n.services).Draw(t, "parked by"), Since: moment(t, "since"), Error: n.error(t),
			})
		}
		return s
	})
}

func (n names) error(t *rapid.T) *tracker.Error {
	if rapid.Bool().Draw(t, "no error") {
		return nil
	}
	return &tracker.Error{Class: choreo.ClassTimeout, Code: rapid.SampledFrom(n.codes).Draw(t, "code"), Message: "it's 100 % \"off\"\n"}
}

func moment(t *rapid.T, label string) time.Time {
	return instant(rapid.IntRange(0, 60).Draw(t, label))
}

func (n names) filter() *rapid.Generator[tracker.Filter] {
	return rapid.Custom(func(t *rapid.T) tracker.Filter {
		var f tracker.Filter
		// Half of the filters have one field, the others any.
		fields := []string{"sagas", "versions", "statuses", "steps", "services", "codes", "from", "to", "updated", "search"}
		chosen := map[string]bool{rapid.SampledFrom(fields).Draw(t, "field"): true}
		if rapid.Bool().Draw(t, "combined") {
			for _, field := range rapid.SliceOfN(rapid.SampledFrom(fields), 0, 3).Draw(t, "more fields") {
				chosen[field] = true
			}
		}
		texts := func(from []string) []string {
			return rapid.SliceOfN(rapid.SampledFrom(slices.Concat(from, []string{"absent"})), 1, 3).Draw(t, "texts")
		}
		for _, field := range slices.Sorted(maps.Keys(chosen)) {
			switch field {
			case "sagas":
				f.Sagas = texts(n.sagas)
			case "versions":
				f.Versions = rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 2, 3, 11, -1}), 1, 3).Draw(t, "versions")
			case "statuses":
				f.Statuses = rapid.SliceOfN(rapid.SampledFrom(slices.Concat(statuses, []choreo.Status{"absent"})), 1, 4).Draw(t, "statuses")
			case "steps":
				f.Steps = texts(n.steps)
			case "services":
				f.Services = texts(n.services)
			case "codes":
				f.Codes = texts(n.codes)
			case "from":
				f.StartedFrom = moment(t, "from")
			case "to":
				f.StartedTo = moment(t, "to").In(time.FixedZone("away", 5*3600))
			case "updated":
				f.UpdatedTo = moment(t, "updated to")
			case "search":
				f.Search = n.search(t)
			}
		}
		return f
	})
}

// search draws a part of an id or a value, a whole tag, or a part of a tag, which finds nothing.
func (n names) search(t *rapid.T) string {
	value := rapid.SampledFrom(slices.Concat([]string{"order-01", "1"}, n.values, n.ids)).Draw(t, "search")
	switch rapid.IntRange(0, 3).Draw(t, "kind of search") {
	case 0:
		return rapid.SampledFrom(n.tags).Draw(t, "searched tag") + "=" + value
	case 1:
		runes := []rune(value)
		from := rapid.IntRange(0, len(runes)).Draw(t, "from")
		return string(runes[from:rapid.IntRange(from, len(runes)).Draw(t, "to")])
	case 2:
		return rapid.SampledFrom(n.tags).Draw(t, "searched name")
	}
	return value
}

func (n names) query() *rapid.Generator[tracker.Query] {
	return rapid.Custom(func(t *rapid.T) tracker.Query {
		q := tracker.Query{
			Order:      rapid.SampledFrom(orders).Draw(t, "order"),
			Descending: rapid.Bool().Draw(t, "descending"),
			Limit:      rapid.SampledFrom([]int{0, 1, 2, 3, 7, 50, 1000}).Draw(t, "limit"),
		}
		if rapid.IntRange(0, 9).Draw(t, "filtered") > 0 {
			q.Filter = n.filter().Draw(t, "filter")
		}
		return q
	})
}
