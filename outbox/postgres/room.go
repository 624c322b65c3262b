package postgres

import (
	"slices"

	"github.com/jackc/pgx/v5"
)

// room is a message of no bytes that has a connection's buffer of what it is about to send grow at once
// to what a batch takes. pgx begins with 1 kB for each batch and doubles it as it goes, which for one of
// hundreds of rows comes to several times its size in garbage.
type room int

// Frontend implements pgproto3.FrontendMessage.
func (room) Frontend() {}

// Decode implements pgproto3.Message.
func (room) Decode([]byte) error { return nil }

// Encode implements pgproto3.Message.
func (r room) Encode(dst []byte) ([]byte, error) { return slices.Grow(dst, int(r)), nil }

// makeRoom makes room for a batch that is large.
func makeRoom(conn *pgx.Conn, batch *pgx.Batch) {
	const (
		large     = 4 << 10
		statement = 128 // what a statement takes besides its values
		value     = 16  // besides its bytes; and all of a number
	)
	size := 0
	for _, query := range batch.QueuedQueries {
		size += statement
		for _, arg := range query.Arguments {
			size += value
			switch arg := arg.(type) {
			case string:
				size += len(arg)
			case []byte:
				size += len(arg)
			}
		}
	}
	if size >= large {
		conn.PgConn().Frontend().Send(room(size))
	}
}
