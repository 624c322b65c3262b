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

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/memory"
)

func ExamplePlan() {
	ctx := context.Background()
	log := memory.New(memory.Options{})
	defer log.Close()
	names, _ := topics.NewNames("shop")
	specs := topics.Topology(names, []choreo.AnySaga{saga("order", 1)}, topics.TopologyOptions{})
	first, _ := topics.NewPlan(ctx, log, specs)
	if err := first.Apply(ctx, log); err != nil {
		panic(err)
	}
	fmt.Println(topics.Verify(ctx, log, specs))

	wanted := topics.Topology(names, []choreo.AnySaga{saga("order", 1), saga("refund", 1)}, topics.TopologyOptions{
		Partitions: 8, Retention: -1,
	})
	plan, _ := topics.NewPlan(ctx, log, append(wanted[2:4:4], wanted[5]))
	fmt.Print(plan)
	// Output:
	// <nil>
	// shop.order.events
	//   ! has 12 partitions, 8 wanted: a topic cannot be shrunk.
	//     Ask for 12 from now on, or let its sagas end and make it anew.
	//   ~ set retention.ms: 2592000000 -> -1
	// shop.order.tracker
	//   ! has 12 partitions, 8 wanted: a topic cannot be shrunk.
	//     Ask for 12 from now on, or let its sagas end and make it anew.
	// shop.refund.events
	//   + create with 8 partitions, replicas as the broker has it
	//       cleanup.policy = delete
	//       retention.ms = -1
	// 3 of 3 topics differ; 'topics apply' makes 2 changes; 2 to mend by hand.
}

func newLog(t *testing.T) *memory.Log {
	log := memory.New(memory.Options{})
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

func planOf(t *testing.T, log topics.Admin, specs ...topics.TopicSpec) *topics.Plan {
	plan, err := topics.NewPlan(t.Context(), log, specs)
	require.NoError(t, err)
	return plan
}

func spec(name string, partitions int, settings ...string) topics.TopicSpec {
	s := topics.TopicSpec{Name: name, Partitions: partitions, Settings: map[string]string{}}
	for i := 0; i < len(settings); i += 2 {
		s.Settings[settings[i]] = settings[i+1]
	}
	return s
}

func TestAPlanBringsTopicsToTheirSpecs(t *testing.T) {
	log := newLog(t)
	require.NoError(t, log.CreateTopic(t.Context(), spec("grows", 2, "retention.ms", "5")))
	require.NoError(t, log.CreateTopic(t.Context(), spec("right", 1)))
	specs := []topics.TopicSpec{
		spec("right", 1, "cleanup.policy", "delete"),
		spec("new", 3, "cleanup.policy", "compact"),
		spec("grows", 4, "retention.ms", "7", "segment.ms", "9"),
	}
	plan := planOf(t, log, specs...)
	require.Equal(t, []topics.Change{
		{Topic: "grows", Action: topics.ActionAddPartitions, Spec: specs[2], Partitions: 2},
		{Topic: "grows", Action: topics.ActionSetConfig, Spec: specs[2], Partitions: 2, Settings: []topics.SettingChange{
			{Name: "retention.ms", From: "5", To: "7"}, {Name: "segment.ms", From: "", To: "9"},
		}},
		{Topic: "new", Action: topics.ActionCreate, Spec: specs[1]},
	}, plan.Changes)

	require.NoError(t, plan.Apply(t.Context(), log))
	require.NoError(t, topics.Verify(t.Context(), log, specs))
	require.NoError(t, plan.Apply(t.Context(), log), "a second time")
	again := planOf(t, log, specs...)
	require.True(t, again.Empty())
	require.Equal(t, "All 3 topics are as they should be.\n", again.String())
}

func TestAPlanNeverShrinksATopic(t *testing.T) {
	log := newLog(t)
	require.NoError(t, log.CreateTopic(t.Context(), spec("wide", 5)))
	plan := planOf(t, log, spec("wide", 3))
	require.Len(t, plan.Changes, 1)
	require.Equal(t, topics.ActionByHand, plan.Changes[0].Action)
	require.NoError(t, plan.Apply(t.Context(), log))

	err := topics.Verify(t.Context(), log, []topics.TopicSpec{spec("wide", 3)})
	var drift *topics.DriftError
	require.ErrorAs(t, err, &drift)
	require.ErrorContains(t, err, "wide")
	require.ErrorContains(t, err, "has 5 partitions, 3 wanted")
	require.ErrorContains(t, err, "1 to mend by hand")
}

// race is a cluster on which another process does the same a moment earlier.
type race struct {
	topics.Admin
	first func()
}

func (r *race) once() {
	if first := r.first; first != nil {
		r.first = nil
		first()
	}
}

func (r *race) CreateTopic(ctx context.Context, s topics.TopicSpec) error {
	r.once()
	return r.Admin.CreateTopic(ctx, s)
}

func (r *race) AddPartitions(ctx context.Context, name string, total int) error {
	r.once()
	return r.Admin.AddPartitions(ctx, name, total)
}

func TestWhatAnotherProcessDidFirstCountsAsDone(t *testing.T) {
	log := newLog(t)
	want := spec("t", 4, "retention.ms", "7")
	plan := planOf(t, log, want)
	other := &race{Admin: log, first: func() {
		require.NoError(t, log.CreateTopic(t.Context(), spec("t", 2))) // by an older spec
	}}
	require.NoError(t, plan.Apply(t.Context(), other))
	require.NoError(t, topics.Verify(t.Context(), log, []topics.TopicSpec{want}))

	want.Partitions = 6
	plan = planOf(t, log, want)
	other.first = func() { require.NoError(t, log.AddPartitions(t.Context(), "t", 6)) }
	require.NoError(t, plan.Apply(t.Context(), other))
	require.NoError(t, topics.Verify(t.Context(), log, []topics.TopicSpec{want}))
}

// broken is a cluster that refuses changes.
type broken struct{ topics.Admin }

var errBroken = errors.New("not authorized")

func (broken) CreateTopic(context.Context, topics.TopicSpec) error        { return errBroken }
func (broken) AddPartitions(context.Context, string, int) error           { return errBroken }
func (broken) SetConfig(context.Context, string, map[string]string) error { return errBroken }

func TestApplyGoesOnAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		require.NoError(t, log.CreateTopic(t.Context(), spec("a", 1)))
		err := planOf(t, log, spec("a", 2, "retention.ms", "7"), spec("b", 1)).Apply(t.Context(), broken{log})
		require.ErrorIs(t, err, errBroken)
		require.ErrorContains(t, err, "add partitions a")
		require.ErrorContains(t, err, "set config a")
		require.ErrorContains(t, err, "create b")
	})
}

// slow is a cluster that shows what changed only a while later.
type slow struct {
	topics.Admin
	from time.Time
}

func (s *slow) DescribeTopics(ctx context.Context, names ...string) (map[string]topics.TopicState, error) {
	if time.Now().Before(s.from) {
		return nil, nil
	}
	return s.Admin.DescribeTopics(ctx, names...)
}

func TestApplyWaitsForAClusterThatIsSlowToShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		want := spec("t", 4, "retention.ms", "7")
		plan := planOf(t, log, want)
		require.NoError(t, log.CreateTopic(t.Context(), spec("t", 2)))
		require.NoError(t, plan.Apply(t.Context(), &slow{log, time.Now().Add(time.Second)}))
		require.NoError(t, topics.Verify(t.Context(), log, []topics.TopicSpec{want}))

		err := plan.Apply(t.Context(), &slow{log, time.Now().Add(time.Hour)})
		require.ErrorContains(t, err, "apply again")

		// A setting that is acknowledged is no error, however late it shows.
		want.Settings["retention.ms"] = "8"
		begin := time.Now()
		require.NoError(t, planOf(t, log, want).Apply(t.Context(), &slow{log, begin.Add(time.Second)}))
		require.Equal(t, time.Second, time.Since(begin), "Apply waits until it shows")
		require.NoError(t, planOf(t, log, spec("t", 4, "retention.ms", "9")).Apply(t.Context(), &slow{log, begin.Add(time.Hour)}))
	})
}

func TestAPlanFitsATerminal(t *testing.T) {
	log := newLog(t)
	names := shop(t)
	defs := []choreo.AnySaga{saga("order", 1)}
	wide := planOf(t, log, topics.Topology(names, defs, topics.TopologyOptions{Partitions: 9, ReplicationFactor: 3})...)
	texts := []string{wide.String()}
	require.NoError(t, wide.Apply(t.Context(), log))
	require.NoError(t, log.AddPartitions(t.Context(), names.Schemas(), 4))
	texts = append(texts,
		planOf(t, log, topics.Topology(names, defs, topics.TopologyOptions{Partitions: 3, Retention: -1})...).String(),
		planOf(t, log, topics.Topology(names, defs, topics.TopologyOptions{Partitions: 30})...).String())
	for _, text := range texts {
		for line := range strings.Lines(text) {
			require.LessOrEqual(t, len(line), 81, line)
		}
	}
}
