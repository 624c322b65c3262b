// Package trackertest is the conformance suite of read models: [Exercise] says what
// tracker.Model promises, over any implementation. What it compares with is a plain list that
// is searched and sorted anew for every question.
//
// Beside what the port says, the suite settles this:
//
//   - Snapshots belong to nobody once they have been put or returned: who changes one copies it.
//   - Several snapshots of one saga in one call do what they would in one call each: where the
//     definition of all or of none is known, the one with the highest offset counts. One whose
//     definition is Unknown replaces one that is known if its offset is higher, and then alone. A
//     position never goes back. A call with a snapshot that lacks its saga or id fails, and changes
//     nothing.
//   - A saga waits for the services of the steps that are ready in Snapshot.Next and of those
//     that are stuck or could not be undone; a parking counts, too. Empty names count nowhere.
//   - A saga is open as long as it has no EndedAt.
//   - Sagas that are equal in an order are sorted by name and id, byte by byte; Descending turns
//     that around as well. Those that have not ended come last in either direction.
//   - A search compares after strings.ToLower on both sides.
//   - A cursor goes on behind the last saga of its page. Sagas that do not move in the order
//     while pages are read come exactly once: by start, that is all of them. One that is updated in
//     between moves to the end of the order by update: ascending it comes again, as it is now;
//     descending it can be missed, and never comes twice.
package trackertest
