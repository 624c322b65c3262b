package topics_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/topics"
)

func TestAStatusComesBackAsItWas(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	s := &topics.Status{
		Service: "payments", Instance: "01923b2c", Build: "v1", StartedAt: at, At: at, EverySeconds: 10, Stopping: true,
		Partitions: 4, ReadError: "r", StoreError: "s", Outbox: topics.StatusOutbox{Entries: 3, OldestAt: &at}, Parked: 1, Open: 2, Queued: 3,
		Waiting: []topics.StatusRow{{
			Saga: "order", Version: 1, ID: "o-1", Step: "charge", State: choreo.RowRetrying, Stuck: true, Attempt: 7, DueAt: &at, Since: at,
			Error: &topics.StatusError{Class: choreo.ClassTimeout, Code: "timeout", Message: "card gateway timeout"},
		}},
	}
	rec, err := topics.EncodeStatus(s, "shop.participants")
	require.NoError(t, err)
	require.Equal(t, "payments/01923b2c", string(rec.Key))
	require.Equal(t, "application/json", headers(rec)["content-type"])
	got, err := topics.DecodeStatus(&rec)
	require.NoError(t, err)
	require.Equal(t, s, got)
}

func TestWhatIsNoStatusIsRefused(t *testing.T) {
	for says, rec := range map[string]choreo.Record{
		"unexpected end of JSON":    {Key: []byte("a/b")},
		"its key is \"a/c\"":        {Key: []byte("a/c"), Value: []byte(`{"service":"a","instance":"b"}`)},
		"invalid character":         {Key: []byte("a/b"), Value: []byte(`x`)},
		"service and instance are":  {Key: []byte("/"), Value: []byte(`{}`)},
		"instance are not named":    {Key: []byte("a\n/b"), Value: []byte(`{"service":"a\n","instance":"b"}`)},
		"not a participant's statu": {Key: []byte("a/b"), Value: []byte(`[]`)},
	} {
		_, err := topics.DecodeStatus(&rec)
		require.ErrorContains(t, err, says)
	}
}
