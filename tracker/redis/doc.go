// Package redis is a read model of the tracker in Redis 7 or newer, or a server that speaks its
// protocol; it needs no module. Several trackers write to it, and any process may ask it.
//
// Each saga is a hash. Sorted sets that compare by their members have each order as a whole, for each
// status, saga, step, service and code its sagas by start, and for all of these but the saga by update.
// The sagas that have all of them and the version in common are a set, too: a class. One script
// changes all of them, so that a Put shows as a whole or not at all; while it runs, the server does
// nothing else, so that batches of some hundreds are best. All keys share the hash tag of the prefix:
// in a cluster they lie on one node, and scripts may name them as they go.
//
// What is fast: a page by start or update, filtered by any one of status, step, service or code, or
// not at all, and by start also by saga; a page by end without a filter, or with one that chooses up to
// 1,000 sagas, or so many that the order meets them often; a count, unless by a time or a search. It
// costs what the classes are, so that error codes should be few. What reads on until the page is full:
// further conditions. What reads all sagas that the best single condition chooses: a search,
// which takes a minute for a million, and counts by a time or a search. All of it is in memory: count on
// some 3 kB a saga. How lasting it is, is the server's setting (appendonly, appendfsync); what is lost
// goes together with the positions that it stands for, and is folded again.
//
// The first Put upgrades data that an older build has left, which takes a minute for a million sagas;
// older builds can then no longer write to them.
package redis
