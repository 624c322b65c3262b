// Package choreotest is the kit for tests of sagas: it runs the services' real handlers
// over a log in memory, on virtual time, in one process.
//
//	func TestOrder(t *testing.T) {
//		choreotest.Run(t, []choreo.AnySaga{contract.Order}, func(w *choreotest.World) {
//			orders := choreotest.Serve(w, "orders", registerOrders)
//			choreotest.Serve(w, "payments", registerPayments)
//
//			order := choreotest.Start(orders, contract.Order, "o-1", placed)
//			w.Wait(order)
//			w.AssertEvents(order, "started", "completed create-order", "completed charge-card")
//			w.AssertOutboxEmpty()
//		})
//	}
//
// where registerPayments is the function that the service itself uses: it takes the
// participant and calls participant.Handle for each step. Nothing in it knows of the test.
//
// [World.Wait] returns when the saga is at rest, however long that takes on virtual time; a
// retry after an hour costs nothing. When the saga cannot come to rest, the test fails
// with its story: what happened when, where each step stands, what its owner's database
// holds, which service does not run. [World.Advance] lets time pass, [Service.Kill] and
// [Service.Restart] end and begin processes, [World.Log] takes the broker away.
//
// [FailEach] runs a saga once for every step and every way in which it can fail, so
// that one test shows that all or nothing holds wherever something goes wrong. [Replay]
// takes a log that was recorded, such as in production, and tells whether a new version
// still takes it the same way.
//
// # Stores
//
// [Serve] gives each service a database in memory, whose handlers get *memory.Tx.
// Handlers that are written for another transaction run over their own store by
// [ServeOn]:
//
//   - SQLite works on virtual time, but for rows that fall due by its clock, which is the real
//     one: deadlines, the time limits of pending steps, retries past the pivot, the next try at
//     a parked saga, what waits for its turn under MaxOpenSagas or StepLimits. Other
//     retries are therefore waited for in place, whatever their delay. Open the database within
//     the function that [Run] calls, and close it there, by w.T().Cleanup: its
//     goroutines belong to the bubble.
//   - A database server, such as PostgreSQL, belongs to [RunReal], and so does SQLite where
//     deadlines are to be seen: all is the same, and waits take their time. Set delays
//     in the definition accordingly.
//
// # Parked and queued sagas
//
// A saga that a service cannot go on with, such as one whose payload its codec does not take, is
// parked, and so never comes to rest by itself: [World.Wait] fails then and says which
// service has parked it, and why. To see it go on, change [World.Config] or what the
// service registers and call [Service.Restart], or have an operator ask by
// participant.Release; the events are "parked in payments: …" and "released in payments". A saga that
// is queued, since as many are open as World.Config.MaxOpenSagas allows, has no event yet;
// Wait waits for its turn, too.
//
// # Crashes
//
// A process that is killed reaches its database no more, and another one is started in its
// place: what it had committed is there, what it had not is lost, an event that it
// published and could not delete is published twice. Its handler's goroutine still runs to
// its end, since Go cannot end it, and what it does outside the database takes place.
package choreotest
