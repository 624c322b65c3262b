package topics_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

func TestDeadLetterKeepsTheRecordAndSaysWhereItDied(t *testing.T) {
	rec := choreo.Record{
		Topic: "shop.order.events", Partition: 3, Offset: 1 << 40, Time: time.UnixMilli(1_700_000_000_123),
		Key: []byte("o-1"), Value: []byte{0xFF, 0}, Headers: []choreo.Header{{Key: "ce_type", Value: []byte("?")}},
	}
	_, cause := topics.Decode(&rec)
	dead := topics.DeadLetter(&rec, "shop.dlq", "shop.payments", fmt.Errorf("payments: %w", cause))

	require.Equal(t, "shop.dlq", dead.Topic)
	require.Equal(t, choreo.AnyPartition, dead.Partition)
	require.Equal(t, rec.Key, dead.Key)
	require.Equal(t, rec.Value, dead.Value)
	require.Len(t, rec.Headers, 1, "the record itself is left alone")
	require.Equal(t, map[string]string{
		"ce_type":                           "?",
		"kafka_dlt-original-topic":          "shop.order.events",
		"kafka_dlt-original-partition":      "\x00\x00\x00\x03",
		"kafka_dlt-original-offset":         "\x00\x00\x01\x00\x00\x00\x00\x00",
		"kafka_dlt-original-timestamp":      "\x00\x00\x01\x8b\xcf\xe5\x68\x7b",
		"kafka_dlt-original-consumer-group": "shop.payments",
		"kafka_dlt-exception-fqcn":          "*topics.DecodeError",
		"kafka_dlt-exception-message":       "payments: record is not an event: ce_specversion: missing or empty",
	}, headers(dead))
}

func TestDeadLetterOfADeadLetterNamesTheLastDeath(t *testing.T) {
	rec := choreo.Record{Topic: "a", Partition: 1, Offset: 7, Value: []byte("v")}
	again := topics.DeadLetter(&rec, "dlq", "g", errors.New("first"))
	again.Topic, again.Partition, again.Offset = "b", 2, 9
	dead := topics.DeadLetter(&again, "dlq", "g", errors.New("second"))

	require.Len(t, dead.Headers, 7)
	require.Equal(t, "b", headers(dead)["kafka_dlt-original-topic"])
	require.Equal(t, "second", headers(dead)["kafka_dlt-exception-message"])
	require.Equal(t, "first", headers(again)["kafka_dlt-exception-message"], "the headers are not shared")
}

func TestDeadLetterBoundsTheCause(t *testing.T) {
	dead := topics.DeadLetter(&choreo.Record{}, "dlq", "g", errors.New(strings.Repeat("é", 5000)))
	message := headers(dead)["kafka_dlt-exception-message"]
	require.Less(t, len(message), 4100)
	require.True(t, utf8.ValidString(message))
}

func headers(rec choreo.Record) map[string]string {
	m := make(map[string]string, len(rec.Headers))
	for _, h := range rec.Headers {
		m[h.Key] = string(h.Value)
	}
	return m
}
