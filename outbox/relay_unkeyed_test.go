package outbox_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/outboxtest"
)

// A record without a key has no order, so that none waits for the one that fails. They
// are claimed together, though: the one that fails must not bring the others out again.
func TestRelayPublishesUnkeyedRecordsOnceBesideOneThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, outbox.RelayConfig{})
		r.log.SetAnswers(func(rec *choreo.Record) outboxtest.Answer {
			if string(rec.Value) == "poison" {
				return outboxtest.Refuse
			}
			return outboxtest.Acknowledge
		})
		r.run()
		emit := func(values ...string) {
			var changes outbox.Changes
			for _, v := range values {
				changes.Entries = append(changes.Entries, outbox.Entry{
					ID: uuid.NewString(), Type: "record", Record: choreo.Record{Topic: "notes", Value: []byte(v)},
				})
			}
			u, err := r.store.Begin(t.Context())
			require.NoError(t, err)
			require.NoError(t, u.Commit(t.Context(), changes))
			synctest.Wait()
		}
		emit("poison", "a", "b")
		require.Equal(t, []string{"a", "b"}, r.log.Values())
		for _, v := range []string{"c", "d", "e"} {
			emit(v)
			r.pass(20 * time.Second)
		}
		require.Equal(t, []string{"a", "b", "c", "d", "e"}, r.log.Values(), "each once")
		require.Less(t, r.log.Refused(), 25, "the one that fails is tried with a backoff, whatever goes out beside it")
		require.Len(t, r.messages(), 1)

		r.log.SetAnswers(nil)
		r.pass(10 * time.Second)
		require.Equal(t, []string{"a", "b", "c", "d", "e", "poison"}, r.log.Values())
		require.Equal(t, []string{"records of held keys were published"}, r.messages())
		require.Zero(t, r.relay.Stats().Held)
	})
}
