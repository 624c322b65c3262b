// Package kafka is the adapter of topics.Log for Kafka clusters, over segmentio's
// kafka-go. It takes from there connections, logins, API negotiation and the consumer
// group protocol, and does produce and fetch on its own, by raw exchanges through the
// same transport: one request for all partitions of a broker in both directions,
// records decoded in place, and routing by its own metadata, which is renewed when a
// broker says that it is out of date. It needs Kafka 2.4 or newer.
//
// Writing. Each partition has a queue. What queued up while its last request was under
// way goes into the next one, so a lone record leaves at once and a busy log writes in
// batches. A partition has one request in flight, which keeps the order over retries;
// the partitions of a broker that are ready share a request, a few requests run side
// by side. A refused batch is split until the guilty record stands alone.
//
// Reading. A generation of the group runs one fetch loop for each broker that leads an
// assigned partition. A loop owns its partitions' positions; when a broker or a
// partition fails it gives them to the generation's assigner, which asks for the
// leaders, with backoff, and hands each to the loop of its leader. Records go through
// package lanes, which bounds memory by blocking the loops. Offsets are committed by
// the generation: Kafka refuses those of one that has ended. When a generation ends the
// handlers that run get a bounded time to finish before the last commit.
package kafka
