package participant_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	memorylog "github.com/choreo-go/choreo/topics/memory"
)

// The first event of a saga is published before and again after partitions are added:
// its acknowledgement was lost. It must not begin the saga in two places.
func TestPartitionsAddedBetweenTwoPublishesSplitNoSaga(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		synctest.Wait() // until the partition counts are known
		lost := make(map[string]bool)
		w.log.OnPublish(func(rec *choreo.Record) memorylog.Fault {
			ev, err := topics.Decode(rec)
			if err == nil && ev.Type == choreo.Started && !lost[ev.SagaID] {
				lost[ev.SagaID] = true
				if len(lost) == 10 { // nine are in the log, and will be once more
					require.NoError(t, w.log.AddPartitions(t.Context(), "choreo.travel.events", 64))
				}
				return memorylog.Fault{After: topics.ErrClosed}
			}
			return memorylog.Fault{}
		})
		const n = 20
		for i := range n {
			w.begin(string(rune('a'+i)), trip{})
		}
		w.rest(n)
		homes := make(map[string]int32)
		for _, rec := range w.log.Records("choreo.travel.events") {
			if home, known := homes[string(rec.Key)]; known {
				require.Equal(t, home, rec.Partition, "saga %s", rec.Key)
			}
			homes[string(rec.Key)] = rec.Partition
		}
	})
}
