package sagas

import (
	"context"
	"time"

	"github.com/choreo-go/choreo/tracker"
)

// Peer returns a source as a tracker joins it with its own part.
func Peer(source Source) tracker.PartSource { return peer{source} }

type peer struct{ Source }

func (p peer) Get(ctx context.Context, saga, id string) (*tracker.Snapshot, error) {
	d, err := p.Saga(ctx, saga, id)
	if err != nil {
		return nil, err
	}
	return d.Saga, nil
}

func (p peer) List(ctx context.Context, q tracker.Query) (tracker.Page, error) {
	list, err := p.Source.List(ctx, q)
	if err != nil {
		return tracker.Page{}, err
	}
	return tracker.Page{Sagas: list.Sagas, Next: list.Next}, nil
}

// afterFault is how long a peer that is away is left alone before its changes are asked for again.
const afterFault = 2 * time.Second

// Watch asks for the changes for as long as ctx goes on. A Reset says that the stream has begun: what
// came before is not in it.
func (p peer) Watch(ctx context.Context, f tracker.Filter) <-chan tracker.Change {
	changes := make(chan tracker.Change)
	send := func(c tracker.Change) {
		select {
		case changes <- c:
		case <-ctx.Done():
		}
	}
	go func() {
		defer close(changes)
		for ctx.Err() == nil {
			err := p.Source.Watch(ctx, f, func() { send(tracker.Change{Reset: true}) }, func(s *tracker.Snapshot) error {
				if f.Matches(s) {
					send(tracker.Change{Snapshot: s})
				}
				return nil
			})
			if err == nil {
				continue
			}
			again := time.NewTimer(afterFault)
			select {
			case <-ctx.Done():
			case <-again.C:
			}
			again.Stop()
		}
	}()
	return changes
}
