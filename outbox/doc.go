// Package outbox is the transactional store of a participant: the rows of its
// steps and sagas, the outbox, and the [Relay] that moves committed outbox rows to
// the log. It knows neither Kafka nor handlers.
//
// [Store] is the port; packages postgres, sqlite and memory implement it, and
// outboxtest.Exercise is what every implementation passes.
//
// Order. A store serialises the units of work of one saga (a lock on the saga id,
// held until commit), so that the order of seq is the commit order of that saga's
// entries, and whoever sees an entry sees all earlier ones of its saga that are
// still there. The order of seq across sagas means nothing: commit order is not
// id order, and the relay keeps no cursor.
//
// A relay publishes the entries of a saga from the oldest that is left, in order,
// and deletes an entry only after its acknowledgement. What a unit of its own process
// has committed it publishes from memory ([Handover]), unless an older entry of the same
// key stands in the outbox that it does not have in hand. So the first publication of
// each entry is in commit order even when several relays run at once; what a second
// relay can add are duplicates, which readers drop by their rows.
package outbox
