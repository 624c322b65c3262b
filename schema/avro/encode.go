package avro

import (
	"encoding"
	"math"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// encoder turns a Go value into goavro's native form.
type encoder func(w *writing, v reflect.Value) (any, faults)

// writing is the state of one Encode.
type writing struct {
	depth, maxDepth int
	used            []pooled
}

// pooled is a map of a record, which is free again once its bytes are written: a map costs more
// than all else that a record takes.
type pooled struct {
	pool   *sync.Pool
	record map[string]any
}

func (w *writing) release() {
	for _, p := range w.used {
		clear(p.record)
		p.pool.Put(p.record)
	}
	clear(w.used)
	w.used = w.used[:0]
}

// enter bounds the depth, for a pointer may lead back to where it came from.
func (w *writing) enter() faults {
	if w.depth++; w.depth > w.maxDepth {
		return tooDeep(w.maxDepth)
	}
	return nil
}

// pairing is a schema's type and the Go type that is to hold its values.
type pairing struct {
	schema *typ
	goType reflect.Type
}

// encoders compiles the encoder of a pairing, once for each that a type is made of.
type encoders struct {
	done    map[pairing]*compiledEncoder
	dynamic *dynamicEncoders
}

type compiledEncoder struct {
	encode encoder
	faults faults
}

// dynamicEncoders are for what interfaces hold, which is known only then.
type dynamicEncoders struct{ known sync.Map }

func newEncoders(dynamic *dynamicEncoders) *encoders {
	return &encoders{done: map[pairing]*compiledEncoder{}, dynamic: dynamic}
}

func (d *dynamicEncoders) get(p pairing) *compiledEncoder {
	if known, ok := d.known.Load(p); ok {
		if c, ok := known.(*compiledEncoder); ok {
			return c
		}
	}
	c := &compiledEncoder{}
	c.encode, c.faults = newEncoders(d).compile(p.schema, p.goType)
	d.known.Store(p, c)
	return c
}

// compile says what of the schema does not fit the Go type, and how to write it where all does.
func (c *encoders) compile(t *typ, goType reflect.Type) (encoder, faults) {
	p := pairing{t, goType}
	if known, ok := c.done[p]; ok {
		if known.encode == nil && known.faults == nil { // further out in a recursive type
			return func(w *writing, v reflect.Value) (any, faults) { return known.encode(w, v) }, nil
		}
		return known.encode, known.faults.copied()
	}
	entry := &compiledEncoder{}
	c.done[p] = entry
	encode, found := c.build(t, goType)
	if found != nil {
		stays := found.copied()
		encode = func(*writing, reflect.Value) (any, faults) { return nil, stays.copied() }
	}
	entry.encode, entry.faults = encode, found.copied()
	return encode, found
}

func (c *encoders) build(t *typ, goType reflect.Type) (encoder, faults) {
	switch {
	case t.kind == kindUnion:
		return c.union(t, goType)
	case isAny(goType):
		return c.held(t), nil
	case isOptional(goType):
		return c.pointer(t, goType)
	}
	if encode := special(t, goType); encode != nil {
		return encode, nil
	}
	switch t.kind {
	case kindRecord:
		return c.record(t, goType)
	case kindArray:
		return c.array(t, goType)
	case kindMap:
		return c.mapOf(t, goType)
	}
	if encode := plain(t, goType); encode != nil {
		return encode, nil
	}
	return nil, faultf("%s cannot hold %s", goType, t)
}

// held is for an interface: what it holds decides.
func (c *encoders) held(t *typ) encoder {
	return func(w *writing, v reflect.Value) (any, faults) {
		v = v.Elem()
		if !v.IsValid() {
			if t.kind == kindNull {
				return nil, nil
			}
			return nil, faultf("is nil, where the schema has %s", t)
		}
		return c.dynamic.get(pairing{t, v.Type()}).encode(w, v)
	}
}

func (c *encoders) pointer(t *typ, goType reflect.Type) (encoder, faults) {
	if t.kind == kindNull {
		return func(_ *writing, v reflect.Value) (any, faults) {
			if !v.IsNil() {
				return nil, faultf("is not nil, where the schema has only null")
			}
			return nil, nil
		}, nil
	}
	inner, found := c.compile(t, goType.Elem())
	if found != nil {
		return nil, found
	}
	return func(w *writing, v reflect.Value) (any, faults) {
		if v.IsNil() {
			return nil, faultf("is nil, where the schema has %s", t)
		}
		return inner(w, v.Elem())
	}, nil
}

// union tries the branches that the Go type fits, best first.
func (c *encoders) union(t *typ, goType reflect.Type) (encoder, faults) {
	if isAny(goType) {
		return c.heldUnion(t), nil
	}
	valueType := goType
	mayBeNil := isOptional(goType) || hasNil(goType)
	if isOptional(goType) {
		valueType = goType.Elem()
	}
	candidates, refused := c.candidates(t, valueType)
	null := t.branch(kindNull)
	if len(candidates) == 0 && (null == nil || len(t.branches) > 1) {
		return nil, append(faultf("%s fits no branch of %s", goType, t), refused...)
	}
	return func(w *writing, v reflect.Value) (any, faults) {
		if mayBeNil && v.IsNil() && (null != nil || isOptional(goType)) {
			if null == nil {
				return nil, faultf("is nil, where the schema has %s", t)
			}
			return nil, nil
		}
		if isOptional(goType) {
			v = v.Elem()
		}
		return firstThatFits(w, candidates, v, t)
	}, nil
}

func (c *encoders) heldUnion(t *typ) encoder {
	return func(w *writing, v reflect.Value) (any, faults) {
		v = v.Elem()
		if !v.IsValid() {
			if t.branch(kindNull) == nil {
				return nil, faultf("is nil, where the schema has %s", t)
			}
			return nil, nil
		}
		if isOptional(v.Type()) {
			return c.dynamic.get(pairing{t, v.Type()}).encode(w, v)
		}
		candidates := make([]candidate, 0, len(t.branches))
		for _, b := range preferred(t.branches, v.Type()) {
			if e := c.dynamic.get(pairing{b, v.Type()}); e.faults == nil {
				candidates = append(candidates, candidate{b, e.encode})
			}
		}
		return firstThatFits(w, candidates, v, t)
	}
}

type candidate struct {
	branch *typ
	encode encoder
}

func (c *encoders) candidates(t *typ, goType reflect.Type) (all []candidate, refused faults) {
	for _, b := range preferred(t.branches, goType) {
		if b.kind == kindNull {
			continue
		}
		encode, found := c.compile(b, goType)
		if found != nil {
			if len(t.branches) == 2 { // the only one that it could have been
				refused = refused.and(found)
			}
			continue
		}
		all = append(all, candidate{b, encode})
	}
	return all, refused
}

func firstThatFits(w *writing, candidates []candidate, v reflect.Value, t *typ) (any, faults) {
	var last faults
	for _, one := range candidates {
		depth := w.depth
		native, found := one.encode(w, v)
		if found == nil {
			return inUnion(one.branch, native), nil
		}
		w.depth, last = depth, found
	}
	if len(candidates) == 1 {
		return nil, last
	}
	return nil, faultf("%s fits no branch of %s", v.Type(), t)
}

// preferred puts those branches first that are what the Go type is, ahead of those that can hold it
// as well.
func preferred(branches []*typ, goType reflect.Type) []*typ {
	out := make([]*typ, 0, len(branches))
	var rest []*typ
	for _, b := range branches {
		if isNatural(b, goType) {
			out = append(out, b)
		} else {
			rest = append(rest, b)
		}
	}
	return append(out, rest...)
}

func isNatural(t *typ, goType reflect.Type) bool {
	switch t.kind {
	case kindRecord, kindEnum:
		return shortName(t.name) == recordName(goType)
	case kindBytes, kindFixed:
		return isRat(goType) == (t.logical == decimal) || isUUID(goType)
	case kindInt:
		return goType.Kind() == reflect.Int32 || goType.Kind() == reflect.Int16 || goType.Kind() == reflect.Int8
	case kindFloat:
		return goType.Kind() == reflect.Float32
	case kindLong:
		return goType.Kind() == reflect.Int64 || isTime(goType) && t.logical != ""
	case kindDouble:
		return goType.Kind() == reflect.Float64
	default:
		return false
	}
}

// special is for types that are not what their kind says; nil where the pairing is none of them.
func special(t *typ, goType reflect.Type) encoder {
	switch {
	case isRat(goType) && t.logical == decimal && t.precision <= maxPrecision:
		return encodeRat(t, goType)
	case isTime(goType) && t.logical.isInstant():
		return func(_ *writing, v reflect.Value) (any, faults) {
			at, _ := v.Interface().(time.Time)
			n, err := t.logical.fromTime(at)
			return t.number(n), faultOf(err)
		}
	case isDuration(goType) && t.logical.isTimeOfDay():
		return func(_ *writing, v reflect.Value) (any, faults) {
			n, err := t.logical.fromDuration(time.Duration(v.Int()))
			return t.number(n), faultOf(err)
		}
	case isUUID(goType) && t.kind == kindString && t.logical == uuidText:
		return func(_ *writing, v reflect.Value) (any, faults) {
			var id uuid.UUID
			reflect.Copy(reflect.ValueOf(&id).Elem(), v)
			return id.String(), nil
		}
	case goType.Kind() == reflect.String && t.kind == kindString && t.logical == uuidText && !isText(goType):
		return func(_ *writing, v reflect.Value) (any, faults) {
			text := v.String()
			return text, faultOf(checkUUID(text))
		}
	case isText(goType) && !isTime(goType) && !isRat(goType) && (t.kind == kindString || t.kind == kindEnum):
		return func(_ *writing, v reflect.Value) (any, faults) { return encodeText(t, v) }
	default:
		return nil
	}
}

func faultOf(err error) faults {
	if err == nil {
		return nil
	}
	return faultf("%s", err)
}

// number is the native form of an int or a long; the value has been checked.
func (t *typ) number(n int64) any {
	if t.kind == kindInt {
		return int32(n)
	}
	return n
}

func encodeRat(t *typ, goType reflect.Type) encoder {
	return func(_ *writing, v reflect.Value) (any, faults) {
		var r *big.Rat
		if goType.Kind() == reflect.Pointer {
			r, _ = v.Interface().(*big.Rat)
		} else if value, ok := v.Interface().(big.Rat); ok {
			r = &value
		}
		if r == nil {
			return nil, faultf("is nil, where the schema has %s", t)
		}
		b, err := t.bytesOf(r)
		if err == nil && t.kind == kindFixed {
			b, err = padded(b, t.size)
		}
		return b, faultOf(err)
	}
}

func encodeText(t *typ, v reflect.Value) (any, faults) {
	held := reflect.New(v.Type())
	held.Elem().Set(v)
	m, ok := held.Interface().(encoding.TextMarshaler)
	if !ok {
		return nil, faultf("%s does not write itself as text", v.Type())
	}
	text, err := m.MarshalText()
	if err != nil {
		return nil, faultOf(err)
	}
	if t.kind == kindEnum {
		return t.symbol(string(text))
	}
	return string(text), nil
}

func (t *typ) symbol(text string) (any, faults) {
	for _, symbol := range t.symbols {
		if symbol == text {
			return symbol, nil
		}
	}
	return nil, faultf("%q is no symbol of %s, which has %s", shorten(text), t, strings.Join(t.symbols, ", "))
}

// plain is for simple types; nil where the Go type cannot hold the schema's.
func plain(t *typ, goType reflect.Type) encoder {
	k := goType.Kind()
	switch {
	case t.kind == kindNull && goType == reflect.TypeFor[struct{}]():
		return func(*writing, reflect.Value) (any, faults) { return nil, nil }
	case t.kind == kindBoolean && k == reflect.Bool:
		return func(_ *writing, v reflect.Value) (any, faults) { return v.Bool(), nil }
	case (t.kind == kindInt || t.kind == kindLong) && isInteger(k):
		return integer(t, goType)
	case t.kind == kindFloat && k == reflect.Float32:
		return func(_ *writing, v reflect.Value) (any, faults) { return float32(v.Float()), nil }
	case t.kind == kindDouble && (k == reflect.Float64 || k == reflect.Float32):
		return func(_ *writing, v reflect.Value) (any, faults) { return v.Float(), nil }
	case t.kind == kindString && k == reflect.String:
		return func(_ *writing, v reflect.Value) (any, faults) { return v.String(), nil }
	case t.kind == kindEnum && k == reflect.String:
		return func(_ *writing, v reflect.Value) (any, faults) { return t.symbol(v.String()) }
	case t.kind == kindBytes && isBytes(goType):
		return func(_ *writing, v reflect.Value) (any, faults) { return v.Bytes(), nil }
	case t.kind == kindFixed && isBytes(goType):
		return func(_ *writing, v reflect.Value) (any, faults) {
			if v.Len() != t.size {
				return nil, faultf("has %d bytes, where %s has %d", v.Len(), t, t.size)
			}
			return t.fixed(v.Bytes()), nil
		}
	case t.kind == kindFixed && isByteArray(goType) && goType.Len() == t.size:
		return func(_ *writing, v reflect.Value) (any, faults) {
			b := make([]byte, t.size)
			reflect.Copy(reflect.ValueOf(b), v)
			return t.fixed(b), nil
		}
	default:
		return nil
	}
}

// fixed is the native form of a fixed: see physicalOf for that of size 0.
func (t *typ) fixed(b []byte) any {
	if t.size == 0 {
		return map[string]any{}
	}
	return b
}

func isInteger(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Uint64 }

func integer(t *typ, goType reflect.Type) encoder {
	unsigned := goType.Kind() >= reflect.Uint
	return func(_ *writing, v reflect.Value) (any, faults) {
		var n int64
		if unsigned {
			u := v.Uint()
			if u > math.MaxInt64 {
				return nil, faultf("%d does not fit a long, which goes up to 2^63-1", u)
			}
			n = int64(u)
		} else {
			n = v.Int()
		}
		if t.kind == kindInt {
			if n < math.MinInt32 || n > math.MaxInt32 {
				return nil, faultf("%d does not fit an int, which has 32 bits", n)
			}
			return int32(n), nil
		}
		return n, nil
	}
}
