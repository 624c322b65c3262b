package participant

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
)

// Version 2 of the order charges in another way: its step has other payload types.
type (
	priced  struct{ Cents int }
	booking struct{ Booked int }
)

var (
	create2 = choreo.NewStep[placed, priced]("create")
	charge2 = choreo.NewStep[priced, booking]("charge")
	ship2   = choreo.NewStep[booking, booking]("ship")

	repriced = choreo.MustDefine[placed]("order", 2,
		create2.OwnedBy("orders"),
		charge2.OwnedBy("payments").After(create2).Retry(fast).UndoRetry(fast),
		ship2.OwnedBy("shipping").After(charge2).NoCompensation(),
	)
	order3 = choreo.MustDefine[placed]("order", 3,
		create.OwnedBy("orders"), charge.OwnedBy("payments").After(create).Retry(fast).UndoRetry(fast))
)

// unbound is a participant of payments without handlers.
func unbound(t *testing.T, sagas ...choreo.AnySaga) *payments {
	s := &payments{t: t, db: memory.NewDatabase(), log: &stubLog{}}
	s.memory = memory.New(s.db)
	var err error
	s.Participant, err = New[*memory.Tx](s.log, s.memory, &Config{Service: "payments", Sagas: sagas})
	require.NoError(t, err)
	return s
}

func TestVersionsWithOtherPayloadTypesRunSideBySide(t *testing.T) {
	s := unbound(t, order, repriced)
	var (
		first  script[created, receipt]
		second script[priced, booking]
		seen   []int
		undone []int
	)
	first.execute = func(_ context.Context, _ *memory.Tx, call *Call[created]) (receipt, error) {
		seen = append(seen, call.Version, call.Input.Total)
		return receipt{Charged: call.Input.Total}, nil
	}
	second.execute = func(_ context.Context, _ *memory.Tx, call *Call[priced]) (booking, error) {
		seen = append(seen, call.Version, call.Input.Cents)
		return booking{Booked: call.Input.Cents}, nil
	}
	first.compensate = func(_ context.Context, _ *memory.Tx, call *Call[created], out receipt) error {
		undone = append(undone, call.Version, out.Charged)
		return nil
	}
	second.compensate = func(_ context.Context, _ *memory.Tx, call *Call[priced], out booking) error {
		undone = append(undone, call.Version, out.Booked)
		return nil
	}
	Handle(s.Participant, charge, &first, InVersions(1))
	Handle(s.Participant, charge2, &second, InVersions(2))
	require.NoError(t, s.checkHandlers())

	newer := event(choreo.StepCompleted, "create", "18", `{"Cents":4200}`)
	newer.Version = 2
	failed, failedNewer := event(choreo.StepFailed, "ship", "17", "{}"), event(choreo.StepFailed, "ship", "18", "{}")
	for _, ev := range []*choreo.Event{failed, failedNewer} {
		ev.Failure = &choreo.Failure{Class: choreo.ClassRefused, Code: "no-van"}
	}
	failedNewer.Version = 2
	s.read(createdEvent("17"))
	s.read(newer)
	require.Equal(t, []int{1, 42, 2, 4200}, seen)
	s.read(failedNewer)
	s.read(failed)
	require.Equal(t, []int{2, 4200, 1, 42}, undone)
	require.Equal(t, []string{completedEvent, completedEvent, compensatedEvent, compensatedEvent}, s.emitted())
}

func TestAHandlerOfSomeVersionsGoesBeforeThatOfAll(t *testing.T) {
	special := func(p *Participant[*memory.Tx], h *script[created, receipt]) { Handle(p, charge, h, InVersions(3)) }
	general := func(p *Participant[*memory.Tx], h *script[created, receipt]) { Handle(p, charge, h) }
	for name, generalFirst := range map[string]bool{"general first": true, "special first": false} {
		t.Run(name, func(t *testing.T) {
			s := unbound(t, order, order2, order3)
			var all, third script[created, receipt]
			if generalFirst {
				general(s.Participant, &all)
			}
			special(s.Participant, &third)
			if !generalFirst {
				general(s.Participant, &all)
			}
			require.NoError(t, s.checkHandlers())
			for version, id := range map[int]string{1: "17", 2: "18", 3: "19"} {
				ev := createdEvent(id)
				ev.Version = version
				s.read(ev)
			}
			require.Len(t, all.executed, 2)
			require.Len(t, third.executed, 1)
		})
	}
}

