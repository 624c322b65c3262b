package participant

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/topics"
)

const (
	// pruneMargin is how much longer than the horizon rows are kept. What it must cover is
	// by how much clocks differ: the age of an event is told by this process's clock
	// against the emitter's and the broker's, that of a row by the database's alone. A row
	// is written after the event that it answers, so that a row that has gone
	// was written, and its event emitted, longer ago than horizon and margin; the event
	// then counts as older than the horizon on every clock that is off by less than the
	// margin.
	pruneMargin = time.Hour
	// retentionSlack is how much longer than what the log promises to keep events are taken
	// by default: a broker deletes late.
	retentionSlack = 24 * time.Hour
	// pruneBatch is how many rows go in one transaction.
	pruneBatch = 500
	// pruneShare bounds how much of the time the database prunes while much is left to
	// do: one part in so many.
	pruneShare = 5
)

// errStale is why an event is dead-lettered that is older than the horizon.
var errStale = errors.New("older than Config.Horizon: rows that would show it to be a duplicate may have been pruned, so it is not acted on. " +
	"If this service has not acted on it before, its saga waits for the answer: raise Config.Horizon above the event's age and send it again, or end the saga by hand")

// stale returns an error for an event that must not be acted on any more: by its own time
// or its record's, it is older than the horizon, and only a row can tell whether it was
// acted on before. The event's own time shows the age of what a relay published anew, the
// record's that of what is read again.
//
// It is to be asked under the saga's lock. Asked before, a process that is then
// paused for longer than the margin would find the row pruned, and act a second time.
func (p *Participant[Tx]) stale(r *role[Tx], ev *choreo.Event, recorded time.Time) error {
	if !r.needsRow(ev) {
		return nil
	}
	return p.tooOld(ev, recorded)
}

// tooOld is stale for an event that needs a row.
func (p *Participant[Tx]) tooOld(ev *choreo.Event, recorded time.Time) error {
	if p.horizon <= 0 {
		return nil
	}
	now := p.world.Now()
	age := max(since(now, ev.Time), since(now, recorded))
	if age <= p.horizon {
		return nil
	}
	return fmt.Errorf("%s %s is %v old, the horizon is %v: %w", ev.Type, ev.Step, age.Round(time.Second), p.horizon, errStale)
}

// since returns the age of what happened at t; 0 where that is not known. Kafka's records
// have the time -1 where nobody gave them one.
func since(now, t time.Time) time.Duration {
	if t.Unix() <= 0 {
		return 0
	}
	return now.Sub(t)
}

// needsRow reports whether the event makes a service without a row of the saga do
// something that others see: run a step, or answer a request to abort as the pivot's
// owner, who without a row takes the saga for open.
func (r *role[Tx]) needsRow(ev *choreo.Event) bool {
	switch ev.Type {
	case choreo.Started, choreo.StepCompleted, choreo.AbortRequested:
		return r.def.Reacts(r.owned, ev.Type, ev.Step)
	default:
		return false
	}
}

// setHorizon fixes the horizon by the retention of the events topics, or refuses a
// configured one that does not go with it.
func (p *Participant[Tx]) setHorizon(states map[string]topics.TopicState) error {
	if p.cfg.Horizon < 0 {
		return nil
	}
	var (
		faults  []error
		longest time.Duration
		endless bool
	)
	for _, topic := range p.topics() {
		keeps, known := retention(states[topic])
		switch {
		case !known:
			endless = true
		case p.cfg.Horizon > 0 && p.cfg.Horizon < keeps:
			faults = append(faults, fmt.Errorf("participant: Config.Horizon is %v, but topic %s keeps events for %v (retention.ms %d): "+
				"events that can still be read would be refused; raise the horizon, or lower the retention", p.cfg.Horizon, topic, keeps, keeps.Milliseconds()))
		}
		longest = max(longest, keeps)
	}
	for _, r := range p.roles {
		deadline := r.def.Deadline()
		if p.cfg.Horizon > 0 && p.cfg.Horizon < deadline {
			faults = append(faults, fmt.Errorf("participant: Config.Horizon is %v, but saga %s may run for %v (its Deadline): "+
				"rows that its compensation needs would be pruned; raise the horizon", p.cfg.Horizon, r.def, deadline))
		}
		longest = max(longest, deadline)
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	switch {
	case p.cfg.Horizon > 0:
		p.horizon = p.cfg.Horizon
	case !endless:
		p.horizon = longest + retentionSlack
	}
	p.tellHorizon()
	return nil
}

// tellHorizon logs what becomes of rows.
func (p *Participant[Tx]) tellHorizon() {
	if p.horizon <= 0 {
		p.cfg.Logger.Info("rows are kept for ever: a topic has no retention to go by, and Config.Horizon is not set",
			zap.Strings("topics", p.topics()))
		return
	}
	p.cfg.Logger.Info("rows of ended sagas are pruned", zap.Duration("horizon", p.horizon))
	for _, r := range p.roles {
		for _, step := range r.owned {
			if r.def.Deadline() == 0 && r.def.Compensates(step) {
				p.cfg.Logger.Warn("saga has no deadline: a step that completed longer ago than the horizon cannot be undone any more",
					zap.Stringer("saga", r.def), zap.String("step", step), zap.Duration("horizon", p.horizon))
			}
		}
	}
}

// retention returns how long a topic keeps its records, and false where that has no end
// or is not known.
func retention(state topics.TopicState) (time.Duration, bool) {
	ms, err := strconv.ParseInt(state.Settings["retention.ms"], 10, 64)
	policy, told := state.Settings["cleanup.policy"]
	const most = int64((1<<63 - 1) / time.Millisecond)
	// Near the most that a duration holds there would be no room for what is added to it.
	if err != nil || ms < 0 || ms > most/2 || told && !strings.Contains(policy, "delete") {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// runPrune deletes rows of ended sagas until ctx ends. Any number of processes may.
func (p *Participant[Tx]) runPrune(ctx context.Context) {
	if p.horizon <= 0 {
		return
	}
	pause := p.jitter(p.cfg.PruneEvery)
	for failures := 0; drive.Sleep(ctx, pause) == nil; {
		var err error
		pause, err = p.prune(ctx)
		if err != nil {
			failures++
			if p.waitOutage(ctx, "database", err, failures) != nil {
				return
			}
			continue
		}
		if failures > 0 {
			failures = 0
			p.outage.over("database")
		}
	}
}

// prune deletes a batch of rows, and returns after how long to go on.
func (p *Participant[Tx]) prune(ctx context.Context) (time.Duration, error) {
	began := p.world.Now()
	n, err := p.store.Prune(ctx, p.horizon+pruneMargin, pruneBatch)
	if err != nil {
		return 0, err
	}
	if n > 0 {
		p.cfg.Logger.Debug("pruned", zap.Int("rows", n))
	}
	// A saga's rows go together, so that a batch is full before it is at its bound.
	if n > pruneBatch/2 {
		return (pruneShare - 1) * p.world.Now().Sub(began), nil
	}
	return p.jitter(p.cfg.PruneEvery), nil
}

// jitter draws a time around d, so that processes that started together do not go on in step.
func (p *Participant[Tx]) jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(p.world.Float()*float64(d/2))
}
