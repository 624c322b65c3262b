// Package confluent is a [schema.Registry] over the REST API of Confluent's Schema Registry, which
// Karapace, Apicurio Registry, Redpanda and others speak, too:
// https://docs.confluent.io/platform/current/schema-registry/develop/api.html
//
// What an id stands for never changes, so that all that was seen is kept for good, and an
// outage of the registry harms nobody who only needs that. That an id is unknown is
// believed for a moment alone. Calls for the same thing at the same time share one
// request.
package confluent