func TestAHandlerOfAllNeedNotFitAVersionThatHasItsOwn(t *testing.T) {
	for name, generalFirst := range map[string]bool{"general first": true, "special first": false} {
		t.Run(name, func(t *testing.T) {
			s := unbound(t, order, repriced)
			if generalFirst {
				Handle(s.Participant, charge, &script[created, receipt]{})
			}
			require.Equal(t, generalFirst, s.checkHandlers() != nil && s.role("order", 1).handler("charge") != nil)
			Handle(s.Participant, charge2, &script[priced, booking]{}, InVersions(2))
			if !generalFirst {
				Handle(s.Participant, charge, &script[created, receipt]{})
			}
			require.NoError(t, s.checkHandlers())
		})
	}
}

func (s *payments) role(saga string, number int) *role[*memory.Tx] {
	return s.roles[version{saga, number}]
}

func TestFaultsOfVersionsAreNamed(t *testing.T) {
	for _, test := range []struct {
		bind func(p *Participant[*memory.Tx])
		want string
	}{
		{func(p *Participant[*memory.Tx]) {
			Handle(p, charge, &script[created, receipt]{})
			Handle(p, charge, &script[created, receipt]{}, InVersions(2, 4))
		}, `step "charge": InVersions names version 4, and service "payments" owns no such step in a version 4 of Config.Sagas: it does in [1 2]`},
		{func(p *Participant[*memory.Tx]) { Handle(p, charge, &script[created, receipt]{}, InVersions()) }, "InVersions names no version"},
		{func(p *Participant[*memory.Tx]) { Handle(p, charge, &script[created, receipt]{}, InVersions(2)) },
			`step "charge" of order/1 has no handler`},
		{func(p *Participant[*memory.Tx]) {
			Handle(p, charge, &script[created, receipt]{})
			Handle(p, charge, &script[created, receipt]{}, InVersions(2))
			Handle(p, charge, &script[created, receipt]{}, InVersions(1, 2))
		}, `step "charge": order/2 has a handler for it already`},
		{func(p *Participant[*memory.Tx]) {
			Handle(p, charge, &script[created, receipt]{})
			HandleForward(p, charge, &script[created, receipt]{}, InVersions(2))
		}, "order/2 defines it with a compensation"},
		{func(p *Participant[*memory.Tx]) { Handle(p, create, &script[placed, created]{}, InVersions(1)) }, "owns no such step"},
	} {
		s := unbound(t, order, order2)
		test.bind(s.Participant)
		require.ErrorContains(t, s.Run(t.Context()), test.want)
	}
	s := unbound(t, order, repriced)
	Handle(s.Participant, charge, &script[created, receipt]{})
	require.ErrorContains(t, s.Run(t.Context()), "where versions differ, bind a handler for each by InVersions")
}

func TestAPendingStepIsCompletedByTheTypesOfItsVersion(t *testing.T) {
	s := unbound(t, order, repriced)
	wait := script[priced, booking]{execute: func(context.Context, *memory.Tx, *Call[priced]) (booking, error) {
		return booking{}, Pending(1 << 40)
	}}
	Handle(s.Participant, charge, &script[created, receipt]{}, InVersions(1))
	Handle(s.Participant, charge2, &wait, InVersions(2))
	ev := event(choreo.StepCompleted, "create", "18", `{"Cents":4200}`)
	ev.Version = 2
	s.read(ev)
	require.Equal(t, choreo.RowPending, s.row("18").State)
	require.ErrorContains(t, CompleteStep(t.Context(), s.Participant, order, "18", charge, receipt{}),
		"the saga runs by version 2, whose output of the step is participant.booking, not participant.receipt")
	require.Equal(t, choreo.RowPending, s.row("18").State, "nothing was changed")
	require.NoError(t, CompleteStep(t.Context(), s.Participant, order, "18", charge2, booking{Booked: 7}))
	require.JSONEq(t, `{"Booked":7}`, string(s.row("18").Output.Data))
}
