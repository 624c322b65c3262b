// Package topic is a [schema.Registry] that needs no server: schemas are records of the topic
// <ns>.schemas, which has one partition and is compacted. Ids are fingerprints, which Avro's
// single-object encoding carries.
//
// A process reads the topic to its end when it opens the registry, and on from there
// whenever it is asked for what it has not seen, be it an id or the versions of a subject.
// What it has seen it answers alone. A schema is registered before the first payload is
// written by it, so that whoever meets an id in a payload finds it in the topic.
//
// # Order
//
// The key of a record is its subject and fingerprint: one record for each schema of a
// subject. The first record of a key in the topic makes the schema the subject's next version,
// whatever other process was about to write at that time; all who read the topic count alike.
// A process that meets others so learns of it by reading on to its own record, and then
// checks its schema against all that came before it.
//
// Compaction keeps the last record of each key, and a key may have several: two processes that
// register the same at once, or a write that was repeated because its acknowledgement got
// lost. Counting what is left would then give other numbers. So every record carries its
// number: the one that the writer expects to be next, which counts only if no other schema has
// it. Whoever registers a schema reads until the last record of its key carries the
// number that the order gave it, and else writes the key again with that. From then on every
// compaction leaves each schema its number.
//
// A schema that lost such a race to one that it is not compatible with is written again as
// refused. It is no version of its subject then, but its id can still be told, for
// another process may have found the schema before it was refused. A null value
// takes a schema away for good; write one by hand where no payload with its id is left.
//
// The fingerprint is that of Avro's parsing canonical form, which leaves out defaults, aliases
// and documentation: two Avro schemas that differ in these alone are one here, and the
// text that was registered first stays.
package topic
