package main

import (
	"cmp"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/cmd/choreo/internal/connect"
	"github.com/choreo-go/choreo/cmd/choreo/internal/sagas"
	"github.com/choreo-go/choreo/tracker"
)

// withPeers returns a tracker and those of the other parts as one, and what is to be closed; nil where
// there are no others.
func withPeers(own *tracker.Tracker, settings *connect.Settings, s *serving, logger *zap.Logger) (*tracker.Joined, closers, error) {
	if len(s.peers) == 0 {
		return nil, nil, nil
	}
	var peers closers
	parts := []tracker.Part{tracker.Own(strings.TrimSpace("this tracker "+s.shard), own)}
	for _, address := range s.peers {
		peer, err := settings.Peer(address)
		if err != nil {
			return nil, nil, err
		}
		peers = append(peers, peer)
		parts = append(parts, tracker.Part{Name: hostOf(address), Source: sagas.Peer(peer)})
	}
	return tracker.Join(parts, &tracker.JoinConfig{Shared: s.shared(), Logger: logger}), peers, nil
}

// shared reports whether several trackers have one model, by where it is.
func (s *serving) shared() bool {
	kind, _, _ := strings.Cut(s.model, ":")
	return kind == "postgres" || kind == "redis"
}

// hostOf is how a peer is called: its host and port.
func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil {
		return cmp.Or(u.Host, address)
	}
	return address
}
