// Package cluster answers from the topics of a cluster what a tracker's API is asked besides
// snapshots: the events of a saga, what services have published and how their processes stand,
// dead letters. It also writes the commands of operators. It keeps nothing but short-lived
// copies of small topics.
package cluster
