package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/database"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker"
)

// What is worth a look.
const (
	muchLag     = 1000             // events
	oldOutbox   = 30 * time.Second // of an event that is not published
	wrongClock  = 2 * time.Second
	staleEvents = 30.0 // seconds that a tracker may be behind
)

// published looks at what services have published.
func (d *patient) published(ctx context.Context) {
	contracts, err := readContracts(ctx, d.log, d.names.Definitions(), func(format string, args ...any) {
		d.warn("contracts", "use a choreo of the newest build", "%s", strings.TrimSuffix(fmt.Sprintf(format, args...), "."))
	})
	if d.broken("contracts", err) {
		return
	}
	d.contracts = contracts
	if len(contracts) == 0 {
		d.warn("contracts", "start a service: it publishes what it does", "no service has published anything")
	}
}

// topics looks at the topics of the sagas that are published.
func (d *patient) topics(ctx context.Context) {
	var sagas []choreo.AnySaga
	for i := range d.contracts {
		for _, def := range d.contracts[i].Definitions {
			doc, err := definition.Parse(def.String(), []byte(def.Document))
			if d.broken("contracts", err) {
				continue
			}
			sagas = append(sagas, doc.Definition)
		}
	}
	specs := topics.Topology(d.names, sagas, topics.TopologyOptions{})
	names := make([]string, len(specs))
	for i := range specs {
		names[i] = specs[i].Name
	}
	states, err := d.log.DescribeTopics(ctx, names...)
	if d.broken("topics", err) {
		return
	}
	faults := len(d.found)
	for _, spec := range specs {
		state, there := states[spec.Name]
		if !there {
			d.fail("topics", "'choreo topics apply' makes it", "there is no topic %s", spec.Name)
			continue
		}
		d.topic(spec, state)
	}
	for _, saga := range sagas {
		events, snapshots := states[d.names.Events(saga.Def().Name())], states[d.names.Tracker(saga.Def().Name())]
		if events.Partitions != snapshots.Partitions && events.Partitions > 0 && snapshots.Partitions > 0 {
			d.warn("topics", "give both as many: 'choreo topics apply --partitions'", "%s has %d partitions, its tracker topic %d",
				d.names.Events(saga.Def().Name()), events.Partitions, snapshots.Partitions)
		}
	}
	if len(d.found) == faults {
		d.ok("topics", "%s, as sagas need them", counted(len(specs), "topic", "topics"))
	}
}

// topic looks at the settings of one: what loses events is wrong, however it came to be.
func (d *patient) topic(spec topics.TopicSpec, state topics.TopicState) {
	want, has := spec.Settings["cleanup.policy"], state.Settings["cleanup.policy"]
	if want != "" && has != "" && !sameWords(want, has) {
		d.fail("topics", "'choreo topics apply' sets it", "%s has cleanup.policy=%s, and needs %s: else it loses what is needed", spec.Name, has, want)
	}
	if replicas := state.Settings["min.insync.replicas"]; replicas == "1" && spec.ReplicationFactor >= 3 {
		d.warn("topics", "'choreo topics apply --replication 3' sets it", "%s acknowledges with a single replica", spec.Name)
	}
}

func sameWords(a, b string) bool {
	words := func(s string) []string {
		all := strings.Split(strings.ReplaceAll(s, " ", ""), ",")
		slices.Sort(all)
		return all
	}
	return slices.Equal(words(a), words(b))
}

// agreement holds what is published against itself.
func (d *patient) agreement(context.Context) {
	faults := len(d.found)
	for _, contract := range d.contracts {
		others := slices.DeleteFunc(slices.Clone(d.contracts), func(o definition.Contract) bool { return o.Service == contract.Service })
		for _, f := range definition.Compare(contract, others) {
			if f.Severity == definition.Error {
				d.fail("contracts", f.WayOut, "%s: %s", contract.Service, f.Reason)
			} else {
				d.warn("contracts", f.WayOut, "%s: %s", contract.Service, f.Reason)
			}
		}
	}
	if len(d.contracts) > 0 && len(d.found) == faults {
		d.ok("contracts", "%s agree", counted(len(d.contracts), "service", "services"))
	}
}

// heard looks at what processes tell of themselves.
func (d *patient) heard(ctx context.Context) {
	statuses, err := d.cluster.Statuses(ctx)
	if d.broken("services", err) {
		return
	}
	d.statuses = statuses
	if len(statuses) == 0 {
		d.warn("services", "'choreo topics apply' makes "+d.names.Participants()+"; a service may have it switched off", "no process tells of itself")
		return
	}
	faults := len(d.found)
	services := map[string][]topics.Status{}
	for _, s := range statuses {
		services[s.Service] = append(services[s.Service], s)
	}
	for i := range d.contracts {
		if _, known := services[d.contracts[i].Service]; !known {
			services[d.contracts[i].Service] = nil
		}
	}
	for _, service := range sortedKeys(services) {
		d.service(service, services[service])
	}
	if len(d.found) == faults {
		d.ok("services", "%s with live processes", counted(len(services), "service", "services"))
	}
}

