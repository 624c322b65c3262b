package migration

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Migration is one step of a schema's history: a file named 0001_words.sql.
type Migration struct {
	Version int
	Name    string
	SQL     string
}

// Migrations reads the migrations of a folder. Their versions count up from 1.
func Migrations(files fs.FS, folder string) ([]Migration, error) {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	list := make([]Migration, 0, len(entries))
	for _, e := range entries {
		number, name, _ := strings.Cut(strings.TrimSuffix(e.Name(), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || name == "" {
			return nil, fmt.Errorf("migration %s: its name is not <version>_<words>.sql", e.Name())
		}
		data, err := fs.ReadFile(files, path.Join(folder, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", e.Name(), err)
		}
		list = append(list, Migration{Version: version, Name: name, SQL: string(data)})
	}
	slices.SortFunc(list, func(a, b Migration) int { return a.Version - b.Version })
	for i, m := range list {
		if m.Version != i+1 {
			return nil, fmt.Errorf("migration %d (%s): version %d is missing", m.Version, m.Name, i+1)
		}
	}
	return list, nil
}

// NewerError is returned by Migrate for a database that a newer build has migrated.
type NewerError struct {
	Database int // its version
	Build    int // the newest version that this build knows
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database is at version %d of Choreo's tables, this build knows up to %d: a newer build has migrated it; upgrade this service",
		e.Database, e.Build)
}

// Pending returns the migrations that a database at a version lacks.
func Pending(list []Migration, version int) ([]Migration, error) {
	if version > len(list) {
		return nil, &NewerError{Database: version, Build: len(list)}
	}
	return list[version:], nil
}
