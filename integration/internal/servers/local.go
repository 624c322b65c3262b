package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// script is a program that controls a server: integration/scripts/kafka.sh,
// postgres.sh, registry.sh, or one that the environment names.
type script struct {
	path string
	show string // argument that prints the server's address
	find func() (string, error)
}

// localScript returns the project's script of that name.
func localScript(name, show string) *script {
	return &script{show: show, find: func() (string, error) {
		dir, err := scriptFolder()
		return filepath.Join(dir, name), err
	}}
}

// scriptFolder looks for integration/scripts from the working folder upwards: go test
// runs a package's tests in the package's folder.
func scriptFolder() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		scripts := filepath.Join(dir, "integration", "scripts")
		if _, err := os.Stat(filepath.Join(scripts, "kafka.sh")); err == nil {
			return scripts, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no integration/scripts in or above %s", start)
		}
	}
}

func (s *script) run(ctx context.Context, verb string) error {
	_, err := s.output(ctx, verb)
	return err
}

// address returns where the server is, and an error if it does not run.
func (s *script) address(ctx context.Context) (string, error) {
	out, err := s.output(ctx, s.show)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 {
		return "", errors.New("it does not run")
	}
	return strings.TrimSpace(out), err
}

func (s *script) output(ctx context.Context, verb string) (string, error) {
	path := s.path
	if s.find != nil {
		var err error
		if path, err = s.find(); err != nil {
			return "", err
		}
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, verb)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", path, verb, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Control returns the control that calls the script.
func (s *script) Control() *Control { return &Control{do: s.run} }
