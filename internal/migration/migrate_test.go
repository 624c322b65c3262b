package migration

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestMigrations(t *testing.T) {
	files := fstest.MapFS{
		"m/0002_more.sql":   {Data: []byte("B")},
		"m/0001_tables.sql": {Data: []byte("A")},
	}
	list, err := Migrations(files, "m")
	require.NoError(t, err)
	require.Equal(t, []Migration{{1, "tables", "A"}, {2, "more", "B"}}, list)

	pending, err := Pending(list, 1)
	require.NoError(t, err)
	require.Equal(t, list[1:], pending)
	pending, err = Pending(list, 2)
	require.NoError(t, err)
	require.Empty(t, pending)
	_, err = Pending(list, 3)
	var newer *NewerError
	require.ErrorAs(t, err, &newer)
	require.Equal(t, NewerError{Database: 3, Build: 2}, *newer)

	files["m/0004_gap.sql"] = &fstest.MapFile{}
	_, err = Migrations(files, "m")
	require.ErrorContains(t, err, "version 3 is missing")
	files["m/words.sql"] = &fstest.MapFile{}
	_, err = Migrations(files, "m")
	require.ErrorContains(t, err, "words.sql")
	_, err = Migrations(files, "nowhere")
	require.Error(t, err)
}
