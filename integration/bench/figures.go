package main

import (
	"fmt"
	"slices"
	"time"
)

// kind is what a figure is for.
type kind int

const (
	bar    kind = iota // it has a target that it is to meet
	goal               // it has a target that is aimed at
	detail             // it explains others
	limit              // what the machine does without Choreo
)

// metric is a figure as it is known before it is measured.
type metric struct {
	name string
	what string // may name sizes, as {in-flight}
	unit string
	kind kind
	// target is what a bar or goal asks for: at most this much where less is better, at
	// least this much otherwise.
	target float64
	less   bool
}

// none is how many allocations an event may cost to count as costing none: what a fetch
// costs is spread over thousands of events.
const none = 0.01

const perSecond, millis, ratio = "/s", "ms", "×"

// catalog holds every figure, in the order in which they are told.
var catalog = slices.Concat(bars, detailMetrics(), limitMetrics())

// bars are the figures that Choreo is held to.
var bars = []metric{
	{"real.sagas", "sagas/s, Kafka + PostgreSQL, one process", perSecond, bar, 2000, false},
	{"real.against-bare", "the same, against the bare business statements", ratio, goal, 1, false},
	{"four.sagas", "sagas/s, Kafka + PostgreSQL, four processes", perSecond, bar, 2000, false},
	{"four.against-bare", "the same, against the bare business statements", ratio, goal, 1, false},
	{"embedded-postgres.sagas", "sagas/s, embedded broker + PostgreSQL", perSecond, bar, 3000, false},
	{"order.sagas", "sagas/s, examples/order (embedded broker, SQLite)", perSecond, bar, 3000, false},
	{"real.hop-p50", "step hop, idle, Kafka: p50", millis, bar, 3, true},
	{"real.hop-p99", "step hop, idle, Kafka: p99", millis, bar, 8, true},
	{"real.saga-p50", "five-step saga, idle, Kafka: p50", millis, bar, 15, true},
	{"relay.rows", "relay from a backlog of {backlog} rows to Kafka", "rows/s", bar, 60_000, false},
	{"skipped.kafka", "events that a participant skips, Kafka", perSecond, bar, 1e6, false},
	{"skipped.kafka-allocations", "allocations of an event skipped, Kafka", "", bar, none, true},
	{"skipped.embedded", "events that a participant skips, embedded broker", perSecond, bar, 1e6, false},
	{"skipped.embedded-allocations", "allocations of an event skipped, embedded broker", "", bar, none, true},
	{"old-rows.against-empty", "throughput with {old-steps} old step rows, against none", ratio, bar, 0.95, false},
	{"in-flight.rss", "memory of a participant, {in-flight} sagas in flight", "MB", bar, 150, true},
	{"hot-rows.against-uncontended", "throughput on {hot-rows} hot rows, against uncontended", ratio, bar, 0.8, false},
}

// burstSettings are the settings in which sagas are run in one process.
var burstSettings = []string{"memory", "embedded-sqlite", "embedded-postgres", "real"}

func detailMetrics() []metric {
	var list []metric
	add := func(name, what, unit string) {
		list = append(list, metric{name: name, what: what, unit: unit, kind: detail})
	}
	for _, s := range burstSettings {
		for _, m := range []struct{ name, what, unit string }{
			{"sagas", "sagas/s", perSecond}, {"steps", "steps/s", perSecond},
			{"hop-p50", "step hop, idle: p50", millis}, {"hop-p99", "step hop, idle: p99", millis},
			{"saga-p50", "saga, idle: p50", millis}, {"cpu-step", "CPU a step", "µs"},
			{"allocations-step", "allocations a step", ""}, {"bytes-step", "allocated bytes a step", "B"},
		} {
			if name := s + "." + m.name; !slices.ContainsFunc(bars, func(b metric) bool { return b.name == name }) {
				add(name, s+": "+m.what, m.unit)
			}
		}
	}
	add("real.bare", "bare business statements beside its bursts, sagas/s", perSecond)
	add("four.steps", "four processes: steps/s", perSecond)
	add("four.bare", "bare business statements beside its bursts, sagas/s", perSecond)
	add("skipped.decision", "the decision alone that an event is skipped", perSecond)
	add("old-rows.empty", "sagas/s on empty databases", perSecond)
	add("old-rows.old", "sagas/s on databases with old rows", perSecond)
	add("in-flight.rss-peak", "the most memory until all were in flight", "MB")
	add("in-flight.rss-before", "memory before the first saga", "MB")
	add("in-flight.heap", "heap after a collection, all in flight", "MB")
	add("hot-rows.uncontended", "sagas/s of two instances, all rows", perSecond)
	add("hot-rows.hot", "sagas/s of two instances, hot rows", perSecond)
	return list
}

func limitMetrics() []metric {
	var list []metric
	add := func(name, what, unit string) {
		list = append(list, metric{name: "limits." + name, what: what, unit: unit, kind: limit})
	}
	for _, n := range singleConnections {
		add(fmt.Sprintf("step-separate-%d", n), "one transaction a step, separate round trips, "+onConnections(n), "steps/s")
	}
	for _, n := range singleConnections {
		add(fmt.Sprintf("step-pipelined-%d", n), "one transaction a step, pipelined, "+onConnections(n), "steps/s")
	}
	add("step-idle-p50", "one transaction a step, pipelined, alone: p50", millis)
	for _, n := range groupConnections {
		for _, size := range groupSizes {
			add(fmt.Sprintf("group-%d-%d", size, n), fmt.Sprintf("one transaction for %d steps, %s", size, onConnections(n)), "steps/s")
		}
	}
	for _, n := range groupConnections {
		add(fmt.Sprintf("group-round-trips-%d", n), fmt.Sprintf("%d steps a transaction, a round trip each, %s", roundTripGroup, onConnections(n)), "steps/s")
	}
	add("business-sagas", "bare business statements, each its own commit", "sagas/s")
	add("business-saga-p50", "the same, alone: p50", millis)
	add("outbox-by-id", "outbox: read 1,000 in order, delete by id", "rows/s")
	add("outbox-by-range", "outbox: read 1,000 in order, delete by range", "rows/s")
	for _, sync := range []string{"normal", "full"} {
		for _, size := range sqliteSizes {
			add(fmt.Sprintf("sqlite-%s-%d", sync, size), fmt.Sprintf("SQLite WAL, synchronous %s, transactions of %d", sync, size), "steps/s")
		}
	}
	add("kafka-records", "bare kafka-go, 1,000 records a request", "records/s")
	add("kafka-record-p50", "bare kafka-go, one record alone: p50", millis)
	return list
}

func onConnections(n int) string {
	if n == 1 {
		return "one connection"
	}
	return fmt.Sprintf("%d connections", n)
}

// find returns a metric of the catalog.
func find(name string) (metric, bool) {
	i := slices.IndexFunc(catalog, func(m metric) bool { return m.name == name })
	if i < 0 {
		return metric{}, false
	}
	return catalog[i], true
}

// values are what was measured: by the name of the metric, a value for each run.
type values map[string][]float64

func (v values) add(name string, value float64) { v[name] = append(v[name], value) }

// median returns the middle value, and of an even number the mean of the middle two. It is 0
// of none.
func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 0:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	default:
		return sorted[n/2]
	}
}

// quantile returns the smallest of the durations that is not below a share q of them. It is
// 0 of none.
func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	rank := int(q*float64(len(sorted)) + 0.999999) // of the nearest rank, from 1
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }
