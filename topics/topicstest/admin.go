package topicstest

import (
	"maps"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

func admin(r *rig) {
	name, absent := r.name(), r.name()
	spec := topics.TopicSpec{Name: name, Partitions: 2, Settings: map[string]string{"retention.ms": "123000"}}
	require.NoError(r, r.log.CreateTopic(r.ctx, spec))
	require.ErrorIs(r, r.log.CreateTopic(r.ctx, spec), topics.ErrTopicExists)

	states, err := r.log.DescribeTopics(r.ctx, name, absent)
	require.NoError(r, err)
	require.NotContains(r, states, absent)
	require.Contains(r, states, name)
	require.Equal(r, 2, states[name].Partitions)
	require.Equal(r, "123000", states[name].Settings["retention.ms"])
	require.Equal(r, "delete", states[name].Settings["cleanup.policy"], "defaults are described too")

	require.NoError(r, r.log.AddPartitions(r.ctx, name, 5))
	require.NoError(r, r.log.SetConfig(r.ctx, name, map[string]string{"cleanup.policy": "compact"}))
	// A cluster acknowledges a change a moment before every broker shows it.
	var state topics.TopicState
	for state.Partitions != 5 || state.Settings["cleanup.policy"] != "compact" {
		states, err = r.log.DescribeTopics(r.ctx, name)
		require.NoError(r, err, "waiting for the changes to show: %+v", state)
		state = states[name]
	}
	require.Equal(r, "123000", state.Settings["retention.ms"], "other settings are left alone")

	require.Error(r, r.log.AddPartitions(r.ctx, name, 3), "a topic does not shrink")
	require.ErrorIs(r, r.log.AddPartitions(r.ctx, absent, 3), topics.ErrUnknownTopic)
	require.ErrorIs(r, r.log.SetConfig(r.ctx, absent, map[string]string{"retention.ms": "1"}), topics.ErrUnknownTopic)
}

func topology(r *rig) {
	step := choreo.NewStep[string, string]("only")
	saga := choreo.MustDefine[string]("parcel", 1, step.OwnedBy("post"))
	names, err := topics.NewNames(r.name())
	require.NoError(r, err)
	specs := topics.Topology(names, []choreo.AnySaga{saga}, topics.TopologyOptions{Partitions: 2, Retention: time.Hour})

	plan, err := topics.NewPlan(r.ctx, r.log, specs)
	require.NoError(r, err)
	require.Len(r, plan.Changes, len(specs))
	require.Error(r, topics.Verify(r.ctx, r.log, specs))
	apply := func(plan *topics.Plan) {
		var appliers sync.WaitGroup
		for range 2 { // two processes at once
			appliers.Go(func() {
				if err := plan.Apply(r.ctx, r.log); err != nil {
					r.Errorf("apply: %v", err)
				}
			})
		}
		appliers.Wait()
		require.NoError(r, topics.Verify(r.ctx, r.log, specs))
	}
	apply(plan)

	for i := range specs {
		specs[i].Settings = maps.Clone(specs[i].Settings)
		specs[i].Settings["max.message.bytes"] = "3000000"
		specs[i].Partitions++
	}
	plan, err = topics.NewPlan(r.ctx, r.log, specs)
	require.NoError(r, err)
	require.Len(r, plan.Changes, 2*len(specs))
	apply(plan)
}
