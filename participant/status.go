package participant

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/participant/internal/drive"
	"github.com/choreo-go/choreo/topics"
)

const (
	// statusTimeout bounds what one status may take: what did not answer by then is left out.
	statusTimeout = 2 * time.Second
	// statusRows is how many rows a status names.
	statusRows = 100
	// statusMessage bounds an error's text in a status, in bytes.
	statusMessage = 512
)

// teller tells how this process stands. All that it does is beside the sagas, on a goroutine of
// its own: a database or a broker that does not answer costs a status.
type teller struct {
	instance string
	started  time.Time
	silent   bool // the last status could not be published
}

// runStatus tells how this process stands, until ctx ends, and then that it stops.
func (p *Participant[Tx]) runStatus(ctx context.Context) {
	switch {
	case p.cfg.StatusEvery < 0:
		return
	case !p.told:
		p.cfg.Logger.Info("how this process stands is told to nobody: there is no such topic, which 'topics apply' creates",
			zap.String("topic", p.names.Participants()))
		return
	}
	t := teller{instance: p.world.NewID(), started: p.world.Now()}
	for {
		p.tell(ctx, &t, false)
		if drive.Sleep(ctx, p.jitter(p.cfg.StatusEvery)) != nil {
			break
		}
	}
	if p.cfg.StopTimeout > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.StopTimeout)
		defer cancel()
		p.tell(ctx, &t, true)
	}
}

// tell publishes one status. The database and the broker each have half of the time.
func (p *Participant[Tx]) tell(ctx context.Context, t *teller, stopping bool) {
	within := min(statusTimeout, p.cfg.StatusEvery) / 2
	s := p.status(ctx, t, within)
	s.Stopping = stopping
	rec, err := topics.EncodeStatus(s, p.names.Participants())
	if err == nil {
		err = p.publishWithin(ctx, rec, within)
	}
	switch {
	case err != nil && !t.silent && ctx.Err() == nil:
		p.cfg.Logger.Warn("how this process stands cannot be told: sagas go on", zap.Error(err))
	case err == nil && t.silent:
		p.cfg.Logger.Info("how this process stands is told again")
	}
	t.silent = err != nil
}

func (p *Participant[Tx]) publishWithin(ctx context.Context, rec choreo.Record, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if errs := p.log.Publish(ctx, []choreo.Record{rec}); errs != nil {
		return errs[0]
	}
	return nil
}

// status looks how this process stands, and its service in the database.
func (p *Participant[Tx]) status(ctx context.Context, t *teller, within time.Duration) *topics.Status {
	s := &topics.Status{
		Service: p.cfg.Service, Instance: t.instance, Build: p.cfg.Build,
		StartedAt: t.started.UTC(), At: p.world.Now().UTC(), EverySeconds: p.cfg.StatusEvery.Seconds(),
	}
	if m := p.members.Load(); m != nil {
		s.Partitions = m.Partitions
		if m.Err != nil {
			s.ReadError = brief(m.Err.Error())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	backlog, err := p.store.Backlog(ctx)
	if err != nil {
		s.StoreError = brief(err.Error())
		return s
	}
	s.Outbox.Entries = backlog.Entries
	if backlog.Oldest > 0 {
		at := s.At.Add(-backlog.Oldest)
		s.Outbox.OldestAt = &at
	}
	waiting, err := p.store.Waiting(ctx, statusRows)
	if err != nil {
		s.StoreError = brief(err.Error())
		return s
	}
	s.Parked, s.Open, s.Queued = waiting.Parked, waiting.Open, waiting.Queued
	for i := range waiting.Rows {
		s.Waiting = append(s.Waiting, statusRow(&waiting.Rows[i], s.At))
	}
	return s
}

// statusRow is a row as a status tells it, by this process's clock.
func statusRow(r *outbox.WaitingRow, now time.Time) topics.StatusRow {
	row := topics.StatusRow{
		Saga: r.SagaID.Saga, Version: r.Version, ID: r.SagaID.ID, Step: r.Step,
		State: r.State, Stuck: r.Stuck, Attempt: r.Attempt, Since: now.Add(-r.Age),
	}
	if r.Step == choreo.ParkedRow {
		row.Step = ""
	}
	if r.DueIn > 0 {
		at := now.Add(r.DueIn)
		row.DueAt = &at
	}
	if f := r.Failure; f != nil {
		row.Error = &topics.StatusError{Class: f.Class, Code: brief(f.Code), Message: brief(f.Message)}
	}
	return row
}

// brief cuts a text where it is long.
func brief(text string) string {
	if len(text) <= statusMessage {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:statusMessage], ""), len(text))
}
