package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// measureOldRows compares bursts on databases that hold the rows of many sagas that have
// ended with those on databases that held none.
func measureOldRows(ctx context.Context, b *bench) (err error) {
	var open closers
	defer func() { err = errors.Join(err, open.close()) }()
	empty, stopEmpty, err := b.startBeside(ctx, &open, "empty", func(*place) error { return nil })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopEmpty()) }()
	if _, err := empty.burst(ctx, b.load("empty", b.warm())); err != nil {
		return err
	}
	pool, err := open.pool(ctx, b.postgres, 2)
	if err != nil {
		return err
	}
	old, stopOld, err := b.startBeside(ctx, &open, "old", func(at *place) error {
		return b.fillOld(ctx, pool, b.place("empty", nil).Schemas, at.Schemas)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopOld()) }()
	if _, err := old.burst(ctx, b.load("old", b.warm())); err != nil {
		return err
	}
	for i := range b.Runs {
		perSecond := make(map[string]float64)
		burst := func(name string, sys *system[pgx.Tx]) func() error {
			return func() error {
				took, err := sys.burst(ctx, b.load(name, b.Sagas))
				perSecond[name] = rate(b.Sagas, took)
				return err
			}
		}
		if err := alternate(i, burst("empty", empty), burst("old", old)); err != nil {
			return err
		}
		b.add("old-rows.empty", perSecond["empty"])
		b.add("old-rows.old", perSecond["old"])
		b.add("old-rows.against-empty", perSecond["old"]/perSecond["empty"])
	}
	return nil
}

// startBeside starts all services, on schemas that are got ready first, with so few
// connections that there is room for others.
func (b *bench) startBeside(ctx context.Context, open *closers, name string, ready func(*place) error) (*system[pgx.Tx], func() error, error) {
	at := b.place(name, b.brokers)
	at.Connections = 8
	s, err := open.real(ctx, at, create)
	if err != nil {
		return nil, nil, err
	}
	if err := ready(at); err != nil {
		return nil, nil, err
	}
	sys, err := start(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	return sys, sys.close, nil
}

// oldDays is over how many days the old rows are spread: fewer than after which they would
// be pruned.
const oldDays = 25

// fillOld fills schemas with the rows of sagas that have ended, made after those that a burst
// left in others.
func (b *bench) fillOld(ctx context.Context, pool *pgxpool.Pool, from, to string) error {
	b.note("  making %d old step rows and %d ended sagas", b.OldSteps, b.OldSagas)
	const stepsOfSaga = 5
	// A saga that went forward to its end.
	var model string
	err := pool.QueryRow(ctx, fmt.Sprintf(`SELECT s.saga_id FROM %[1]s.choreo_saga s JOIN %[1]s.choreo_step t USING (saga_id, saga)
		WHERE s.state = 'closed' AND t.step = $1 AND t.state = 'completed' LIMIT 1`, from+orders), confirm.Name()).Scan(&model)
	if err != nil {
		return fmt.Errorf("no saga that ended to make others after: %w", err)
	}
	for _, service := range order.Services() {
		if err := copyRows(ctx, pool, from+service, to+service, "choreo_step", model, b.OldSteps/stepsOfSaga); err != nil {
			return err
		}
	}
	if err := copyRows(ctx, pool, from+orders, to+orders, "choreo_saga", model, b.OldSagas); err != nil {
		return err
	}
	// What was written now, no burst has to write. It takes a privilege: where that is missing
	// the figures are a little worse, and no less true.
	_, _ = pool.Exec(ctx, `CHECKPOINT`)
	return nil
}

// copyRows makes n copies of the rows that a table has of a saga. Their ids are those that
// Choreo makes by itself, UUIDs in the order of time.
func copyRows(ctx context.Context, pool *pgxpool.Pool, from, to, table, model string, n int) error {
	names, err := columns(ctx, pool, from, table)
	if err != nil {
		return err
	}
	picks := make([]string, len(names))
	for i, name := range names {
		switch {
		case name == "saga_id":
			picks[i] = `lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '-7000-' || i || '-' || md5(i::text)`
		case strings.HasSuffix(name, "_at") && name != "due_at":
			picks[i] = "at"
		default:
			picks[i] = "m." + pgx.Identifier{name}.Sanitize()
		}
		names[i] = pgx.Identifier{name}.Sanitize()
	}
	if !slices.Contains(names, `"saga_id"`) {
		return fmt.Errorf("%s.%s has no column saga_id", from, table)
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(`INSERT INTO %[1]s.%[3]s (%[4]s) SELECT %[5]s
		FROM generate_series(1, $2::int) i
		CROSS JOIN LATERAL (SELECT now() - interval '%[6]d days' * (1 - i::float8 / $2::int) - interval '1 hour' AS at) t
		CROSS JOIN (SELECT * FROM %[2]s.%[3]s WHERE saga_id = $1) m`,
		to, from, table, strings.Join(names, ", "), strings.Join(picks, ", "), oldDays), model, n)
	if err != nil {
		return fmt.Errorf("fill %s.%s: %w", to, table, err)
	}
	// As autovacuum would have done by the time.
	_, err = pool.Exec(ctx, fmt.Sprintf(`VACUUM (ANALYZE) %s.%s`, to, table))
	return err
}
