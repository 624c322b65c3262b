package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{
		{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{5, 1, 9}, 5}, {[]float64{4, 1, 100, 2, 3}, 3},
	} {
		before := append([]float64(nil), c.of...)
		assert.InDelta(t, c.want, median(c.of), 1e-9, "%v", c.of)
		assert.Equal(t, before, c.of, "left as it was")
	}
}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)) // 1 to 100
	}
	for _, c := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0}, {[]time.Duration{3}, 0.99, 3}, {[]time.Duration{4, 2}, 0.5, 2}, {[]time.Duration{1, 3, 2}, 0.5, 2},
		{hundred, 0, 1}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100},
	} {
		assert.Equal(t, c.want, quantile(c.of, c.q), "%v of %v", c.q, c.of)
	}
}

func TestAmount(t *testing.T) {
	for want, got := range map[string]string{
		"3,245/s":          amount(3245.4, perSecond),
		"≥ 1,000,000/s":    (&target{Value: 1e6}).text(perSecond),
		"60,000 rows/s":    amount(60_000, "rows/s"),
		"14.1 ms":          amount(14.08, millis),
		"2.93 ms":          amount(2.934, millis),
		"0.95×":            amount(0.95, ratio),
		"0.0004":           amount(0.00041, ""),
		"0":                (&target{Value: none, AtMost: true}).text(""),
		"≤ 150 MB":         (&target{Value: 150, AtMost: true}).text("MB"),
		"-1,234,567.0 ms":  grouped("-1234567.0") + " ms",
		"999":              grouped("999"),
		"12,345,678,901.5": grouped("12345678901.5"),
	} {
		assert.Equal(t, want, got)
	}
}

func TestCatalog(t *testing.T) {
	seen := make(map[string]bool)
	for _, m := range catalog {
		assert.False(t, seen[m.name], "%s stands there twice", m.name)
		seen[m.name] = true
		assert.NotEmpty(t, m.what, m.name)
		assert.Equal(t, m.kind == bar || m.kind == goal, m.target > 0, "%s has a target, as bars do", m.name)
	}
	for name, beside := range besides {
		assert.True(t, seen[name], name)
		for _, l := range beside.limits {
			assert.True(t, seen[l], l)
		}
	}
}

func TestReport(t *testing.T) {
	r, err := newReport(quick, values{
		"real.hop-p50":           {9, 3, 1}, // at the bar
		"real.sagas":             {1999.9},
		"real.against-bare":      {1.2, 0.9, 1.1},
		"limits.business-sagas":  {3000, 3100, 3200},
		"memory.cpu-step":        {40},
		"hot-rows.hot":           {10, 20},
		"old-rows.against-empty": {0.95},
		"in-flight.rss":          {150.1},
	})
	require.NoError(t, err)
	met := make(map[string]bool)
	for _, f := range r.Bars {
		met[f.Name] = f.Target.Met
		assert.Equal(t, f.Name == "real.against-bare", f.Target.Goal, f.Name)
	}
	assert.Equal(t, map[string]bool{"real.hop-p50": true, "real.sagas": false, "real.against-bare": true,
		"old-rows.against-empty": true, "in-flight.rss": false}, met)
	require.Len(t, r.Details, 2)
	assert.InDelta(t, 15, r.Details[1].Value, 1e-9)
	require.Len(t, r.Limits, 1)
	assert.Equal(t, []float64{3000, 3100, 3200}, r.Limits[0].Runs)

	var written bytes.Buffer
	require.NoError(t, r.writeJSON(&written))
	read, err := readReport(&written)
	require.NoError(t, err)
	assert.Equal(t, r, read)

	_, err = newReport(quick, values{"real.saga": {1}})
	require.ErrorContains(t, err, `"real.saga"`)
	_, err = newReport(quick, values{"real.sagas": nil})
	require.Error(t, err)
}

func TestTable(t *testing.T) {
	r, err := newReport(quick, values{"real.sagas": {2500}, "real.hop-p99": {12.34}, "real.against-bare": {0.9}, "limits.kafka-records": {1.5e6}})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, r.writeTable(&b))
	for _, line := range []string{
		`sagas/s, Kafka \+ PostgreSQL, one process +2,500/s +≥ 2,000/s +met`,
		`the same, against the bare business statements +0.90× +≥ 1× +not yet`,
		`step hop, idle, Kafka: p99 +12.3 ms +≤ 8 ms +missed`,
		`bare kafka-go, 1,000 records a request +1,500,000 records/s`,
	} {
		assert.Regexp(t, line, b.String())
	}
	assert.NotContains(t, b.String(), "details", "none were measured")
}
