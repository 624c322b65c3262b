// Package chaos runs order sagas through services that are processes of their own, on a
// real Apache Kafka and a real PostgreSQL, while processes are killed and stopped and
// both servers are shut down and crashed under load. Then it lets everything run, demands
// that all comes to rest, and audits what is left: the log, the services' tables, and
// the books that their handlers kept.
//
// "go test" runs a short form of it where the servers are there (see package
// internal/servers), "make chaos" the long one. All draws come from one seed, which is
// printed; what time and the operating system make of them is not repeated by it.
package chaos
