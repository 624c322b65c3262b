// Package redis is a read model of the tracker in Redis 7 or newer, or a server that speaks its
// protocol; it needs no module. Several trackers write to it, and any process may ask it.
//
// Each saga is a hash. Sorted sets that compare by their members have each order as a whole, and
// for each status, saga, version, step, service and code its sagas by start. One script changes all
// of them, so that a Put shows as a whole or not at all; while it runs, the server does nothing else, so
// that batches of some hundreds are best. All keys share the hash tag of the prefix: in a cluster they
// lie on one node, and scripts may name them as they go.
//
// What is fast: a page by start, filtered by any one of status, saga, step, service or code, or not
// at all; a page in the other orders without a filter, or with one of those that chooses up to
// 5,000 sagas, or so many that the order meets them often; counts without a filter. What reads on until
// the page is full: further conditions. What reads all sagas that the best single
// condition chooses: a search, and counts with a filter. All of it is in memory: count on some 4
// kB a saga. How lasting it is, is the server's setting (appendonly, appendfsync); what is lost
// goes together with the positions that it stands for, and is folded again.
package redis
