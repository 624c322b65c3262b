package sqlite

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNameless(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"SELECT 1":                        "SELECT 1",
		"VALUES ($1, now() + $2), ($3)":   "VALUES (?, now() + ?), (?)",
		"$1$2$3$4$5$6$7$8$9$10$11":        "???????????",
		"SELECT $1 WHERE $2 = 1 OR $1":    "SELECT $1 WHERE $2 = 1 OR $1",
		"SELECT $2, $1":                   "SELECT $2, $1",
		"SELECT $1, $3":                   "SELECT $1, $3",
		"SELECT $1, $22":                  "SELECT $1, $22",
		"SELECT $10":                      "SELECT $10",
		"SELECT $1, '$'":                  "SELECT $1, '$'",
		"SELECT $1, $x":                   "SELECT $1, $x",
		"SELECT $1 WHERE text = 'why?'":   "SELECT $1 WHERE text = 'why?'",
		"SELECT ?1, $2":                   "SELECT ?1, $2",
		"INSERT INTO t VALUES ($1) -- $2": "INSERT INTO t VALUES (?) -- ?",
	} {
		require.Equal(t, want, nameless(text), text)
	}
}
