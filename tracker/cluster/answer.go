package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/tracker/api"
)

// maxSent bounds of how many commands it is kept where their log ended when they were written.
const maxSent = 1000

// sent keeps where logs ended before commands were written to them, so that answers are looked for
// from there on. Of other commands, such as those of another process, the whole partition is read.
type sent struct {
	mu    sync.Mutex
	ends  map[string]map[int32]int64 // by the command's id, then by partition
	order []string                   // the ids, the oldest first
}

func (s *sent) keep(id string, ends map[int32]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends == nil {
		s.ends = map[string]map[int32]int64{}
	}
	if len(s.order) == maxSent {
		delete(s.ends, s.order[0])
		s.order = s.order[1:]
	}
	s.ends[id] = ends
	s.order = append(s.order, id)
}

func (s *sent) of(id string) map[int32]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[id]
}

// noting gives a command, and keeps where its log ended before.
func (c *Cluster) noting(ctx context.Context, saga string, give func() (id string, err error)) (string, error) {
	ends := map[int32]int64{}
	list, err := c.log.GroupLag(ctx, c.names.Group("tracker"), c.names.Events(saga))
	if err != nil { // the answer is found all the same
		c.config.Logger.Info("cannot tell where a log ends, so that the answer to a command takes longer to find", zap.String("saga", saga), zap.Error(err))
	}
	for _, at := range list {
		ends[at.Partition] = at.End
	}
	id, err := give()
	if err == nil {
		c.sent.keep(id, ends)
	}
	return id, err
}

// Answer looks in a saga's log for what came of a command, and waits for so long until it is there.
// home is the saga's home partition, or [choreo.AnyPartition] where no snapshot tells it. The error
// wraps [api.ErrNoCommand] where the log has no such command.
func (c *Cluster) Answer(ctx context.Context, saga, id, command string, home int32, wait time.Duration) (api.Answer, error) {
	fail := func(err error) (api.Answer, error) {
		return api.Answer{}, fmt.Errorf("cluster: the answer to command %s of saga %s %q: %w", command, saga, id, err)
	}
	topic := c.names.Events(saga)
	states, err := c.log.DescribeTopics(ctx, topic)
	if err != nil {
		return fail(err)
	}
	state, ok := states[topic]
	if !ok {
		return fail(api.ErrNoCommand)
	}
	// A start stands where the id picks, all else in the home partition, which may be another
	// one since partitions were added.
	picked := topics.PartitionFor([]byte(id), max(state.Partitions, 1))
	search := answerSearch{id: id, command: command}
	config := topics.ReadConfig{
		Topic: topic, From: c.sent.of(command), BatchMax: 5000,
		Partitions: func(p int32) bool { return p == picked || p == home },
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	config.OnCaughtUp = func() {
		if search.found.Command == nil || wait <= 0 {
			stop()
			return
		}
		timer := time.AfterFunc(wait, stop)
		context.AfterFunc(reading, func() { timer.Stop() })
	}
	err = c.log.Read(reading, config, search.see)
	switch {
	case ctx.Err() != nil:
		return fail(context.Cause(ctx))
	case err != nil && !errors.Is(err, errEnough):
		return fail(err)
	case search.found.Command == nil:
		return fail(api.ErrNoCommand)
	}
	return search.found, nil
}

// answerSearch goes through a log until it has a command and what came of it.
type answerSearch struct {
	id, command string
	asked       *choreo.Event
	found       api.Answer
}

func (a *answerSearch) see(_ context.Context, batch []choreo.Record) error {
	for i := range batch {
		if string(batch[i].Key) != a.id {
			continue
		}
		ev, err := topics.Decode(&batch[i])
		if err != nil {
			continue // nobody answers by what is no event
		}
		rec := kept(&batch[i])
		switch {
		case a.asked == nil:
			if ev.ID == a.command {
				if !isCommand(ev.Type) {
					return nil
				}
				a.asked, a.found.Command = ev, &rec
			}
		case answers(a.asked, ev):
			a.found.Record = &rec
			return errEnough
		}
	}
	return nil
}

func isCommand(t choreo.EventType) bool {
	switch t {
	case choreo.StartRequested, choreo.AbortRequested, choreo.RetryRequested, choreo.ResolveRequested, choreo.ReleaseRequested:
		return true
	default:
		return false
	}
}

// answers reports whether an event behind a command is what came of it: one that names it as its
// cause, or the first end of the step that it was for.
func answers(command, ev *choreo.Event) bool {
	if ev.ID == command.ID || isCommand(ev.Type) {
		return false // it may stand there twice
	}
	if ev.CausationID == command.ID {
		return true
	}
	if command.Step == "" || ev.Step != command.Step {
		return false
	}
	switch ev.Type {
	case choreo.StepCompleted, choreo.StepCompensated, choreo.StepFailed, choreo.CompensationFailed, choreo.StepStuck:
		return true
	default: // CommandRejected names the command that it rejects
		return false
	}
}
