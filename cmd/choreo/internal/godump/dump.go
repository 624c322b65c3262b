package godump

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/choreo-go/choreo/choreo"
)

// Saved is a definition that was written.
type Saved struct {
	Saga     string `json:"saga"`     // "name/version"
	Variable string `json:"variable"` // that holds it
	File     string `json:"file"`
}

// Dump writes the definitions of a Go package into a folder, which is made where there is none.
// The pattern is as that of "go build", from the current folder. Payloads whose definition names
// no encoding get a schema for that one.
func Dump(ctx context.Context, pattern, dir string, encoding choreo.MediaType) ([]Saved, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	f, err := find(ctx, pattern)
	if err != nil {
		return nil, err
	}
	text, err := source(f, string(encoding))
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "choreo-dump-*")
	if err != nil {
		return nil, err
	}
	saved, err := run(ctx, f, text, temp, dir)
	return saved, errors.Join(err, os.RemoveAll(temp))
}

// run runs the program, whose files are in the folder temp.
func run(ctx context.Context, f *found, text []byte, temp, dir string) ([]Saved, error) {
	env, err := goEnv(ctx)
	if err != nil {
		return nil, err
	}
	home := f.dir
	if !f.inMain {
		home = filepath.Dir(env.GOMOD) // a folder of another module lets no program in
	}
	main := filepath.Join(temp, "main.go")
	overlay := map[string]map[string]string{"Replace": {filepath.Join(home, "choreodump", "main.go"): main}}
	data, err := json.Marshal(overlay)
	if err != nil {
		return nil, err
	}
	list := filepath.Join(temp, "overlay.json")
	if err := errors.Join(os.WriteFile(main, text, 0o600), os.WriteFile(list, data, 0o600)); err != nil {
		return nil, err
	}
	args := []string{"run", "-overlay", list}
	more, err := ownModFile(env, temp)
	if err != nil {
		return nil, err
	}
	args = append(append(args, more...), "./choreodump", dir)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = home
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	printed, err := cmd.Output()
	if err != nil {
		return nil, explain(ctx, f, err, stderr.String())
	}
	return parse(printed)
}

// explain says why the program failed.
func explain(ctx context.Context, f *found, err error, stderr string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	const most = 20
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasPrefix(line, "go: downloading ") && !strings.HasPrefix(line, "exit status ") {
			lines = append(lines, line)
		}
	}
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	said := strings.Join(lines, "\n")
	switch {
	case strings.Contains(said, "missing go.sum entry"), strings.Contains(said, "no required module provides package"):
		return fmt.Errorf("the module of %s lacks what writes definitions: run 'go get github.com/choreo-go/choreo/...': %w\n%s", f.path, err, said)
	case strings.Contains(said, "panic: "):
		return fmt.Errorf("package %s panics where its variables are made: mend that first\n%s", f.path, said)
	case said == "":
		return fmt.Errorf("running the definitions of %s: %w", f.path, err)
	}
	return fmt.Errorf("running the definitions of %s: %s", f.path, said)
}

func parse(printed []byte) ([]Saved, error) {
	var all []Saved
	dec := json.NewDecoder(bytes.NewReader(printed))
	for {
		var one Saved
		err := dec.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, errors.New("the package prints to the standard output where its variables are made: let it print to standard error")
		}
		all = append(all, one)
	}
}

// environment is how the go command sees the current folder.
type environment struct{ GOMOD, GOWORK, GOFLAGS string }

func goEnv(ctx context.Context) (environment, error) {
	var env environment
	data, err := exec.CommandContext(ctx, "go", "env", "-json", "GOMOD", "GOWORK", "GOFLAGS").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return env, errors.New("the go command is needed to run definitions in Go, and is not installed: see https://go.dev/doc/install")
	}
	if err != nil {
		return env, fmt.Errorf("go env: %w", err)
	}
	if err := json.Unmarshal(data, &env); err != nil {
		return env, fmt.Errorf("go env: %w", err)
	}
	if env.GOMOD == "" || env.GOMOD == os.DevNull {
		return env, errors.New("the current folder belongs to no Go module: go to the one that holds the package")
	}
	return env, nil
}

// ownModFile lets the program need more modules than the package does, without a change of its
// go.mod: a copy takes what is added. A workspace and a vendor folder allow none.
func ownModFile(env environment, temp string) ([]string, error) {
	if env.GOWORK != "" && env.GOWORK != "off" || strings.Contains(env.GOFLAGS, "-mod") {
		return nil, nil
	}
	folder := filepath.Dir(env.GOMOD)
	if _, err := os.Stat(filepath.Join(folder, "vendor", "modules.txt")); err == nil {
		return nil, nil
	}
	for from, to := range map[string]string{env.GOMOD: "go.mod", filepath.Join(folder, "go.sum"): "go.sum"} {
		data, err := os.ReadFile(from)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(temp, to), data, 0o600); err != nil {
			return nil, err
		}
	}
	return []string{"-mod=mod", "-modfile", filepath.Join(temp, "go.mod")}, nil
}
