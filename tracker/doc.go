// Package tracker folds the logs of sagas into snapshots, so that people and programs can ask
// where each saga stands, why it was turned back and what is still to come. It decides
// nothing: stop it, and no saga notices.
//
// A [Tracker] follows the events of all sagas whose definitions are known, from the topic of
// definitions or from Config.Definitions, and gives what it has folded to three places: a
// [Model] that answers queries, the compacted tracker topic of the saga, and those who watch.
// Changes are gathered for a short while, so that a saga which changes often is written once.
//
// # The tracker topic
//
// Its records have a saga's id as key, stand in the saga's home partition, and hold a [Snapshot] as
// JSON by the schema that [JSONSchema] returns; a saga that is forgotten gets a record without
// a value. Keys that begin with a zero byte are the tracker's own, see [IsSnapshotKey]. It is
// also what a tracker begins with, so that it needs no database: it reads the snapshots, and goes
// on from the position that the topic holds for each partition. A position is written only after
// all snapshots that hold the events before it. After a crash the events since are read again,
// and each saga leaves out those up to its snapshot's offset: a tracker that is killed at any
// moment and begun again comes to what one comes to that reads the whole log.
//
// A saga whose definition nobody has published is Unknown: it shows the steps that the log has
// named. Once the definition is known, the log is read again from its first event.
//
// # Several trackers
//
// Trackers share the work by Config.Shard, statically: the partition number modulo the number of
// trackers. Only one at a time may follow a part; a second one for a short while does no harm to
// sagas, but the topic may then lack what the slower one had not read when it was stopped. With
// a database as their model each of them answers for all. With models of their own, [Join] makes
// one [Reader] of them, and [Owner] tells which one to ask for a saga.
package tracker
