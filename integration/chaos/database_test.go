//go:build unix

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/choreo-go/choreo/outbox/postgres"
)

// database looks at the services' schemas from outside, in plain SQL.
type database struct{ pool *pgxpool.Pool }

// prepare makes the schemas, the books and Choreo's tables.
func (d *database) prepare(ctx context.Context) error {
	for _, service := range services {
		if err := openBooks(ctx, d.pool, service); err != nil {
			return fmt.Errorf("books of %s: %w", service, err)
		}
		if err := postgres.New(d.pool, &postgres.Config{Schema: service}).Migrate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// busy returns how many transactions a process has open, or all processes where none is
// named; 0, too, where the database does not say.
func (d *database) busy(ctx context.Context, process string) int {
	return d.ask(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
		AND application_name <> '' AND $1 IN ('', application_name)`, process)
}

// backlog returns how many entries wait in the outboxes; 0, too, where the database does
// not say.
func (d *database) backlog(ctx context.Context) int {
	n := 0
	for _, service := range services {
		n += d.ask(ctx, `SELECT count(*) FROM `+service+`.choreo_outbox`)
	}
	return n
}

func (d *database) ask(ctx context.Context, query string, args ...any) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var n int
	if err := d.pool.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0
	}
	return n
}

// unsettled returns what is left to do: entries of outboxes, parked records, rows that are
// not at rest or due, and open sagas.
func (d *database) unsettled(ctx context.Context) (int, error) {
	all := 0
	for _, service := range services {
		var n int
		err := d.pool.QueryRow(ctx, fmt.Sprintf(`SELECT (SELECT count(*) FROM %[1]s.choreo_outbox) + (SELECT count(*) FROM %[1]s.choreo_parked)
			+ (SELECT count(*) FROM %[1]s.choreo_step WHERE due_at IS NOT NULL OR state NOT IN ('completed', 'failed', 'skipped', 'undone'))
			+ (SELECT count(*) FROM %[1]s.choreo_saga WHERE due_at IS NOT NULL OR state <> 'closed')`, service)).Scan(&n)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

// gather reads all that the services and their handlers have written.
func (d *database) gather(ctx context.Context, r *remains) error {
	r.backlog, r.parked = make(map[string]int), make(map[string]int)
	r.sagaRows = make(map[sagaID]sagaRow)
	r.stepRows = make(map[stepID]stepRow)
	r.deeds = make(map[deed]int)
	for _, service := range services {
		if err := d.gatherRows(ctx, r, service); err != nil {
			return fmt.Errorf("rows of %s: %w", service, err)
		}
	}
	var err error
	entries := func(into *map[sagaID]entry, query string) {
		if err == nil {
			*into, err = keyed(ctx, d.pool, query, func(row pgx.Row, id *sagaID, e *entry) error {
				return row.Scan(&id.saga, &id.id, &e.status, &e.of, &e.amount)
			})
		}
	}
	entries(&r.purchases, `SELECT saga, order_id, status, customer, cents FROM orders.purchase`)
	entries(&r.reservations, `SELECT saga, order_id, status, sku, quantity FROM stock.reservation`)
	entries(&r.holds, `SELECT saga, order_id, status, customer, cents FROM payments.hold`)
	entries(&r.shipments, `SELECT saga, order_id, status, sku, quantity FROM shipping.shipment`)
	levels := func(into *map[string]level, query string) {
		if err == nil {
			*into, err = keyed(ctx, d.pool, query, func(row pgx.Row, name *string, l *level) error {
				return row.Scan(name, &l.initial, &l.free, &l.taken)
			})
		}
	}
	levels(&r.stock, `SELECT sku, initial, on_hand, reserved FROM stock.stock`)
	levels(&r.accounts, `SELECT customer, initial, balance, initial - balance FROM payments.account`)
	requests := func(into *map[sagaID]string, query string) {
		if err == nil {
			*into, err = keyed(ctx, d.pool, query, func(row pgx.Row, id *sagaID, status *string) error {
				return row.Scan(&id.saga, &id.id, status)
			})
		}
	}
	requests(&r.bank, `SELECT saga, order_id, status FROM payments.request`)
	requests(&r.carrier, `SELECT saga, order_id, status FROM shipping.request`)
	if err == nil {
		r.receipts, err = keyed(ctx, d.pool, `SELECT saga, order_id, true FROM orders.receipt`, func(row pgx.Row, id *sagaID, yes *bool) error {
			return row.Scan(&id.saga, &id.id, yes)
		})
	}
	return err
}

// gatherRows reads Choreo's tables and the deeds of one service.
func (d *database) gatherRows(ctx context.Context, r *remains, service string) error {
	var entries, parked int
	if err := d.pool.QueryRow(ctx, fmt.Sprintf(`SELECT (SELECT count(*) FROM %[1]s.choreo_outbox), (SELECT count(*) FROM %[1]s.choreo_parked)`,
		service)).Scan(&entries, &parked); err != nil {
		return err
	}
	r.backlog[service], r.parked[service] = entries, parked
	rows, err := keyed(ctx, d.pool, `SELECT saga, saga_id, state, due_at IS NOT NULL FROM `+service+`.choreo_saga`,
		func(row pgx.Row, id *sagaID, s *sagaRow) error {
			s.service = service
			return row.Scan(&id.saga, &id.id, &s.state, &s.due)
		})
	if err != nil {
		return err
	}
	steps, err := keyed(ctx, d.pool, `SELECT saga, saga_id, step, state, bypassed, announced, due_at IS NOT NULL FROM `+service+`.choreo_step`,
		func(row pgx.Row, id *stepID, s *stepRow) error {
			s.service = service
			return row.Scan(&id.saga, &id.id, &id.step, &s.state, &s.bypassed, &s.announced, &s.due)
		})
	if err != nil {
		return err
	}
	deeds, err := keyed(ctx, d.pool, `SELECT saga, order_id, step, what, count(*) FROM `+service+`.deed GROUP BY 1, 2, 3, 4`,
		func(row pgx.Row, what *deed, n *int) error {
			return row.Scan(&what.saga, &what.id, &what.step, &what.what, n)
		})
	if err != nil {
		return err
	}
	for id, row := range rows {
		if other, twice := r.sagaRows[id]; twice {
			return fmt.Errorf("%s: %s has a saga row, and so has %s", id, service, other.service)
		}
		r.sagaRows[id] = row
	}
	for id, row := range steps {
		if other, twice := r.stepRows[id]; twice {
			return fmt.Errorf("%v: %s has a row of the step, and so has %s", id, service, other.service)
		}
		r.stepRows[id] = row
	}
	for what, n := range deeds {
		r.deeds[what] += n
	}
	return nil
}

// keyed reads a table into a map. A key that comes twice is an error.
func keyed[K comparable, V any](ctx context.Context, db *pgxpool.Pool, query string, scan func(pgx.Row, *K, *V) error) (map[K]V, error) {
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[K]V)
	for rows.Next() {
		var k K
		var v V
		if err := scan(rows, &k, &v); err != nil {
			return nil, err
		}
		if _, twice := all[k]; twice {
			return nil, fmt.Errorf("%v comes twice from %s", k, query)
		}
		all[k] = v
	}
	return all, rows.Err()
}

// tables are those of a service that are kept when a run has failed.
func tables(service string) []string {
	names := []string{"choreo_step", "choreo_saga", "choreo_outbox", "choreo_parked", "deed"}
	return append(names, map[string][]string{
		orders: {"receipt", "purchase"}, stock: {"stock", "reservation"},
		payments: {"account", "hold", "request"}, shipping: {"shipment", "request"},
	}[service]...)
}

// dump copies all tables into a folder, as CSV.
func (d *database) dump(ctx context.Context, dir string) error {
	for _, service := range services {
		for _, table := range tables(service) {
			if err := d.dumpTable(ctx, service+"."+table, filepath.Join(dir, service+"."+table+".csv")); err != nil {
				return fmt.Errorf("%s.%s: %w", service, table, err)
			}
		}
	}
	return nil
}

func (d *database) dumpTable(ctx context.Context, table, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return d.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		_, err := conn.Conn().PgConn().CopyTo(ctx, file, "COPY (SELECT * FROM "+table+") TO STDOUT WITH (FORMAT csv, HEADER)")
		return err
	})
}

// rowsOf tells all that the services hold of a saga, a line each.
func (d *database) rowsOf(ctx context.Context, id sagaID) (lines []string, err error) {
	for _, service := range services {
		for _, table := range tables(service) {
			column := "order_id"
			switch table {
			case "choreo_step", "choreo_saga", "choreo_parked":
				column = "saga_id"
			case "choreo_outbox":
				column = "aggregateid"
			case "stock", "account":
				continue
			}
			query := fmt.Sprintf(`SELECT to_jsonb(t)::text FROM %s.%s AS t WHERE %s = $1`, service, table, column)
			rows, err := d.pool.Query(ctx, query, id.id)
			if err != nil {
				return lines, err
			}
			texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return lines, err
			}
			for _, text := range texts {
				lines = append(lines, service+"."+table+" "+text)
			}
		}
	}
	return lines, nil
}
