package api

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "saga=a&saga=b&version=1&status=stuck&sort=-ended&limit=5", "started_from=2026-01-31T12:00:00Z&q=%25", "limit=99999999999999999999",
		"%", "a=%zz&;=", "version=-1", "q=%ff", "sort=--started", "by=step", "saga", "status=stuck;status=x", "\x00=\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p := parseParameters(raw)
		q, by := p.query(), p.group("by")
		err := p.done()
		if err != nil {
			var problem *Problem
			require.ErrorAs(t, err, &problem)
			require.Equal(t, CodeBadParameter, problem.Code)
			require.NotEmpty(t, problem.Detail)
			return
		}
		require.NotEmpty(t, by)
		require.NotEmpty(t, q.Order)
		require.True(t, q.Limit >= 1 && q.Limit <= maxLimit)
		for _, v := range q.Versions {
			require.Positive(t, v)
		}
		for name := range p.values {
			require.True(t, p.taken[name], "what nobody took must be refused")
		}
		require.LessOrEqual(t, len(q.Search), maxValue)
		require.LessOrEqual(t, len(q.Sagas), maxValues)
	})
}
