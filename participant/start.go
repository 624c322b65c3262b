package participant

import (
	"context"
	"fmt"
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

// Start starts a saga in a transaction of its own. id names it (a business key such
// as an order number, at most 255 bytes without control characters); the same id
// starts it once, however often Start is called within Config.Horizon. An empty id makes a new UUIDv7.
//
// After an error the saga may have been started where the error wraps
// outbox.ErrUnknownOutcome; calling again with the same id is always safe.
func Start[Tx, In any](ctx context.Context, p *Participant[Tx], saga *choreo.Saga[In], id string, input In) (Ref, error) {
	return start(ctx, p, saga, id, input, begin(ctx, p))
}

// StartTx is [Start] in the caller's own transaction: the saga starts when that
// commits, and never if it does not.
func StartTx[Tx, In any](ctx context.Context, p *Participant[Tx], tx Tx, saga *choreo.Saga[In], id string, input In) (Ref, error) {
	return start(ctx, p, saga, id, input, join(ctx, p, tx))
}

func start[Tx, In any](ctx context.Context, p *Participant[Tx], saga *choreo.Saga[In], id string, input In, open opener[Tx]) (Ref, error) {
	fail := func(err error) (Ref, error) { return Ref{}, fmt.Errorf("start saga %s: %w", saga.Definition, err) }
	r := p.roles[version{saga.Name(), saga.Version()}]
	if r == nil || r.def != saga.Definition {
		return fail(fmt.Errorf("it is not among the sagas of this participant: add it to Config.Sagas"))
	}
	if id == "" {
		id = p.world.NewID()
	}
	if err := checkSagaID(id); err != nil {
		return fail(err)
	}
	payload, err := encodeFor(ctx, p, saga.Definition, "", input)
	if err != nil {
		return fail(err)
	}
	key := outbox.SagaID{Saga: saga.Name(), ID: id}
	unit, err := open(key)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unit.Rollback(context.WithoutCancel(ctx)) }()
	ref := Ref{Saga: key.Saga, SagaID: id}
	if unit.Rows(key).Saga != nil {
		return ref, nil
	}
	v := p.newView(unit, key)
	v.role, v.version = r, saga.Version()
	v.saga = &outbox.SagaRow{SagaID: key, Version: saga.Version(), DueIn: atOnce, Row: choreo.Row{
		State: choreo.RowQueued, Home: p.homes.of(p.topicOf[key.Saga], id),
		Inputs: []choreo.Output{payload},
	}}
	v.change(choreo.SagaRow)
	if p.cfg.MaxOpenSagas == 0 {
		v.admit()
	}
	var changes outbox.Changes
	v.collect(&changes)
	if err := unit.Commit(ctx, changes); err != nil {
		return fail(err)
	}
	ref.Created = true
	if v.saga.State == choreo.RowQueued {
		p.clock.soon()
	}
	return ref, nil
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
