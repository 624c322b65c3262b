// Package lanes spreads the records of a consumer over a fixed number of lanes, so
// that records of different keys are handled side by side while those of one key keep
// their order, and tells which offsets may be committed.
//
// A lane is one goroutine. It hands the handler what has queued up for it in one call,
// so a busy lane works in batches while a lone record is handled at once: no timer is
// involved. For each partition a list of the records that are not yet handled knows
// the next offset to commit, however the lanes overtake each other. Memory is bounded
// by Config.InFlight: [Lanes.Submit] blocks when it is reached.
package lanes
