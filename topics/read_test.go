package topics_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
)

func ExampleReadTable() {
	log := memory.New(memory.Options{Partitions: 1})
	defer log.Close()
	for _, version := range []string{"first", "second"} {
		log.Publish(context.Background(), []choreo.Record{
			{Topic: "shop.schemas", Partition: choreo.AnyPartition, Key: []byte("order"), Value: []byte(version)},
		})
	}
	table, err := topics.ReadTable(context.Background(), log, "shop.schemas")
	fmt.Println(len(table), string(table["order"].Value), err)
	// Output:
	// 1 second <nil>
}

func TestATableIsWhatAMapWouldHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := memory.New(memory.Options{Partitions: rapid.IntRange(1, 3).Draw(t, "partitions")})
		defer log.Close()
		want := make(map[string]string)
		for n := range rapid.IntRange(0, 40).Draw(t, "records") {
			rec := choreo.Record{Topic: "t", Partition: choreo.AnyPartition, Value: fmt.Append(nil, n)}
			key := rapid.SampledFrom([]string{"a", "b", "c", "d", "", "none"}).Draw(t, "key")
			if key != "none" {
				rec.Key = []byte(key)
			}
			if rapid.IntRange(0, 4).Draw(t, "tombstone") == 0 {
				rec.Value = nil
			}
			require.Nil(t, log.Publish(context.Background(), []choreo.Record{rec}))
			switch {
			case rec.Key == nil:
			case rec.Value == nil:
				delete(want, key)
			default:
				want[key] = string(rec.Value)
			}
		}
		table, err := topics.ReadTable(context.Background(), log, "t")
		require.NoError(t, err)
		got := make(map[string]string)
		for key, rec := range table {
			got[key] = string(rec.Value)
		}
		require.Equal(t, want, got, "keys %v", slices.Sorted(maps.Keys(want)))
	})
}
