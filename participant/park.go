package participant

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// A saga that this build cannot go on with is parked: a row under [choreo.ParkedRow], the
// marker, says so in state parked, and the events of the saga that are read from then on stand
// in a queue behind the one that could not be handled. Both are in the service's
// database, so that all its processes see them under the saga's lock. Of the marker,
//
//   - Failure is why, Attempt how often it was tried in vain to go on, and its due time when
//     it is tried next (see release.go);
//   - Noted are steps whose own due time had come, such as that of a retry, and with which this
//     build could not go on. They are not due any more, and tried when the saga is;
//   - Origin.Commands are the operators' commands that were answered. With them, the row
//     stays in state none once the saga is released.

// The codes of what keeps a build from going on with a saga.
const (
	codeUnknownVersion = "unknown-version"
	codeUndecodable    = "undecodable-payload"
	codeNoHandler      = "no-handler"
)

// obstacleError says that a handler cannot be run by this build, and not that it failed.
type obstacleError struct{ why *choreo.Error }

func (e *obstacleError) Error() string { return e.why.Error() }

// Unwrap makes it a permanent error to those who ask no further.
func (e *obstacleError) Unwrap() error { return e.why }

func obstacle(code, format string, args ...any) *choreo.Error {
	return &choreo.Error{Class: choreo.ClassPermanent, Code: code, Err: fmt.Errorf(format, args...)}
}

// undecodable is why a call cannot be made of the output of a step.
func (in *invocation) undecodable(from string, err error) error {
	return &obstacleError{obstacle(codeUndecodable, "step %q of %s cannot read %s: %w. "+
		"Run a build that can (see Config.Codecs): the saga goes on by itself then", in.step.Name, in.def, payloadOf(from), err)}
}

func noHandler(def *choreo.Definition, step string) error {
	return &obstacleError{obstacle(codeNoHandler, "step %q of %s has no handler in this build. "+
		"Run one that registers it with Handle: the saga goes on by itself then", step, def)}
}

func unknownVersion(v version) *choreo.Error {
	return obstacle(codeUnknownVersion, "version %d of saga %s is not known to this build. Run one whose Config.Sagas "+
		"has it, also if the service owns no step of it: the saga goes on by itself then", v.number, v.saga)
}

const (
	// releaseEvery is after how long it is tried for the first time to go on with a parked
	// saga, doubled with each time up to releaseLimit.
	releaseEvery = time.Minute
	releaseLimit = time.Hour
)

// nextRelease returns how long to wait after so many tries.
func nextRelease(tries int) time.Duration {
	return min(releaseEvery<<min(tries, 10), releaseLimit)
}

// parked reports whether this service has parked the saga.
func (v *view[Tx]) parked() bool { return v.steps[choreo.ParkedRow].State == choreo.RowParked }

// mark stores the marker, which is due in a while; 0: not at all.
func (v *view[Tx]) mark(row choreo.Row, in time.Duration) {
	v.steps[choreo.ParkedRow] = row
	v.changeDue(choreo.ParkedRow, in)
}

// hold parks the saga, unless it is, and tells the log.
func (v *view[Tx]) hold(ev *choreo.Event, why *choreo.Error) {
	if v.parked() {
		return
	}
	v.p.cfg.Logger.Warn("saga is parked", zap.String("saga", v.id.Saga), zap.Int("version", v.version),
		zap.String("saga_id", v.id.ID), zap.Error(why))
	home := ev.Partition
	if ev.Elsewhere {
		home = choreo.AnyPartition
	}
	marker := choreo.Row{
		State: choreo.RowParked, Home: home, Failure: why.Failure(),
		Origin: choreo.Origin{Commands: v.steps[choreo.ParkedRow].Origin.Commands},
	}
	v.mark(marker, nextRelease(0))
	v.emit(marker.Home, []choreo.Emission{{Type: choreo.SagaParked, Failure: marker.Failure}}, ev)
}

// queue puts a record behind those of the saga that are parked.
func (v *view[Tx]) queue(rec *choreo.Record) {
	v.park = append(v.park, outbox.Parked{SagaID: v.id, Record: *rec})
}

// putOff leaves a due step to the release of its saga.
func (v *view[Tx]) putOff(step string) {
	v.changeDue(step, 0)
	marker := v.steps[choreo.ParkedRow]
	if !slices.Contains(marker.Noted, step) {
		marker.Noted = append(slices.Clip(marker.Noted), step)
		v.steps[choreo.ParkedRow] = marker
		v.change(choreo.ParkedRow)
	}
}
