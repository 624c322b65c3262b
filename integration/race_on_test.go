//go:build race

package integration

// raceEnabled: processes that tests start are built with the race detector, too.
const raceEnabled = true
