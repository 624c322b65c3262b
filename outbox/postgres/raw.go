package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/choreo-go/choreo/outbox/internal/table"
)

// raw reads rows of outbox entries from what the server sent, into memory that many rows share.
// For each of their values pgx would look for the way to read it, and allocate.
type raw struct {
	pgx.Rows
	space []byte
	last  []string // by column, the text of the last row: often the next one has the same
}

// rawSpace is how much memory is allocated at a time.
const rawSpace = 64 << 10

// of returns a result to read: rows itself where a value comes as text that is none.
func (r *raw) of(rows pgx.Rows) table.Result {
	for _, field := range rows.FieldDescriptions() {
		if field.Format != pgx.BinaryFormatCode && field.DataTypeOID != pgtype.TextOID {
			return rows
		}
	}
	r.Rows = rows
	return r
}

var errColumn = errors.New("the column has another type")

// Scan reads the row.
func (r *raw) Scan(into ...any) error {
	values := r.RawValues()
	if len(values) != len(into) {
		return fmt.Errorf("%d columns for %d values", len(values), len(into))
	}
	if r.last == nil {
		r.last = make([]string, len(values))
	}
	for i, value := range values {
		if err := r.scan(i, value, into[i]); err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
	}
	return nil
}

func (r *raw) scan(column int, value []byte, into any) error {
	size := len(value)
	switch into := into.(type) {
	case *string:
		if value == nil {
			return errColumn
		}
		if r.last[column] != string(value) {
			r.last[column] = string(value)
		}
		*into = r.last[column]
		return nil
	case *[]byte:
		*into = r.own(value)
		return nil
	case *table.Bytes:
		*into = r.own(value)
		return nil
	case *int64:
		if size == 8 {
			*into = int64(binary.BigEndian.Uint64(value))
			return nil
		}
	case *int32:
		if size == 4 {
			*into = int32(binary.BigEndian.Uint32(value))
			return nil
		}
	case *bool:
		if size == 1 {
			*into = value[0] != 0
			return nil
		}
	case *table.Time:
		if size == 8 {
			// Microseconds since 2000, as PostgreSQL counts them.
			const epoch = 946684800
			since := int64(binary.BigEndian.Uint64(value))
			into.Time = time.Unix(epoch+since/1e6, since%1e6*1e3)
			return nil
		}
	}
	return errColumn
}

// own copies a value. Nil stays so, and an empty one does not become nil.
func (r *raw) own(value []byte) []byte {
	if value == nil {
		return nil
	}
	if len(value) > cap(r.space)-len(r.space) {
		r.space = make([]byte, 0, max(rawSpace, len(value)))
	}
	begin := len(r.space)
	r.space = append(r.space, value...)
	return r.space[begin:len(r.space):len(r.space)]
}
