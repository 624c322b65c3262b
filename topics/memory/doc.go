// Package memory is a [topics.Log] inside the process, for tests: several services of
// one test share a [Log] and meet there as they would at a broker. It behaves as
// Kafka does where that matters to them: partitions by the same hash of the key,
// consumer groups whose members lose their partitions and get them again, committed
// offsets, redelivery of what was not committed.
//
// What goes wrong at a broker is called up by hand: a write that fails, is late, or is
// written although its acknowledgement is lost ([Log.OnPublish]); a broker that is away
// ([Log.Disconnect]); a rebalance ([Log.Rebalance]); an offset that goes back
// ([Log.Rewind]).
//
// It waits on channels and timers alone, so that it works in a testing/synctest bubble.
// Records are never expired or compacted.
package memory
