package topics_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

// Whatever fails and how often: each record is settled once, is where its result says, and
// keeps its place among those of its key.
func TestPublisherKeepsOrderAndAccountsWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) choreo.Record {
			return note(rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "key"), "")
		}), 1, 30).Draw(rt, "records")
		failures := make(map[string]int)
		for i := range records {
			v := fmt.Sprint(i)
			if rapid.IntRange(0, 9).Draw(rt, "size") == 0 {
				v += "/" + strings.Repeat("x", 2000)
			}
			failures[v] = max(0, rapid.IntRange(-6, 5).Draw(rt, "failures"))
			records[i].Value = []byte(v)
		}
		async, dead := rapid.Bool().Draw(rt, "async"), rapid.Bool().Draw(rt, "dead letters")
		batch := rapid.IntRange(1, 8).Draw(rt, "batch")
		synctest.Test(t, func(t *testing.T) {
			config := topics.PublisherConfig{Retry: choreo.FixedRetry(3, time.Second), BatchMax: batch, BufferBytes: 3000}
			if dead {
				config.DeadLetters = "dlq"
			}
			checkPublisher(t, newDirect(t, config), records, failures, async, dead)
		})
	})
}

func checkPublisher(t *testing.T, d *direct, records []choreo.Record, failures map[string]int, async, dead bool) {
	t.Helper()
	d.fail(failures)
	fate := make([]error, len(records))
	if async {
		results := make([]*topics.Result, len(records))
		for i := range records {
			results[i] = d.PublishAsync(context.Background(), records[i])
		}
		for i, r := range results {
			fate[i] = r.Err()
		}
	} else if errs := d.PublishBatch(context.Background(), records); errs != nil {
		fate = errs
	}

	published := make(map[string][]string) // by key
	for _, rec := range d.log.Records("notes") {
		published[string(rec.Key)] = append(published[string(rec.Key)], string(rec.Value))
	}
	want := make(map[string][]string)
	lost := make(map[string]bool) // keys of which a record failed without a dead letter
	var ok, failed, buried uint64
	for i, rec := range records {
		key, err := string(rec.Key), fate[i]
		var letter *topics.DeadLetteredError
		behind := key != "" && !async && lost[key]
		require.Equal(t, behind, errors.Is(err, topics.ErrEarlierFailed), "record %d: %v", i, err)
		switch {
		case err == nil:
			ok++
			want[key] = append(want[key], string(rec.Value))
			continue
		case errors.As(err, &letter):
			buried++
		default:
			lost[key] = true
		}
		failed++
		require.Equal(t, dead, letter != nil, "record %d: %v", i, err)
	}
	for key, values := range want {
		if key == "" {
			require.ElementsMatch(t, values, published[key])
		} else {
			require.Equal(t, values, published[key], "key %s", key)
		}
	}
	require.Len(t, d.log.Records("notes"), int(ok))
	require.Len(t, d.log.Records("dlq"), int(buried))
	s := d.Stats()
	require.Equal(t, []uint64{ok, failed, buried, 0}, []uint64{s.Published, s.Failed, s.DeadLettered, uint64(s.Waiting)})
}
