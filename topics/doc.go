// Package topics is Choreo's side of Kafka: names and topology of topics, the
// binding of events to records (CloudEvents in Kafka binary mode), and [Log], the
// port through which the log is written and read: by a consumer group that shares the work,
// or in full by each process ([Log.Read], [ReadTable]).
//
// Three adapters implement the port and pass topicstest.Exercise: package kafka for
// real clusters, package memory for tests, and package embedded, which starts an
// in-process broker that speaks the Kafka protocol and hands out its address.
package topics
