package participant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/schema"
)

// The codes of what a request to start a saga is rejected with. A build that lacks the version
// or cannot read the input says so by the codes of parking.
const (
	codeExists       = "exists"
	codeNotInitiator = "not-initiator"
	codeInvalidID    = "invalid-id"
)

// startRequested starts the saga that a command asks for, or answers why not. A command that is
// read again, whenever, is known by its id, which is kept in the row of parking (see park.go)
// as with other commands. Started goes to the partition in which the command stands, so
// that both are in one log even if partitions were added meanwhile.
func (p *Participant[Tx]) startRequested(ctx context.Context, id outbox.SagaID, ev received[Tx]) error {
	no := p.cannotStart(ev)
	var (
		tooOld error
		queued bool
	)
	t := &task[Tx]{id: id, ev: ev.Event}
	t.decide = func(_ context.Context, v *view[Tx]) (*call, error) {
		tooOld, queued = nil, false
		marker := v.steps[choreo.ParkedRow]
		if marker.Origin.Answered(ev.ID) {
			return nil, nil
		}
		why := no
		if v.saga != nil {
			why = &choreo.Error{Class: choreo.ClassRefused, Code: codeExists,
				Err: errors.New("a saga of this id was started before, and nothing has happened to it: use another id for another saga")}
		} else if tooOld = p.tooOld(ev.Event, ev.record.Time); tooOld != nil {
			return nil, nil
		}
		if marker.Origin.Commands == "" && marker.State == choreo.RowNone {
			marker.Home = ev.Partition
		}
		marker.Origin = marker.Origin.WithAnswered(ev.ID)
		v.steps[choreo.ParkedRow] = marker
		v.change(choreo.ParkedRow)
		if why != nil {
			v.rejectStart(ev.Event, why)
			return nil, nil
		}
		v.start(ev.role, ev.Partition, choreo.Output{ContentType: ev.ContentType, Data: ev.Payload}, choreo.Origin{
			CausationID: ev.ID, TraceParent: ev.TraceParent, TraceState: ev.TraceState, Tags: choreo.FormatTags(ev.Tags),
		})
		queued = v.saga.State == choreo.RowQueued
		return nil, nil
	}
	if err := p.do(ctx, t); err != nil {
		return err
	}
	if tooOld != nil {
		return p.deadLetter(ctx, ev.record, tooOld)
	}
	if queued {
		p.clock.soon()
	}
	return nil
}

// rejectStart answers a request where the saga's log is, or would be.
func (v *view[Tx]) rejectStart(ev *choreo.Event, why *choreo.Error) {
	if v.version == 0 {
		v.version = ev.Version
	}
	home := v.home()
	if home == choreo.AnyPartition {
		home = ev.Partition
	}
	v.p.cfg.Logger.Warn("saga is not started", zap.String("saga", v.id.Saga), zap.Int("version", ev.Version),
		zap.String("saga_id", v.id.ID), zap.String("by", ev.By), zap.Error(why))
	v.emit(home, []choreo.Emission{{
		Type: choreo.StartRejected, Failure: why.Failure(), By: ev.By, Note: ev.Note,
	}}, ev)
}

// cannotStart returns why this build cannot do what a request asks for, or nil.
func (p *Participant[Tx]) cannotStart(ev received[Tx]) *choreo.Error {
	v := version{ev.Saga, ev.Version}
	if ev.role == nil {
		return obstacle(codeUnknownVersion, "version %d of saga %s is not known to this build of service %s: run one whose "+
			"Config.Sagas has it, or ask for another version", v.number, v.saga, p.cfg.Service)
	}
	if !p.mayStart(ev.Saga) {
		return obstacle(codeNotInitiator, "service %s does not start sagas %s: ask the one that owns a first step", p.cfg.Service, v.saga)
	}
	if err := checkSagaID(ev.SagaID); err != nil {
		return obstacle(codeInvalidID, "%w", err)
	}
	if err := p.readsInput(ev.role.def, choreo.Output{ContentType: ev.ContentType, Data: ev.Payload}); err != nil {
		return obstacle(codeUndecodable, "the input of %s: %w", ev.role.def, err)
	}
	return nil
}

// readsInput checks that an input is what this service itself would have started the saga with:
// of its media type, and readable as its type where that is known.
func (p *Participant[Tx]) readsInput(def *choreo.Definition, input choreo.Output) error {
	codec, err := p.codecs.writer(def, "")
	if err != nil {
		return err
	}
	if codec.ContentType() != input.ContentType {
		return fmt.Errorf("it is %q, and has to be %q", input.ContentType, codec.ContentType())
	}
	if t := def.Input(); t != nil {
		err := codec.Decode(input.Data, reflect.New(t).Interface())
		if unreachable(err) {
			return nil // a registry is away: whoever runs the first step parks what it cannot read
		}
		return err
	}
	if _, isJSON := codec.(schema.JSON); isJSON && !json.Valid(input.Data) {
		return errors.New("it is not JSON")
	}
	return nil
}
