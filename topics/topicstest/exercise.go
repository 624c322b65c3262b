package topicstest

import (
	"testing"

	"github.com/choreo-go/choreo/topics"
)

// Exercise runs the suite. open returns a log of its own for each call, which Exercise
// closes; the logs may share one cluster, for names are unique. Exercise returns once
// all of its subtests, which run in parallel, have ended.
func Exercise(t *testing.T, open func(t *testing.T) topics.Log) {
	cases := []struct {
		name string
		run  func(*rig)
	}{
		{"RecordsComeBackAsTheyWere", recordsComeBack},
		{"PartitionIsPickedByKey", partitionByKey},
		{"HomePartitionIsKept", homePartition},
		{"RecordWithoutKey", recordWithoutKey},
		{"UnknownTopicFailsAlone", unknownTopic},
		{"RecordTooLargeFailsAlone", recordTooLarge},
		{"PublishEndsWithItsContext", publishContext},

		{"OrderPerKey", orderPerKey},
		{"NewGroupStartsAtOldest", newGroup},
		{"GroupGoesOnWhereItStopped", goesOn},
		{"SeveralTopics", severalTopics},
		{"SlowRecordHoldsTheOffset", slowRecord},
		{"SkippedRecordsMoveTheOffset", skipped},
		{"InFlightIsBounded", inFlight},
		{"DrainAtCancel", drain},
		{"HandlerErrorStops", handlerError},
		{"BadConfigIsRefused", badConfig},
		{"CloseEndsConsume", closeEnds},

		{"MembersShareAndTakeOver", share},
		{"RebalanceUnderLoadLosesNothing", rebalance},
		{"NewPartitionsAreRead", newPartitions},

		{"ReadFollowsATopic", readFollows},
		{"ReadToTheEnd", readToEnd},
		{"ReadFromOffsets", readFrom},
		{"ReadChosenPartitions", readChosen},
		{"ReadOfAnUnknownTopic", readUnknown},
		{"ReadFindsNewPartitions", readNewPartitions},
		{"ReadStopsAtAHandlersError", readHandlerError},
		{"CloseEndsRead", readCloses},
		{"ReadRefusesBadConfig", readBadConfig},
		{"TableHasTheLatestOfEachKey", readTable},

		{"LagOfAGroup", lag},
		{"LagAtAnUnknownTopic", lagUnknown},

		{"Topics", admin},
		{"TopologyIsApplied", topology},
	}
	t.Run("log", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(newRig(t, open(t)))
			})
		}
	})
}
