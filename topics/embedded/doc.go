// Package embedded starts a broker inside this process that speaks the Kafka
// protocol, and hands out its address. It is for demos and tests only: one node, no
// replication, one goroutine for all requests (franz-go's kfake). Package participant
// and all below it never import it, so a service that embeds a participant does not
// link it.
//
// With Config.DataDir its topics and the offsets of its consumer groups live in a
// folder. What it acknowledged survives the end of the process, kill -9 included;
// against a crash of the machine it does no more than Kafka's own default: records
// are written through the page cache and not forced to the disk one by one.
package embedded
