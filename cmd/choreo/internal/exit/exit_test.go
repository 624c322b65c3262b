package exit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

func ExampleOf() {
	err := fmt.Errorf("reading: %w", exit.Usagef("--mode is %q", "sideways"))
	fmt.Println(exit.Of(err), err)
	// Output: 2 reading: --mode is "sideways"
}

func TestEveryErrorHasACode(t *testing.T) {
	require.NoError(t, exit.With(exit.Usage, nil))
	for _, test := range []struct {
		err  error
		code exit.Code
	}{
		{nil, exit.OK},
		{errors.New("any"), exit.Error},
		{exit.ErrFindings, exit.Error},
		{exit.Usagef("use"), exit.Usage},
		{exit.NotFoundf("none"), exit.NotFound},
		{fmt.Errorf("read: %w", topics.ErrUnknownTopic), exit.NotFound},
		{fmt.Errorf("read: %w", schema.ErrUnknownSchema), exit.NotFound},
		{exit.With(exit.Turned, errors.New("undone")), exit.Turned},
		{fmt.Errorf("ask: %w", context.DeadlineExceeded), exit.TimedOut},
		{context.Canceled, exit.Interrupted},
		{exit.With(exit.Error, fmt.Errorf("%w", context.DeadlineExceeded)), exit.Error},
	} {
		require.Equal(t, test.code, exit.Of(test.err), "%v", test.err)
	}
}

func TestCodesAreListedOnceInOrder(t *testing.T) {
	last := exit.Code(-1)
	for _, m := range exit.Codes() {
		require.Greater(t, m.Code, last)
		require.NotEmpty(t, m.Text)
		last = m.Code
	}
}
