package avro

import (
	"fmt"
	"math"
	"math/big"
	"time"
)

// logical is a logical type: https://avro.apache.org/docs/1.12.0/specification/#logical-types
type logical string

const (
	decimal              logical = "decimal"
	uuidText             logical = "uuid"
	date                 logical = "date"
	timeMillis           logical = "time-millis"
	timeMicros           logical = "time-micros"
	timestampMillis      logical = "timestamp-millis"
	timestampMicros      logical = "timestamp-micros"
	timestampNanos       logical = "timestamp-nanos"
	localTimestampMillis logical = "local-timestamp-millis"
	localTimestampMicros logical = "local-timestamp-micros"
	localTimestampNanos  logical = "local-timestamp-nanos"
)

// belongsTo says whether the logical type annotates the type.
func (l logical) belongsTo(k kind) bool {
	switch l {
	case decimal:
		return k == kindBytes || k == kindFixed
	case uuidText:
		return k == kindString || k == kindFixed
	case date, timeMillis:
		return k == kindInt
	case timeMicros, timestampMillis, timestampMicros, timestampNanos,
		localTimestampMillis, localTimestampMicros, localTimestampNanos:
		return k == kindLong
	default:
		return false
	}
}

// isInstant says whether values are points in time, with or without a zone.
func (l logical) isInstant() bool {
	switch l {
	case date, timestampMillis, timestampMicros, timestampNanos,
		localTimestampMillis, localTimestampMicros, localTimestampNanos:
		return true
	default:
		return false
	}
}

func (l logical) isTimeOfDay() bool { return l == timeMillis || l == timeMicros }

func (l logical) isLocal() bool {
	return l == localTimestampMillis || l == localTimestampMicros || l == localTimestampNanos
}

// unit is how long one is, for logical types that count.
func (l logical) unit() time.Duration {
	switch l {
	case timeMillis, timestampMillis, localTimestampMillis:
		return time.Millisecond
	case timeMicros, timestampMicros, localTimestampMicros:
		return time.Microsecond
	default:
		return time.Nanosecond
	}
}

const secondsOfDay = 24 * 60 * 60

// fromTime returns the number that stands for the time: what is finer than the unit is cut off.
func (l logical) fromTime(t time.Time) (int64, error) {
	if l == date || l.isLocal() { // the wall clock, whatever its zone
		year, month, day := t.Date()
		hour, minute, second := t.Clock()
		t = time.Date(year, month, day, hour, minute, second, t.Nanosecond(), time.UTC)
	}
	if l == date {
		days := floorDiv(t.Unix(), secondsOfDay)
		if days < math.MinInt32 || days > math.MaxInt32 {
			return 0, fmt.Errorf("the year %d is out of the range of %s", t.Year(), l)
		}
		return days, nil
	}
	perSecond := int64(time.Second / l.unit())
	n := t.Unix()*perSecond + int64(t.Nanosecond())/int64(l.unit())
	if back := l.toTime(n); back.Unix() != t.Unix() {
		return 0, fmt.Errorf("the year %d is out of the range of %s: take a coarser one", t.Year(), l)
	}
	return n, nil
}

// toTime returns the time in UTC.
func (l logical) toTime(n int64) time.Time {
	if l == date {
		return time.Unix(n*secondsOfDay, 0).UTC()
	}
	perSecond := int64(time.Second / l.unit())
	seconds := floorDiv(n, perSecond)
	return time.Unix(seconds, (n-seconds*perSecond)*int64(l.unit())).UTC()
}

func floorDiv(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

// fromDuration returns the number that stands for the time since midnight.
func (l logical) fromDuration(d time.Duration) (int64, error) {
	if d < 0 || d >= 24*time.Hour {
		return 0, fmt.Errorf("%s is no time of day, which %s is for: a span of time is a plain long", d, l)
	}
	return int64(d / l.unit()), nil
}

func (l logical) toDuration(n int64) (time.Duration, error) {
	if n < 0 || n >= int64(24*time.Hour/l.unit()) {
		return 0, fmt.Errorf("%d is no time of day in %s", n, l)
	}
	return time.Duration(n) * l.unit(), nil
}

// maxPrecision bounds the work for one decimal: schemas come from others.
const maxPrecision = 1000

// bytesOf returns the unscaled number in two's complement, in as few bytes as it takes.
func (d decimals) bytesOf(r *big.Rat) ([]byte, error) {
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(pow10(d.scale)))
	if !scaled.IsInt() {
		return nil, fmt.Errorf("%s has more than %d digits after the point: round it first", r.RatString(), d.scale)
	}
	n := scaled.Num()
	if n.CmpAbs(pow10(d.precision)) >= 0 {
		return nil, fmt.Errorf("%s has more than %d digits", r.FloatString(d.scale), d.precision)
	}
	return twosComplement(n), nil
}

func (d decimals) ratOf(b []byte) (*big.Rat, error) {
	// 10^precision has less than precision*4 bits; a byte more is for padding that some write.
	if len(b) > d.precision/2+2 {
		return nil, fmt.Errorf("a decimal of %d bytes has more than %d digits", len(b), d.precision)
	}
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	if n.CmpAbs(pow10(d.precision)) >= 0 {
		return nil, fmt.Errorf("a decimal has more than %d digits", d.precision)
	}
	return new(big.Rat).SetFrac(n, pow10(d.scale)), nil
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func twosComplement(n *big.Int) []byte {
	if n.Sign() >= 0 {
		b := n.Bytes()
		if len(b) == 0 || b[0] >= 0x80 {
			b = append([]byte{0}, b...)
		}
		return b
	}
	// -2^(8k-1) still fits k bytes.
	size := new(big.Int).Not(n).BitLen()/8 + 1
	return new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(size)*8)).FillBytes(make([]byte, size))
}

// padded extends a number in two's complement to the size.
func padded(b []byte, size int) ([]byte, error) {
	if len(b) > size {
		return nil, fmt.Errorf("a decimal takes %d bytes, where the fixed has %d", len(b), size)
	}
	out := make([]byte, size)
	if b[0] >= 0x80 {
		for i := range out {
			out[i] = 0xFF
		}
	}
	copy(out[size-len(b):], b)
	return out, nil
}
