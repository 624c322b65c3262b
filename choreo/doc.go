// Package choreo is the pure core of Choreo: saga definitions and their checks,
// the events of a saga log, the rules by which a participant reacts to an event,
// and the fold of a log into an [Instance]. It imports no clock, context, I/O,
// logger or Kafka: the same row and event in give the same row and effects out.
//
// A saga is described once, in a package that every service imports:
//
//	var (
//		CreateOrder = choreo.NewStep[OrderPlaced, OrderCreated]("create-order")
//		ChargeCard  = choreo.NewStep[OrderCreated, Receipt]("charge-card")
//	)
//	var Order = choreo.MustDefine[OrderPlaced]("order", 1,
//		CreateOrder.OwnedBy("orders"),
//		ChargeCard.OwnedBy("payments").After(CreateOrder),
//	)
//
// The rules (files rules.go, arbiter.go, command.go and conclude.go) are [React], for
// an event that was read, and [Conclude], for the result of a handler that React asked
// for, or [Defer], where it finds no place. [Resume], [Answer], [Expire], [Overdue] and
// [Admit] are for what happens when nothing is read.
package choreo
