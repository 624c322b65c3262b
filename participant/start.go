package participant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"unicode"
	"unicode/utf8"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/topics"
)

// Ref names a saga that Start made or found.
type Ref struct {
	Saga    string // name of the definition
	SagaID  string
	Created bool // false: a saga of this id had been started before, and nothing was done
}

// maxSagaID bounds a saga id, in bytes.
const maxSagaID = 255

// Start starts a saga in a transaction of its own, or of those that are started at the same moment. id names it (a business key such
// as an order number, at most 255 bytes without control characters); the same id
// starts it once, however often Start is called within Config.Horizon. An empty id makes a new UUIDv7.
//
// After an error the saga may have been started where the error wraps
// outbox.ErrUnknownOutcome; calling again with the same id is always safe.
func Start[Tx, In any](ctx context.Context, p *Participant[Tx], saga *choreo.Saga[In], id string, input In, options ...StartOption) (Ref, error) {
	return start(ctx, p, saga, id, input, options, func(s *starting[Tx]) error { return p.starts.start(ctx, s) })
}

// StartTx is [Start] in the caller's own transaction: the saga starts when that
// commits, and never if it does not.
func StartTx[Tx, In any](ctx context.Context, p *Participant[Tx], tx Tx, saga *choreo.Saga[In], id string, input In, options ...StartOption) (Ref, error) {
	return start(ctx, p, saga, id, input, options, func(s *starting[Tx]) error { return s.alone(ctx, join(ctx, p, tx)) })
}

// StartOption says more of a saga that [Start] and [StartTx] start. See [WithTags].
type StartOption interface{ add(*startOptions) }

type startOptions struct{ tags map[string]string }

type withTags map[string]string

func (t withTags) add(o *startOptions) {
	if o.tags == nil {
		o.tags = make(map[string]string, len(t))
	}
	maps.Copy(o.tags, t)
}

// WithTags gives a saga tags by which people find it, such as a customer's number; see
// choreo.CheckTags for what they may be. They stand in its Started event, for all to read.
// Those of several such options are joined.
func WithTags(tags map[string]string) StartOption { return withTags(tags) }

func start[Tx, In any](ctx context.Context, p *Participant[Tx], saga *choreo.Saga[In], id string, input In, options []StartOption,
	do func(*starting[Tx]) error,
) (Ref, error) {
	s, err := newStarting(ctx, p, saga, id, input, options)
	if err == nil {
		err = do(s)
	}
	if err != nil {
		return Ref{}, fmt.Errorf("start saga %s: %w", saga.Definition, err)
	}
	return Ref{Saga: s.id.Saga, SagaID: s.id.ID, Created: s.created}, nil
}

// starting is a saga on its way to its row.
type starting[Tx any] struct {
	p       *Participant[Tx]
	id      outbox.SagaID
	role    *role[Tx]
	input   choreo.Output
	origin  choreo.Origin
	created bool
}

func newStarting[Tx, In any](ctx context.Context, p *Participant[Tx], saga *choreo.Saga[In], id string, input In, options []StartOption) (*starting[Tx], error) {
	r := p.roles[version{saga.Name(), saga.Version()}]
	if r == nil || r.def != saga.Definition {
		return nil, errors.New("it is not among the sagas of this participant: add it to Config.Sagas")
	}
	if id == "" {
		id = p.world.NewID()
	}
	if err := checkSagaID(id); err != nil {
		return nil, err
	}
	var with startOptions
	for _, o := range options {
		o.add(&with)
	}
	if err := choreo.CheckTags(with.tags); err != nil {
		return nil, err
	}
	payload, err := encodeFor(ctx, p, saga.Definition, "", input)
	if err != nil {
		return nil, err
	}
	return &starting[Tx]{
		p: p, id: outbox.SagaID{Saga: saga.Name(), ID: id}, role: r, input: payload,
		origin: choreo.Origin{Tags: choreo.FormatTags(with.tags)},
	}, nil
}

// in starts the saga in a unit, unless it has been started before, and reports whether it did.
func (s *starting[Tx]) in(v *view[Tx]) bool {
	if v.saga != nil {
		return false
	}
	v.start(s.role, s.p.homes.of(s.p.topicOf[s.id.Saga], s.id.ID), s.input, s.origin)
	return true
}

// alone starts the saga in a unit of its own.
func (s *starting[Tx]) alone(ctx context.Context, open opener[Tx]) error {
	unit, err := open(s.id)
	if err != nil {
		return err
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	v := s.p.newView(unit, s.id)
	if !s.in(v) {
		return nil
	}
	var changes outbox.Changes
	v.collect(&changes)
	if err := unit.Commit(ctx, changes); err != nil {
		return err
	}
	s.done(v)
	return nil
}

// done notes that the unit has committed in which the saga was started.
func (s *starting[Tx]) done(v *view[Tx]) {
	s.created = true
	if v.saga.State == choreo.RowQueued {
		s.p.clock.soon()
	}
}

// start makes the saga's row, and starts the saga unless it has to be admitted first.
func (v *view[Tx]) start(r *role[Tx], home int32, input choreo.Output, origin choreo.Origin) {
	v.role, v.version = r, r.def.Version()
	v.saga = &outbox.SagaRow{SagaID: v.id, Version: v.version, DueIn: atOnce, Row: choreo.Row{
		State: choreo.RowQueued, Home: home, Inputs: []choreo.Output{input}, Origin: origin,
	}}
	v.change(choreo.SagaRow)
	if v.p.cfg.MaxOpenSagas == 0 {
		v.admit()
	}
}

func checkSagaID(id string) error {
	if len(id) > maxSagaID {
		return fmt.Errorf("the saga id is %d bytes long: at most %d", len(id), maxSagaID)
	}
	if !utf8.ValidString(id) {
		return fmt.Errorf("the saga id %q is not valid UTF-8", id)
	}
	for _, r := range id {
		if unicode.IsControl(r) {
			return fmt.Errorf("the saga id %q holds a control character", id)
		}
	}
	return nil
}

// entryOf binds an event to its outbox entry.
func entryOf(ev *choreo.Event, topic string) outbox.Entry {
	return outbox.Entry{ID: ev.ID, Type: string(ev.Type), Record: topics.Encode(ev, topic)}
}
