package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

func TestRoomIsNoMessage(t *testing.T) {
	var m pgproto3.FrontendMessage = room(10_000)
	before := []byte("what is sent before")
	after, err := m.Encode(before)
	require.NoError(t, err)
	require.Equal(t, "what is sent before", string(after))
	require.GreaterOrEqual(t, cap(after)-len(after), 10_000)
}
