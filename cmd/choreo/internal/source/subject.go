package source

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/schema"
)

// subjectPrefix marks an argument that names a subject of a registry.
const subjectPrefix = "subject:"

// Subject is a subject of a registry, or one version of it.
type Subject struct {
	Name    string
	Version int // 0: the latest
}

// ParseSubject reads an argument of the form "subject:NAME" or "subject:NAME@VERSION". It
// reports false for any other argument.
func ParseSubject(arg string) (Subject, bool, error) {
	name, ok := strings.CutPrefix(arg, subjectPrefix)
	if !ok {
		return Subject{}, false, nil
	}
	s, err := NameAndVersion(name)
	return s, true, err
}

// NameAndVersion reads "NAME" or "NAME@VERSION".
func NameAndVersion(arg string) (Subject, error) {
	s := Subject{Name: arg}
	if at := strings.LastIndexByte(arg, '@'); at >= 0 && arg[at+1:] != "latest" {
		number, err := strconv.Atoi(arg[at+1:])
		if err != nil || number < 1 {
			return Subject{}, exit.Usagef("%q: the version behind '@' is a number from 1, or \"latest\"", arg)
		}
		s = Subject{Name: arg[:at], Version: number}
	} else if at >= 0 {
		s.Name = arg[:at]
	}
	if s.Name == "" {
		return Subject{}, exit.Usagef("%q names no subject: 'choreo schema list' has them", arg)
	}
	return s, nil
}

// Until returns the versions of the subject up to the one that is meant, oldest first.
func (s Subject) Until(ctx context.Context, registry schema.Registry) ([]schema.Version, error) {
	all, err := registry.Versions(ctx, s.Name)
	if errors.Is(err, schema.ErrUnknownSchema) || err == nil && len(all) == 0 {
		return nil, exit.NotFoundf("there is no subject %q: 'choreo schema list' has them", s.Name)
	}
	if err != nil {
		return nil, err
	}
	if s.Version == 0 {
		return all, nil
	}
	for i := range all {
		if all[i].Number == s.Version {
			return all[:i+1], nil
		}
	}
	return nil, exit.NotFoundf("subject %s has no version %d: the latest is %d", s.Name, s.Version, all[len(all)-1].Number)
}
