package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestChart draws a report whose figures are made up.
func TestChart(t *testing.T) {
	const golden = "testdata/chart.svg"
	var drawn bytes.Buffer
	require.NoError(t, draw("testdata/report.json", &drawn))
	if *rewrite {
		require.NoError(t, os.WriteFile(golden, drawn.Bytes(), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), drawn.String(), "look at it, then run the test with -rewrite")
	wellFormed(t, drawn.String())
}

func wellFormed(t *testing.T, svg string) {
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestChartOfPart(t *testing.T) {
	r, err := newReport(quick, values{"in-flight.rss": {75}})
	require.NoError(t, err)
	r.Bars[0].What = `a < b & "c"`
	var drawn strings.Builder
	require.NoError(t, writeChart(&drawn, r))
	wellFormed(t, drawn.String())
	assert.Contains(t, drawn.String(), "a &lt; b &amp;")
	assert.Contains(t, drawn.String(), "Less is better")
	assert.NotContains(t, drawn.String(), "More is better", "there is none of those")
}

// Parts without a bar leave a chart without one.
func TestChartOfNone(t *testing.T) {
	r, err := newReport(quick, values{"memory.sagas": {75}})
	require.NoError(t, err)
	var drawn strings.Builder
	require.NoError(t, writeChart(&drawn, r))
	wellFormed(t, drawn.String())
}

func TestShare(t *testing.T) {
	at := &target{Value: 200}
	for value, want := range map[float64]float64{-1: 0, 0: 0, 100: lineShare / 2, 200: lineShare, 1000: 5 * lineShare} {
		assert.InDelta(t, want, share(value, at), 1e-9)
	}
}

func TestBeside(t *testing.T) {
	r := &report{Limits: []figure{{Name: "limits.step-idle-p50", Value: 0.5, Unit: millis}}}
	_, _, ok := r.beside("real.hop-p50")
	assert.False(t, ok, "half of it was not measured")
	r.Limits = append(r.Limits, figure{Name: "limits.kafka-record-p50", Value: 0.25, Unit: millis})
	value, unit, ok := r.beside("real.hop-p50")
	require.True(t, ok)
	assert.InDelta(t, 0.75, value, 1e-9)
	assert.Equal(t, millis, unit)
	_, _, ok = r.beside("in-flight.rss")
	assert.False(t, ok, "nothing stands beside it")
}

func TestChartRefuses(t *testing.T) {
	for content, why := range map[string]string{
		"":            "not a report",
		`{"bars":[]}`: "not a report",
		`{"go":"go1.26.0","bars":[{"name":"real"}]}`: `"real" has no target`,
	} {
		_, err := readReport(strings.NewReader(content))
		require.ErrorContains(t, err, why)
	}
	require.ErrorIs(t, draw("testdata/missing.json", io.Discard), os.ErrNotExist)
}
