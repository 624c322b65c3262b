package tracker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/tracker"
)

// requireSameAsJSON demands of a reader what encoding/json makes of the data.
func requireSameAsJSON(t require.TestingT, r tracker.JSONReader, data []byte) error {
	var want tracker.Snapshot
	wantErr := json.Unmarshal(data, &want)
	got, err := r.Read(data)
	if wantErr != nil {
		require.Error(t, err, "%s", data)
		require.Nil(t, r.Fast(data), "%s", data)
		return err
	}
	require.NoError(t, err, "%s", data)
	require.Equal(t, &want, got, "%s", data)
	return nil
}

func TestASnapshotIsReadWithoutEncodingJSON(t *testing.T) {
	r := tracker.NewJSONReader()
	rapid.Check(t, func(t *rapid.T) {
		s := drawnSnapshot(t)
		data := tracker.AppendJSON(nil, s)
		got := r.Fast(data)
		require.NotNil(t, got, "%s", data)
		clear(data) // it must not hold on to them
		require.Equal(t, s, got)
	})
}

func TestASnapshotsNamesAreNoAllocationEach(t *testing.T) {
	data := tracker.AppendJSON(nil, benchSnapshot())
	allocs := 1000.0
	for range 5 { // two names may come to share a place in one reader, by its seed
		r := tracker.NewJSONReader()
		allocs = min(allocs, testing.AllocsPerRun(100, func() { r.Fast(data) }))
	}
	require.LessOrEqual(t, allocs, 7.0) // the snapshot, fold, steps, next, times and two texts of its own
}

func TestMoreNamesThanAreKeptAreReadAsTheyAre(t *testing.T) {
	r := tracker.NewJSONReader()
	s := benchSnapshot()
	for range 2 {
		for n := range 3000 {
			s.Initiator, s.Steps[0].Name = fmt.Sprint("service-", n), fmt.Sprintf("%0*d", n%300+1, n)
			require.Equal(t, s, r.Fast(tracker.AppendJSON(nil, s)))
		}
	}
}

// mutated is a snapshot's JSON after something has been at it.
func mutated(t *rapid.T, data []byte) []byte {
	at := func(label string, n int) int { return rapid.IntRange(0, n).Draw(t, label) }
	from := at("from", len(data)-1)
	to := min(from+at("length", 40), len(data))
	members := bytes.Split(data, []byte(","))
	one, other := at("member", len(members)-1), at("other member", len(members)-1)
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0: // a byte changed
		data[from] = rapid.SampledFrom([]byte("\"\\{}[]:,.-+eE019aZT \n\x00\x7f\x80\xff")).Draw(t, "byte")
	case 1:
		data[from] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	case 2: // bytes put in
		data = slices.Insert(data, from, []byte(rapid.SampledFrom([]string{" ", "\n", "0", `\u0041`, `\"`, "null", "é", "\xed\xa0\x80"}).Draw(t, "text"))...)
	case 3: // cut
		data = data[:from]
	case 4:
		data = slices.Delete(data, from, to)
	case 5: // doubled
		data = slices.Insert(data, to, data[from:to]...)
	case 6:
		members = slices.Insert(members, other, members[one])
		data = bytes.Join(members, []byte(","))
	case 7:
		members[one], members[other] = members[other], members[one]
		data = bytes.Join(members, []byte(","))
	case 8:
		members[one] = bytes.ToUpper(members[one])
		data = bytes.Join(members, []byte(","))
	case 9: // as other builds and other tools write it
		var value map[string]any
		if json.Unmarshal(data, &value) == nil {
			value["added_later"] = []any{1.5, nil, map[string]any{"a": "b"}}
			data, _ = json.MarshalIndent(value, "", rapid.SampledFrom([]string{"", " "}).Draw(t, "indent"))
		}
	}
	return data
}

func TestAnyTextIsReadAsEncodingJSONDoes(t *testing.T) {
	var fast, slow, failed int
	rapid.Check(t, func(t *rapid.T) {
		whole := tracker.AppendJSON(nil, drawnSnapshot(t))
		r := tracker.NewJSONReader()
		for range 10 {
			data := slices.Clone(whole)
			for range rapid.IntRange(1, 2).Draw(t, "mutations") {
				if len(data) > 0 {
					data = mutated(t, data)
				}
			}
			switch err := requireSameAsJSON(t, r, data); {
			case err != nil:
				failed++
			case r.Fast(data) != nil:
				fast++
			default:
				slow++
			}
			require.NoError(t, requireSameAsJSON(t, r, whole), "what it read before must not show")
		}
	})
	require.NotZero(t, fast)
	require.NotZero(t, slow)
	require.NotZero(t, failed)
}

