// Package sim simulates services that take part in sagas while nearly everything goes wrong,
// and checks what Choreo promises (G1 to G10 of the design).
//
// A [world] is drawn from one seed: several services with several processes each, over
// databases in memory (or SQLite) and a log in memory; sagas of random shapes; handlers
// that succeed, refuse, fail, hang or panic; clients who start, cancel, answer and command.
// The code that runs is that of participant, outbox and topics: rules, units of work, relay,
// lanes, retry clock, parking, pruning. Only the loops around it are the simulator's.
//
// Everything happens on one thread. What goes on at the same time are coroutines, each of which
// runs up to its next effect (a statement, a commit, a record); there the scheduler draws
// who is next, whether time passes, and whether something fails. So a seed always goes the same
// way, which a hash of all effects shows.
//
// A world has trouble for some minutes, of about half of the kinds of faults. Then it calms
// down, while some services are still away and some handlers still fail: whatever does
// not need these has to come to rest. Then everything is mended, and all has to come to
// rest, or to be shown as stuck. The [auditor] checks on the way and at the end, from what
// handlers did, what was committed, and the raw log; it has its own reading of all three.
//
// That the auditor can fail is shown by bugs that are planted at the seams, one by one.
//
//	go test ./participant/internal/sim                 # 200 seeds, and every planted bug
//	make sim SEEDS=20000                               # more of them
//	go test ./participant/internal/sim -run TestSimulation -first 17 -seeds 1 -tell
package sim
