package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func exampleTally() *tally {
	return &tally{
		sagas: 1500, completed: 1400, compensated: 99, stuck: 1,
		refusals: map[string]int{"country-not-served": 9, "out-of-stock": 60, "insufficient-funds": 30},
		steps: []stepTally{
			{name: "create-order", owner: "orders", executed: 1500, undone: 99},
			{name: "reserve-stock", owner: "inventory", executed: 1440, failed: 60, undone: 39},
		},
		times: []time.Duration{8 * time.Millisecond, 120 * time.Millisecond, 1500 * time.Millisecond},
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	r := newReport(exampleTally(), 3, 2500*time.Millisecond, true, "an embedded broker and SQLite")
	require.NoError(t, r.writeTable(&b))
	require.Equal(t, `Order sagas on an embedded broker and SQLite

  outcome                      orders      share
  ────────────────────────────────────────────────────────────────
  completed                     1,400     93.3 %
  compensated                      99      6.6 %
    out-of-stock                   60
    insufficient-funds             30
    country-not-served              9
  stuck                             1      0.1 %
  ────────────────────────────────────────────────────────────────
  orders                        1,500
  lines rejected                    3

  step            service        executed    refused   compensated
  ────────────────────────────────────────────────────────────────
  create-order    orders            1,500          0            99
  reserve-stock   inventory         1,440         60            39
  ────────────────────────────────────────────────────────────────
  all                               2,940                      138

  at rest after            2.50 s   600 orders/s
  one saga                 p50 120 ms   p99 1.50 s
  books balance            yes
`, b.String())
	for line := range strings.Lines(b.String()) {
		require.LessOrEqual(t, len([]rune(line)), 80)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	r := newReport(exampleTally(), 3, 2500*time.Millisecond, true, "")
	require.NoError(t, r.writeJSON(&b))
	require.Equal(t, `{
  "orders": 1500,
  "rejected": 3,
  "completed": 1400,
  "compensated": 99,
  "stuck": 1,
  "duration_seconds": 2.5,
  "steps_executed": 2940,
  "steps_compensated": 138,
  "books_balance": true
}
`, b.String())
}

func TestNothingToReport(t *testing.T) {
	var b bytes.Buffer
	r := newReport(&tally{}, 0, 0, true, "an embedded broker and SQLite")
	require.NoError(t, r.writeTable(&b))
	require.Contains(t, b.String(), "completed                         0\n")
	require.True(t, r.good())
}

func TestGoodNeedsRestAndBalance(t *testing.T) {
	require.True(t, newReport(&tally{sagas: 1, completed: 1}, 5, 0, true, "").good())
	require.False(t, newReport(&tally{sagas: 1, completed: 1}, 0, 0, false, "").good())
	require.False(t, newReport(&tally{sagas: 1, stuck: 1}, 0, 0, true, "").good())
	require.False(t, newReport(&tally{sagas: 1, open: 1}, 0, 0, true, "").good())
}