func TestTimesAreReadAsEncodingJSONDoes(t *testing.T) {
	s := benchSnapshot()
	was := string(tracker.AppendJSON(nil, s))
	started, updated := s.StartedAt.Format(time.RFC3339Nano), s.UpdatedAt.Format(time.RFC3339Nano)
	for _, at := range []string{
		"0000-01-01T00:00:00Z", "0000-12-31T23:59:59.9Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59Z",
		"2024-02-29T12:00:00Z", "2025-02-29T12:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T23:60:00Z", "2026-01-02T23:59:60Z",
		"2026-01-02T1:02:03Z", "2026-01-02T01:02:03,5Z", "2026-01-02T01:02:03.Z", "2026-01-02T01:02:03.1234567891Z",
		"2026-01-02T01:02:03.000000000Z", "2026-01-02T01:02:03+00:00", "2026-01-02T01:02:03.5-07:30", "2026-01-02T01:02:03",
		"2026-01-02t01:02:03z", "2026-01-02T01-02:03Z", "2026-01-02T01:02-03Z", "2026-01-02T0a:02:03Z", "2026-01-02 01:02:03Z", "2026-01-02T01:02:03Z ", "2026-01-02T01:02:03\\u005a", "", "x",
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0001:02:03Z", "1970-01-01T01:02:03Z",
	} {
		day, _, _ := strings.Cut(at, "T")
		for _, before := range []string{started, day + "T12:00:00Z"} { // of another day, and of the same
			data := []byte(strings.NewReplacer(started, before, updated, at).Replace(was))
			_ = requireSameAsJSON(t, tracker.NewJSONReader(), data)
		}
		_ = requireSameAsJSON(t, tracker.NewJSONReader(), []byte(strings.Replace(was, started, at, 1)))
	}
}

func TestNumbersAreReadAsEncodingJSONDoes(t *testing.T) {
	was := string(tracker.AppendJSON(nil, benchSnapshot()))
	for _, number := range []string{
		"0", "-0", "7", "-7", "00", "01", "-01", "", "-", "+1", "1_0", "0x1", "1.0", "1.", ".5", "0.5", "-0.5", "01.5", "1.50", "1e3", "1E-3", "0.1e1",
		"2147483647", "2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "123456789012345678901",
		"0.1234567890123456789", "0.30000000000000004", "1797693134862315700" + strings.Repeat("0", 290), strings.Repeat("9", 400), "NaN", "null", `"1"`,
	} {
		for _, old := range []string{`"version":1`, `"partition":7`, `"offset":123456`, `"attempts":1`, `"duration_seconds":0.123456789`, `"first":123000`} {
			require.Contains(t, was, old)
			key, _, _ := strings.Cut(old, ":")
			_ = requireSameAsJSON(t, tracker.NewJSONReader(), []byte(strings.Replace(was, old, key+":"+number, 1)))
		}
	}
}

func FuzzReadJSON(f *testing.F) {
	s := benchSnapshot()
	f.Add(tracker.AppendJSON(nil, s))
	at := start.Add(-time.Nanosecond)
	failed := &tracker.Error{Class: "c", Code: "a\"b", Message: "Zoë \\ <&>"}
	s.EndedAt, s.Deadline, s.Unknown, s.Tags = &at, &at, true, map[string]string{"a": "b", "c": ""}
	s.Cause = &tracker.Cause{Step: "s", Class: "c", Code: "c", Message: "m", By: "b", Note: "n"}
	s.Parked = []tracker.Parked{{Service: "s", Since: at, Error: failed}, {Error: &tracker.Error{}}}
	s.Steps[0].Error, s.Steps[1].Pivot, s.Steps[2].UndoneAt, s.Next[0].WaitsFor = failed, true, &at, []string{"a", "b"}
	s.Fold = &tracker.Fold{First: -1, Requested: true, Turned: true, Kept: true, Parkings: []string{"p", "q"}}
	f.Add(tracker.AppendJSON(nil, s))
	f.Add(tracker.AppendJSON(nil, &tracker.Snapshot{Steps: []tracker.Step{}}))
	f.Add(tracker.AppendJSON(nil, &tracker.Snapshot{}))
	whole := tracker.AppendJSON(nil, benchSnapshot())
	f.Fuzz(func(t *testing.T, data []byte) {
		r := tracker.NewJSONReader()
		_ = requireSameAsJSON(t, r, data)
		require.NoError(t, requireSameAsJSON(t, r, whole))
		_ = requireSameAsJSON(t, r, data)
	})
}

// benchSnapshot is one as most are: five steps, of which the last is to come.
func benchSnapshot() *tracker.Snapshot {
	s := &tracker.Snapshot{
		ID: "01900000-7000-8000-a000-0000009e3779", Saga: "order", Version: 1, Status: choreo.StatusRunning, Initiator: "shop",
		StartedAt: start.Add(123456789), UpdatedAt: start.Add(987654321), TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
		Partition: 7, Offset: 123_456, Events: 5, Fold: &tracker.Fold{First: 123_000},
	}
	names := []string{"create-order", "reserve-stock", "charge-payment", "book-courier", "send-receipt"}
	services := []string{"orders", "stock", "payments", "delivery", "mail"}
	for i, name := range names {
		ready, ended := start.Add(time.Duration(i)*123456789), start.Add(time.Duration(i+1)*123456789)
		k := tracker.Step{Name: name, Service: services[i], Status: choreo.StepReady, ReadyAt: &ready}
		if i < 4 {
			k.Status, k.Attempts, k.EndedAt, k.Seconds = choreo.StepDone, 1, &ended, ended.Sub(ready).Seconds()
		}
		s.Steps = append(s.Steps, k)
	}
	s.Next = []tracker.Next{{Step: names[4], Service: services[4], Run: choreo.RunExecute, Ready: true}}
	return s
}

func BenchmarkReadJSON(b *testing.B) {
	data := tracker.AppendJSON(nil, benchSnapshot())
	b.Run("tracker", func(b *testing.B) {
		r := tracker.NewJSONReader()
		require.NotNil(b, r.Fast(data))
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Read(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var s tracker.Snapshot
			if err := json.Unmarshal(data, &s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
