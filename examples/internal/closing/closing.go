// Package closing holds what an example opens and has to close at its end.
package closing

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Stack closes what was opened, last first. The zero value is empty.
type Stack struct{ closers []func() error }

// Later has Close call closer; what is named in its error.
func (s *Stack) Later(what string, closer func() error) {
	s.closers = append(s.closers, func() error {
		if err := closer(); err != nil {
			return fmt.Errorf("closing %s: %w", what, err)
		}
		return nil
	})
}

// Dir returns the folder of --data, which is made if it is not there, or, where none is named,
// a temporary one that Close removes.
func (s *Stack) Dir(data, pattern string) (string, error) {
	if data != "" {
		if err := os.MkdirAll(data, 0o755); err != nil {
			return "", fmt.Errorf("--data: %w", err)
		}
		return data, nil
	}
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", err
	}
	s.Later("the temporary directory", func() error { return os.RemoveAll(dir) })
	return dir, nil
}

// Close closes all, and returns every error.
func (s *Stack) Close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	s.closers = nil
	return errors.Join(errs...)
}
