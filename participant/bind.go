package participant

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/choreo-go/choreo/choreo"
)

// HandleOption says more of what [Handle] and [HandleForward] bind. See [InVersions] and [Local].
type HandleOption interface{ narrow(*scope) }

// scope is where a handler is to be bound, and how it may run.
type scope struct {
	some     bool // in these versions only
	versions []int
	local    bool
}

type inVersions []int

func (v inVersions) narrow(s *scope) {
	s.some = true
	s.versions = append(s.versions, v...)
}

// InVersions binds a handler in these versions of the sagas only. There it takes the place of
// one that is bound without, whichever of the two is bound first: so a version can have a
// handler of its own, with other payload types, and all others share one. Run reports a
// version in which the service owns no such step, and one that has two handlers of its own.
func InVersions(versions ...int) HandleOption { return inVersions(versions) }

type local struct{}

func (local) narrow(s *scope) { s.local = true }

// Local says of a handler that all it does is done in its transaction, and quickly: some statements
// that need no more than milliseconds, no HTTP, no other database, no waiting. Then what queues up
// while a transaction is under way shares the next one (see Config.Groups), so that many steps cost
// one commit. What a handler does that fails is undone by itself, and the others commit.
//
// It is not the default, since a handler that calls out would hold the transaction, the rows and
// the turn of all others with it for as long as the call takes; one that does not say Local has a
// transaction of its own. A local handler may be run again where another one has broken the
// transaction that they share, and must not count on being the only one in it: it sees what others
// wrote there before it, and a SET LOCAL, a temporary table or an advisory lock of the transaction
// outlives it.
func Local() HandleOption { return local{} }

// binding is the handler of a step in one version of a saga.
type binding[Tx any] struct {
	handler handler[Tx] // nil where it does not fit
	own     bool        // it is for this version, not for all
	local   bool        // see Local
	// doubts counts down the runs for which it is made undoable, see the constant of that name.
	doubts atomic.Int32
	faults []error // which count as long as nothing takes its place
}

// handler returns the handler of a step, nil where it has none.
func (r *role[Tx]) handler(step string) handler[Tx] {
	if b := r.bound[step]; b != nil {
		return b.handler
	}
	return nil
}

// isLocal reports whether the handler of a step may share a transaction.
func (r *role[Tx]) isLocal(step string) bool {
	b := r.bound[step]
	return b != nil && b.handler != nil && b.local
}

// sortedRoles returns the roles by saga and version.
func (p *Participant[Tx]) sortedRoles() []*role[Tx] {
	return slices.SortedFunc(maps.Values(p.roles), func(a, b *role[Tx]) int {
		return cmp.Or(cmp.Compare(a.def.Name(), b.def.Name()), cmp.Compare(a.def.Version(), b.def.Version()))
	})
}

func bind[Tx, In, Out any](p *Participant[Tx], step choreo.Step[In, Out], h *typedHandler[Tx, In, Out], options []HandleOption) {
	name := step.Name()
	fault := func(format string, args ...any) error {
		return fmt.Errorf("step %q: "+format, append([]any{name}, args...)...)
	}
	var where scope
	for _, o := range options {
		o.narrow(&where)
	}
	owned := make(map[int]bool)
	for _, r := range p.sortedRoles() {
		if !slices.Contains(r.owned, name) {
			continue
		}
		owned[r.def.Version()] = true
		if where.some && !slices.Contains(where.versions, r.def.Version()) {
			continue
		}
		b := &binding[Tx]{own: where.some, local: where.local}
		if err := unfit(r.def, name, h); err != nil {
			b.faults = []error{fault("%w", err)}
		} else {
			b.handler = h
		}
		switch before := r.bound[name]; {
		case before == nil, b.own && !before.own:
			r.bound[name] = b
		case b.own == before.own:
			before.faults = append(before.faults, b.faults...)
			if before.handler == nil {
				before.handler, before.local = b.handler, b.local
			} else if b.handler != nil {
				before.faults = append(before.faults, fault("%s has a handler for it already", r.def))
			}
		}
	}
	switch {
	case len(owned) == 0:
		p.faults = append(p.faults, fault("service %q owns no such step in its sagas", p.cfg.Service))
	case where.some && len(where.versions) == 0:
		p.faults = append(p.faults, fault("InVersions names no version: name some, or leave it out to bind the handler in all"))
	default:
		for _, v := range where.versions {
			if !owned[v] {
				p.faults = append(p.faults, fault("InVersions names version %d, and service %q owns no such step in a "+
					"version %d of Config.Sagas: it does in %v", v, p.cfg.Service, v, slices.Sorted(maps.Keys(owned))))
			}
		}
	}
}

// unfit returns why a handler cannot be that of a step.
func unfit[Tx, In, Out any](def *choreo.Definition, name string, h *typedHandler[Tx, In, Out]) error {
	step := def.Step(name)
	in, out := reflect.TypeFor[In](), reflect.TypeFor[Out]()
	_, whole := def.InputFrom(name)
	switch {
	case (step.In != nil && step.In != in) || (step.Out != nil && step.Out != out):
		return fmt.Errorf("%s defines it from %v to %v, the handler from %v to %v: "+
			"where versions differ, bind a handler for each by InVersions", def, step.In, step.Out, in, out)
	case !whole && in != reflect.TypeFor[choreo.Join]():
		return fmt.Errorf("%s has it wait for several steps, or for one that may be bypassed, and the handler's input is %v: "+
			"let it be a choreo.Join, and read it by choreo.OutputOf", def, in)
	case len(step.Unbound()) > 0:
		return fmt.Errorf("%s has no function for %q, which decides at this step: give it one by choreo.BindWhen "+
			"or choreo.BindCompensateWhen where the definition is loaded", def, step.Unbound())
	case step.ConditionInput() != nil && step.ConditionInput() != in:
		return fmt.Errorf("%s decides on its condition %q by a %v, and the handler's input is %v: let both be the same",
			def, step.Condition, step.ConditionInput(), in)
	case def.Compensates(name) && h.compensate_ == nil:
		return fmt.Errorf("%s defines it with a compensation: use Handle, or declare the step NoCompensation", def)
	case !def.Compensates(name) && h.compensate_ != nil:
		return fmt.Errorf("%s defines it without a compensation, which would never be called: use HandleForward", def)
	}
	return nil
}

// checkHandlers returns every fault of the registered handlers.
func (p *Participant[Tx]) checkHandlers() error {
	faults := slices.Clone(p.faults)
	for _, r := range p.sortedRoles() {
		for _, step := range r.owned {
			b := r.bound[step]
			if (b == nil || b.handler == nil) && !p.cfg.ParkUnhandled {
				faults = append(faults, fmt.Errorf("step %q of %s has no handler: register one with Handle, "+
					"or set Config.ParkUnhandled to have sagas parked that come to it", step, r.def))
			}
			if b != nil {
				faults = append(faults, b.faults...)
			}
		}
		r.local = slices.DeleteFunc(slices.Clone(r.owned), func(step string) bool { return !r.isLocal(step) })
	}
	if len(faults) > 0 {
		return fmt.Errorf("participant %s is not set up: %w", p.cfg.Service, errors.Join(faults...))
	}
	return nil
}
