package choreo

import (
	"fmt"
	"slices"
)

// Hidden is the part of an [Instance] that nobody looks at, and that the fold goes on from.
type Hidden struct {
	Requested bool     // an abort was asked for and not answered
	Turned    bool     // the abort is in the log
	Kept      bool     // turned back without compensation
	Parkings  []string // ids of the events that changed Parked
}

// Hidden returns what [Restore] needs besides the exported fields.
func (in *Instance) Hidden() Hidden {
	return Hidden{Requested: in.requested, Turned: in.turned, Kept: in.kept, Parkings: in.parkings}
}

// Restore makes an instance of the definition from the exported fields of one that was taken apart
// and from its hidden part: folding the rest of the log into it ends as the fold of the whole
// log does. It takes over the slices. The error says where the steps are not the definition's.
func Restore(d *Definition, seen Instance, hidden Hidden) (*Instance, error) {
	if seen.Saga != d.name || seen.Version != d.version {
		return nil, fmt.Errorf("choreo: restore an instance of %s/%d: the definition is %s: take that of the instance", seen.Saga, seen.Version, d)
	}
	same := slices.EqualFunc(seen.Steps, d.steps, func(s StepInstance, def StepDef) bool { return s.Name == def.Name })
	if !same {
		return nil, fmt.Errorf("choreo: restore an instance of %s: its steps are not those of the definition, which was another one then: fold its log anew", d)
	}
	in := seen
	in.def = d
	in.requested, in.turned, in.kept, in.parkings = hidden.Requested, hidden.Turned, hidden.Kept, hidden.Parkings
	return &in, nil
}
