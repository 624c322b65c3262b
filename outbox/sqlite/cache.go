package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// maxCached bounds the statements that a connection keeps. A service has fewer; where texts are made
// up as one goes there are ever new ones, and to keep them is of no use.
const maxCached = 128

// statements are those that a connection has run, by their texts: SQLite takes longer to parse what
// a handler sends than to run it. Only those with arguments are kept, since others, such as
// those that make tables, seldom run twice. One that is running, or whose rows are being read, is
// not among them, so that its text can be run meanwhile.
type statements map[string]driver.Stmt

// take returns the statement of a text.
func (c *conn) take(ctx context.Context, query string) (driver.Stmt, error) {
	if kept := c.idle[query]; kept != nil {
		delete(c.idle, query)
		return kept, nil
	}
	return c.PrepareContext(ctx, query)
}

// give takes back a statement that is done with.
func (c *conn) give(query string, s driver.Stmt) error {
	if c.idle[query] != nil {
		return s.Close()
	}
	var err error
	if len(c.idle) >= maxCached {
		err = c.forget()
	}
	c.idle[query] = s
	return err
}

func (c *conn) forget() error {
	var faults []error
	for _, s := range c.idle {
		faults = append(faults, s.Close())
	}
	clear(c.idle)
	return errors.Join(faults...)
}

// Close closes the connection.
func (c *conn) Close() error { return errors.Join(c.forget(), c.fullConn.Close()) }

// ExecContext runs a statement.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.fullConn.ExecContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	var result driver.Result
	if runs, ok := s.(driver.StmtExecContext); ok {
		result, err = runs.ExecContext(ctx, args)
	} else {
		err = lacks(s)
	}
	if given := c.give(query, s); err == nil {
		err = given
	}
	return result, err
}

// QueryContext runs a query.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 {
		return c.fullConn.QueryContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	r := &rows{over: func() error { return c.give(query, s) }}
	if runs, ok := s.(driver.StmtQueryContext); ok {
		r.fullRows, err = fullRowsOf(runs.QueryContext(ctx, args))
	} else {
		err = lacks(s)
	}
	if err != nil {
		_ = r.over() // err says what is wrong
		return nil, err
	}
	return r, nil
}

// lacks is the error for a part of the driver that cannot do what is asked of it.
func lacks(of any) error { return fmt.Errorf("sqlite: the driver lacks methods: %T", of) }

// fullRows is what the driver's rows can do.
type fullRows interface {
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

func fullRowsOf(r driver.Rows, err error) (fullRows, error) {
	if err != nil {
		return nil, err
	}
	full, ok := r.(fullRows)
	if !ok {
		_ = r.Close() // it was never read
		return nil, lacks(r)
	}
	return full, nil
}

// rows are the result of a query, and have its statement until they are closed.
type rows struct {
	fullRows
	over func() error
}

// Close ends the reading. It may be called again.
func (r *rows) Close() error {
	if r.over == nil {
		return nil
	}
	err := r.fullRows.Close()
	if over := r.over(); err == nil {
		err = over
	}
	r.over = nil
	return err
}
