//go:build race

package main

// scale divides the number of trips: SQLite in Go is some ten times slower under the race
// detector.
const scale = 5
