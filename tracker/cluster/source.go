package cluster

import (
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/tracker/api"
)

// Source returns all that an API answers from: a tracker's snapshots, and the cluster for the
// rest.
func (c *Cluster) Source(sagas api.Sagas) api.Source {
	return api.Source{
		Sagas: sagas, Explainer: c, Events: c, Definitions: c, Participants: c, DeadLetters: c, Commands: c, Answers: c,
		Codecs: []schema.Codec{&reader{cluster: c}, &protoReader{cluster: c}},
	}
}
