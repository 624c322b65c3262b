package models

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/cmd/choreo/internal/exit"
	"github.com/choreo-go/choreo/tracker"
	"github.com/choreo-go/choreo/tracker/memory"
	"github.com/choreo-go/choreo/tracker/postgres"
	"github.com/choreo-go/choreo/tracker/sqlite"
)

// The variables that hold the URL of a model's server.
const (
	variable     = "CHOREO_MODEL"
	fileVariable = variable + "_FILE"
)

// Memory returns an empty model in memory, without bound: it holds what a topic does.
func Memory() tracker.Model { return memory.New(memory.Options{MaxEnded: -1}) }

// Open opens the model of a name: "memory", "sqlite:FILE", "postgres" or "redis". The URLs of
// the latter two are in the environment, and may hold passwords; "postgres://…" and "redis://…"
// without one may stand here. maxEnded bounds what one in memory keeps of what has ended.
func Open(ctx context.Context, name string, maxEnded int, env func(string) string) (tracker.Model, error) {
	kind, rest, _ := strings.Cut(name, ":")
	switch kind {
	case "memory":
		if rest != "" {
			break
		}
		return memory.New(memory.Options{MaxEnded: maxEnded}), nil
	case "sqlite":
		if rest == "" {
			return nil, exit.Usagef("--model sqlite: names no file: write sqlite:FILE")
		}
		model, err := sqlite.Open(rest)
		if err != nil {
			return nil, fmt.Errorf("--model: %w", err)
		}
		if err := model.Migrate(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("--model: %w", err), model.Close())
		}
		return model, nil
	case "postgres", "postgresql":
		address, err := addressOf(name, rest, env)
		if err != nil {
			return nil, err
		}
		return openPostgres(ctx, address)
	case "redis", "rediss":
		address, err := addressOf(name, rest, env)
		if err != nil {
			return nil, err
		}
		return openRedis(ctx, address)
	}
	return nil, exit.Usagef("--model %q: use memory, sqlite:FILE, postgres or redis", name)
}

// addressOf returns the URL of a server: the name itself, or what the environment has.
func addressOf(name, rest string, env func(string) string) (string, error) {
	if rest != "" {
		if userinfo, _, ok := strings.Cut(strings.TrimPrefix(rest, "//"), "@"); ok && strings.Contains(userinfo, ":") {
			return "", exit.Usagef("--model holds a password, which every process could read: set %s or %s, and say --model postgres or redis", variable, fileVariable)
		}
		return name, nil
	}
	value, file := env(variable), env(fileVariable)
	switch {
	case value != "" && file != "":
		return "", exit.Usagef("%s and %s are both set: unset one of them", variable, fileVariable)
	case value != "":
		return value, nil
	case file == "":
		return "", exit.Usagef("--model %s: its URL is missing: set %s or %s", name, variable, fileVariable)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", exit.With(exit.Usage, fmt.Errorf("%s: %w", fileVariable, err))
	}
	return strings.TrimSpace(string(data)), nil
}

// pooled closes the pool with the model.
type pooled struct {
	*postgres.Model
	pool *pgxpool.Pool
}

func (p pooled) Close() error {
	err := p.Model.Close()
	p.pool.Close()
	return err
}

func openPostgres(ctx context.Context, address string) (tracker.Model, error) {
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		return nil, exit.With(exit.Usage, fmt.Errorf("--model: %w", err))
	}
	model := postgres.New(pool, nil)
	if err := model.Migrate(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("--model: %w", err)
	}
	return pooled{model, pool}, nil
}
