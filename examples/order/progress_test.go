package main

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		var screen bytes.Buffer
		resting := 998
		showProgress(ctx, &screen, func() (int, int) {
			resting++
			return 1500, resting
		})
		require.Equal(t, clearLine+"999 of 1,500 orders at rest, 100 ms"+
			clearLine+"1,000 of 1,500 orders at rest, 200 ms"+clearLine, screen.String())
	})
}

func TestLinesReplaceTheProgress(t *testing.T) {
	var screen bytes.Buffer
	_, err := overProgress{&screen}.Write([]byte("line 3: no\n"))
	require.NoError(t, err)
	require.Equal(t, clearLine+"line 3: no\n", screen.String())
	require.False(t, isTerminal(&screen))
}
