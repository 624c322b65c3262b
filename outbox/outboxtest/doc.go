// Package outboxtest is the conformance suite of outbox stores: [Exercise] says what
// outbox.Store promises, over any implementation and the relay on top of it. [Log] is a
// publisher that keeps what it is given and misbehaves on demand.
//
// The guarantees of the design that an outbox bears have subtests of their name: G1Atomic,
// G7NoLoss, G8Isolation and G9Order.
package outboxtest