// service looks at the processes of one.
func (d *patient) service(name string, statuses []topics.Status) {
	var alive []topics.Status
	var builds []string
	for _, s := range statuses {
		if !d.cluster.Gone(&s) {
			alive = append(alive, s)
			builds = append(builds, s.Build)
		}
	}
	if len(alive) == 0 {
		mend := "start one; a service that is gone for good: 'choreo definition retire " + name + "'"
		d.fail("services", mend, "no process of %s runs: sagas that need it wait", name)
		return
	}
	slices.Sort(builds)
	if builds = slices.Compact(builds); len(builds) > 1 {
		d.warn("versions", "all is well while it is being rolled out", "%s runs in several builds at once: %s", name, strings.Join(builds, ", "))
	}
	latest := alive[0]
	for i := range alive {
		if alive[i].ReadError != "" {
			d.fail("services", "look at the brokers, and at the way there from the service", "%s %s cannot read its log: %s", name, alive[i].Instance, alive[i].ReadError)
		}
	}
	if latest.StoreError != "" {
		d.fail("services", "look at the service's database", "the database of %s does not answer: %s", name, latest.StoreError)
	}
	if at := latest.Outbox.OldestAt; at != nil && d.now().Sub(*at) > oldOutbox {
		d.fail("services", "the service's log says why its relay cannot publish", "%s has %s to publish, the oldest for %s",
			name, counted(latest.Outbox.Entries, "event", "events"), short(d.now().Sub(*at)))
	}
	if latest.Parked > 0 {
		d.warn("services", "'choreo saga list --status parked --service "+name+"' says why", "%s has parked %s", name, counted(latest.Parked, "saga", "sagas"))
	}
}

// behind looks at how far services have read.
func (d *patient) behind(ctx context.Context) {
	participants, err := d.cluster.Participants(ctx)
	if d.broken("lag", err) {
		return
	}
	faults := len(d.found)
	for i := range participants {
		if p := &participants[i]; p.LagEvents > muchLag {
			d.warn("lag", "give it more processes or lanes, or look what its handlers wait for", "%s is %s behind", p.Service, counted(int(p.LagEvents), "event", "events"))
		}
	}
	if len(participants) > 0 && len(d.found) == faults {
		d.ok("lag", "no service is more than %d events behind", muchLag)
	}
}

// clocks compares what processes say of the time.
func (d *patient) clocks(context.Context) {
	now, ahead := d.now(), false
	for i := range d.statuses {
		if by := d.statuses[i].At.Sub(now); by > wrongClock {
			ahead = true
			d.warn("clocks", "set both by NTP: times shown are wrong, though no saga rests on them",
				"the clock of %s %s is %s ahead of this machine's", d.statuses[i].Service, d.statuses[i].Instance, short(by))
		}
	}
	if len(d.statuses) > 0 && !ahead {
		d.ok("clocks", "no process is ahead of this machine")
	}
}

// dead looks at the dead letters.
func (d *patient) dead(ctx context.Context) {
	states, err := d.log.DescribeTopics(ctx, d.names.DeadLetters())
	if d.broken("dead letters", err) || len(states) == 0 { // that it is missing was said
		return
	}
	groups, err := topics.NewDeadLetters(d.log, d.names).Groups(ctx)
	if d.broken("dead letters", err) {
		return
	}
	open := 0
	for _, g := range groups {
		open += g.Count - g.Redriven
	}
	if open > 0 {
		d.warn("dead letters", "'choreo dlq list' says what is wrong with them", "%s", counted(open, "letter waits", "letters wait"))
		return
	}
	d.ok("dead letters", "none waits")
}

// tracker looks at the tracker that is named, and at the sagas that it tells of.
func (d *patient) tracker(ctx context.Context) {
	source, err := d.settings.Remote()
	if d.broken("tracker", err) {
		return
	}
	defer func() { _ = source.Close() }() // it holds nothing but idle connections
	overview, err := source.Overview(ctx)
	if d.broken("tracker", err) {
		return
	}
	for _, part := range overview.Freshness.Parts {
		if part.Away {
			d.fail("tracker", "start it again; until then answers lack its sagas", "%s is away, which has a part of the partitions", part.Part)
		}
	}
	if f := overview.Freshness; f.LagSeconds > staleEvents {
		d.warn("tracker", "look at its log and its load", "%s is behind: by %s, %s", d.settings.Tracker, counted(int(f.LagEvents), "event", "events"), short(seconds(f.LagSeconds)))
	} else {
		d.ok("tracker", "%s is up to date", d.settings.Tracker)
	}
	d.sagas(overview)
}

func (d *patient) sagas(overview tracker.Overview) {
	waiting := overview.Counts[choreo.StatusStuck] + overview.Counts[choreo.StatusParked]
	if waiting > 0 {
		d.warn("sagas", "'choreo saga list --status stuck,parked' shows them, 'choreo saga why' each",
			"%s for somebody: %d stuck, %d parked", counted(int(waiting), "saga waits", "sagas wait"),
			overview.Counts[choreo.StatusStuck], overview.Counts[choreo.StatusParked])
		return
	}
	d.ok("sagas", "none is stuck or parked")
}

// database looks at the database that is named.
func (d *patient) database(ctx context.Context) {
	db, err := database.Open(ctx, d.settings.Database, d.settings.DatabaseSchema, database.Outbox, false)
	if d.broken("database", err) {
		return
	}
	defer func() { _ = db.Close() }() // what was read is known
	have, want, err := db.Version(ctx)
	switch {
	case d.broken("database", err):
		return
	case have > want:
		d.fail("database", "use the build that has migrated it", "its tables have version %d, and this build works with %d", have, want)
	case have < want:
		d.warn("database", "'choreo db migrate', or the service's next start, brings them there", "its tables have version %d, and this build works with %d", have, want)
	default:
		d.ok("database", "%s, tables of version %d", db.Kind, have)
	}
	if db.Now == nil {
		return
	}
	now, err := db.Now(ctx)
	if d.broken("database", err) {
		return
	}
	if off := now.Sub(d.now()).Abs(); off > wrongClock {
		d.warn("clocks", "set both by NTP: deadlines and retries go by the database's", "the database's clock differs from this machine's by %s", short(off))
	}
}
