// Package asyncapi describes sagas as an AsyncAPI 3.0 document
// (https://www.asyncapi.com/docs/reference/specification/v3.0.0) with the Kafka bindings
// (https://github.com/asyncapi/bindings/tree/master/kafka), so that teams who do not use
// Choreo know what stands in its topics.
//
// A channel is the topic of a saga's events, or that of the dead letters. A message is a type
// of event of one step of one version: its headers say which, by constants, its key is the
// id of the saga, and its payload is the schema of what the step hands on, in the language
// in which it was given. An operation is what one service sends to a topic or receives
// from it; the tag of an operation is the service. What the initiator of a saga does, and
// what operators do, are operations of their own, for a definition does not say who they are.
//
// What all events share, and all of one saga, stands in traits and in schemas that messages
// refer to. The same input gives the same bytes.
package asyncapi
