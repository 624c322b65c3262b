package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/cmd/choreo/internal/models"
	"github.com/choreo-go/choreo/topics"
	"github.com/choreo-go/choreo/topics/kafka"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/api"
	"github.com/choreo-go/choreo/tracker/cluster"
)

// storyTime is when all stories are told.
var storyTime = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// still is a tracker whose sagas do not move.
type still struct{ tracker.Model }

func (still) Freshness(bool) tracker.Freshness {
	return tracker.Freshness{LagEvents: 3, LagSeconds: 1.5}
}

func (s still) Overview(ctx context.Context) (tracker.Overview, error) {
	o := tracker.Overview{Counts: map[choreo.Status]int64{}}
	counts, err := s.Count(ctx, tracker.Filter{}, tracker.GroupStatus)
	for _, c := range counts {
		o.Counts[choreo.Status(c.Key)] = c.Count
	}
	return o, err
}

func (still) Watch(ctx context.Context, _ tracker.Filter, _ uint64) <-chan tracker.Change {
	changes := make(chan tracker.Change)
	context.AfterFunc(ctx, func() { close(changes) })
	return changes
}

// connected returns a log on the story's broker.
func (s *story) connected() topics.Log {
	s.Helper()
	s.fill("{brokers}")
	log, err := kafka.New(kafka.Config{Brokers: strings.Split(s.brokers, ",")})
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, log.Close()) })
	return log
}

// track starts a tracker's API.
func (s *story) track() {
	s.Helper()
	names, err := topics.NewNames("choreo")
	require.NoError(s, err)
	s.model = models.Memory()
	now := func() time.Time { return storyTime }
	c := cluster.New(s.connected(), names, &cluster.Config{Now: now, Fresh: -1})
	server, err := api.New(c.Source(still{s.model}), &api.Config{Now: now})
	require.NoError(s, err)
	http := httptest.NewServer(server.Handler())
	s.Cleanup(func() {
		server.Close()
		http.Close()
		require.NoError(s, s.model.Close())
	})
	s.tracker = http.URL
}

// write writes the lines of a file to the topic that they belong to.
func (s *story) write(kind, file string) {
	s.Helper()
	data, err := os.ReadFile(file)
	require.NoError(s, err)
	names, err := topics.NewNames("choreo")
	require.NoError(s, err)
	s.fill("{tracker}")
	var records []choreo.Record
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Bytes()
		switch kind {
		case "snapshots":
			var snapshot tracker.Snapshot
			require.NoError(s, json.Unmarshal(line, &snapshot), "%s", line)
			value, err := json.Marshal(snapshot)
			require.NoError(s, err)
			records = append(records, choreo.Record{
				Topic: names.Tracker(snapshot.Saga), Partition: choreo.AnyPartition, Key: []byte(snapshot.ID), Value: value,
			})
			require.NoError(s, s.model.Put(s.Context(), []*tracker.Snapshot{&snapshot}, nil))
		case "statuses":
			var status topics.Status
			require.NoError(s, json.Unmarshal(line, &status), "%s", line)
			rec, err := topics.EncodeStatus(&status, names.Participants())
			require.NoError(s, err)
			rec.Time = status.At
			records = append(records, rec)
		case "events":
			var event choreo.Event
			require.NoError(s, json.Unmarshal(line, &event), "%s", line)
			records = append(records, topics.Encode(&event, names.Events(event.Saga)))
		}
	}
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	log := s.connected()
	if kind == "statuses" {
		_ = log.CreateTopic(ctx, topics.TopicSpec{Name: names.Participants(), Partitions: 1})
	}
	require.Nil(s, log.Publish(ctx, records))
}
