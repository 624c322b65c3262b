package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
)

// routed sends one of kafka-go's requests to a broker of our choice, or to any. The
// transport would route it by its own metadata, which may be old, and would answer
// requests for metadata from there. A round trip returns the routed itself.
type routed struct {
	broker   int32 // anyBroker, or a node id
	clientID string
	request  protocol.Message

	version  int16 // set by the connection
	response protocol.Message
}

const anyBroker = -1

// correlation is the id of every raw exchange: a connection has one at a time.
const correlation = 1

func (r *routed) ApiKey() protocol.ApiKey { return r.request.ApiKey() }

// Broker implements protocol.BrokerMessage.
func (r *routed) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: r.broker}, nil
}

// Required implements protocol.RawExchanger.
func (r *routed) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[r.ApiKey()]
	return true
}

// RawExchange implements protocol.RawExchanger.
func (r *routed) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if p, ok := r.request.(protocol.PreparedMessage); ok {
		p.Prepare(r.version)
	}
	var err error
	r.response, err = protocol.RoundTrip(rw, r.version, correlation, r.clientID, r.request)
	return r, err
}

// exchange is a request that this package encodes, and whose response it decodes. A
// round trip returns the exchange itself. After one that failed the connection may still use it: then it, and its buffer,
// must not be used again.
type exchange struct {
	key        protocol.ApiKey
	minVersion int16
	broker     int32
	// buffer holds the request: what appendHeader appends, and the body. The response
	// takes its place if it has room.
	buffer []byte

	version int16  // set by the connection
	body    []byte // of the response, without its header
}

// appendHeader appends request header v1, of which RawExchange fills in what is left
// open: the length and the version.
func appendHeader(buf []byte, key protocol.ApiKey, clientID string) []byte {
	buf = append(buf, 0, 0, 0, 0)
	buf = binary.BigEndian.AppendUint16(buf, uint16(key))
	buf = append(buf, 0, 0)
	buf = binary.BigEndian.AppendUint32(buf, correlation)
	return appendString(buf, clientID)
}

func (e *exchange) ApiKey() protocol.ApiKey { return e.key }

// Broker implements protocol.BrokerMessage.
func (e *exchange) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: e.broker}, nil
}

// Required implements protocol.RawExchanger.
func (e *exchange) Required(versions map[protocol.ApiKey]int16) bool {
	e.version = versions[e.key]
	return true
}

// maxResponse bounds what is believed of a response's length: more is not Kafka.
const maxResponse = 1 << 30

// RawExchange implements protocol.RawExchanger. Responses have header v0.
func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if e.version < e.minVersion {
		return nil, fmt.Errorf("the broker is too old: it knows version %d of %s, and %d is needed", e.version, e.key, e.minVersion)
	}
	buf := e.buffer
	binary.BigEndian.PutUint32(buf, uint32(len(buf)-4))
	binary.BigEndian.PutUint16(buf[6:], uint16(e.version))
	if _, err := rw.Write(buf); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:4]))) - 4
	if size < 0 || size > maxResponse || binary.BigEndian.Uint32(head[4:]) != correlation {
		return nil, errors.New("the broker's response is not one of Kafka's: is this a Kafka port, and does it expect TLS?")
	}
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	e.buffer = buf
	e.body = buf[:size]
	if _, err := io.ReadFull(rw, e.body); err != nil {
		return nil, err
	}
	return e, nil
}

func appendString(buf []byte, s string) []byte {
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(s)))
	return append(buf, s...)
}

// reader reads the big-endian values of the Kafka protocol. After a fault all it
// returns is zero.
type reader struct {
	buf   []byte
	short bool
}

var errShort = errors.New("the broker's response is cut short")

func (r *reader) err() error {
	if r.short {
		return errShort
	}
	return nil
}

// take returns the next n bytes, or nil.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.buf) {
		r.short = true
		r.buf = nil
		return nil
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// text returns a string's bytes; nil for none.
func (r *reader) text() []byte {
	if n := r.int16(); n >= 0 {
		return r.take(int(n))
	}
	return nil
}

// bytes returns bytes with a 4-byte length; nil for none.
func (r *reader) bytes() []byte {
	if n := r.int32(); n >= 0 {
		return r.take(int(n))
	}
	return nil
}

// count returns an array's length: 0 also for none, and for more than can follow.
func (r *reader) count() int {
	n := int(r.int32())
	if n > len(r.buf) {
		r.short = true
		r.buf = nil
		return 0
	}
	return max(n, 0)
}

// varint returns a zigzag-encoded number, as in records.
func (r *reader) varint() int64 {
	if len(r.buf) > 0 && r.buf[0] < 0x80 { // as most are
		u := r.buf[0]
		r.buf = r.buf[1:]
		return int64(u>>1) ^ -int64(u&1)
	}
	v, n := binary.Varint(r.buf)
	if n <= 0 {
		r.short = true
		r.buf = nil
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

// varbytes returns bytes with a varint length; nil for a length of -1.
func (r *reader) varbytes() []byte {
	if n := r.varint(); n >= 0 {
		if n > int64(len(r.buf)) {
			n = int64(len(r.buf)) + 1
		}
		return r.take(int(n))
	}
	return nil
}
