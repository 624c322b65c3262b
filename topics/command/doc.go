// Package command gives commands to sagas straight on their log, without a database: for
// operators' tools, which take part in no saga. Inside a service, use package participant, whose
// commands are part of a transaction.
//
// A command is an event. It is answered by an event of the same saga log whose causation id is the
// id that the command got, or by what it brings about; see the constants of package choreo. One
// that is written twice, since an acknowledgement was lost, has its effect once.
package command
