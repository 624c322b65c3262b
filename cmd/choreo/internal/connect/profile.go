package connect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
)

// profiles is the file of profiles.
type profiles struct {
	Default  string                       `yaml:"default"`
	Profiles map[string]map[string]string `yaml:"profiles"`
}

// profileKey is how a secret's file is called in a profile: "sasl-password-file".
func profileKey(env string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(env, "CHOREO_"), "_", "-")) + "-file"
}

// ProfileFile returns the path of the file of profiles, "" where the environment names no
// place for one.
func ProfileFile(env Env) string {
	if path := env(configFile); path != "" {
		return path
	}
	folder := env("XDG_CONFIG_HOME")
	switch {
	case folder != "":
	case runtime.GOOS == "windows":
		folder = env("AppData")
	case env("HOME") != "":
		folder = filepath.Join(env("HOME"), ".config")
	}
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, "choreo", "config.yaml")
}

// readProfile returns the settings of the profile of that name, else of the one that the
// environment or the file itself names. No file is no error unless a profile was asked for.
func readProfile(name string, env Env) (map[string]string, error) {
	if name == "" {
		name = env("CHOREO_PROFILE")
	}
	path := ProfileFile(env)
	file, err := readProfiles(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && name == "" && env(configFile) == "":
		return map[string]string{}, nil
	case errors.Is(err, fs.ErrNotExist) && name != "":
		return nil, exit.NotFoundf("profile %q: there is no file of profiles at %s: make one, or set %s", name, path, configFile)
	case err != nil:
		return nil, exit.With(exit.Usage, err)
	}
	if name == "" {
		name = file.Default
	}
	if name == "" {
		return map[string]string{}, nil
	}
	profile, ok := file.Profiles[name]
	if !ok {
		return nil, exit.NotFoundf("profile %q is not in %s: it has %s", name, path, strings.Join(slices.Sorted(maps.Keys(file.Profiles)), ", "))
	}
	return profile, checkKeys(path, name, profile)
}

func readProfiles(path string) (*profiles, error) {
	if path == "" {
		return nil, fs.ErrNotExist
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the file of profiles: %w", err)
	}
	var file profiles
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the file of profiles %s cannot be read: %w: see 'choreo help profiles'", path, err)
	}
	return &file, nil
}

// checkKeys refuses what no setting is called.
func checkKeys(path, name string, profile map[string]string) error {
	known := []string{profileKey(saslPassword), profileKey(registryPassword), profileKey(registryToken)}
	for _, s := range settings() {
		if s.flag != "profile" {
			known = append(known, s.flag)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(profile)) {
		if !slices.Contains(known, key) {
			slices.Sort(known)
			return exit.Usagef("profile %q in %s: there is no setting %q: use %s", name, path, key, strings.Join(known, ", "))
		}
	}
	return nil
}
