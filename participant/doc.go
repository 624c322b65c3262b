// Package participant is the library that a service embeds to take part in sagas.
//
// A [Participant] reads the events of its sagas from the log, lets the rules of
// package choreo decide, runs the service's handlers in transactions of the
// service's own database, and publishes the resulting events through the outbox in
// that database. There is no coordinator: each service moves its own steps.
//
//	p, err := participant.New(log, postgres.New(pool, nil), &participant.Config{
//		Service: "payments",
//		Sagas:   []choreo.AnySaga{contract.Order},
//	})
//	participant.Handle(p, contract.ChargeCard, chargeCard{})
//	err = p.Run(ctx)
//
// # What is promised
//
// Execute commits at most once per saga and step, and so does Compensate, whatever
// is redelivered, crashes or runs twice. Its business writes, the step's row and the
// events commit together or not at all. What a handler does outside its transaction
// happens at least once: pass [Call.IdempotencyKey] on.
//
// # Failures
//
// An outage of the database or the broker is never a step's failure: the participant
// waits, tries again, says so in its log and in [Participant.Health], and goes on. A
// handler's error is classified by package choreo. A record that cannot be decoded,
// or whose saga this service does not know, goes to the dead-letter topic as it was.
package participant
