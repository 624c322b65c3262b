package avro

import (
	"reflect"
	"sync"
)

// fieldEncoder writes one field of a record.
type fieldEncoder struct {
	name   string
	index  []int
	encode encoder // nil: the default is written
	value  any
}

func (c *encoders) record(t *typ, goType reflect.Type) (encoder, faults) {
	if goType.Kind() == reflect.Map && goType.Key().Kind() == reflect.String {
		return c.recordFromMap(t, goType)
	}
	if !isPlainStruct(goType) {
		return nil, faultf("%s cannot hold %s", goType, t)
	}
	all, _, found := members(goType)
	byName := make(map[string]member, len(all))
	for _, m := range all {
		byName[m.name] = m
		if t.field(m.name) == nil {
			found = append(found, fault{m.path, "the schema has no field " + m.name + " in " + t.name + ": add it there, or leave it out by the tag `avro:\"-\"`"})
		}
	}
	fields := make([]fieldEncoder, len(t.fields))
	for i, f := range t.fields {
		fields[i] = fieldEncoder{name: f.name, value: f.value}
		m, ok := byName[f.name]
		switch {
		case ok:
			encode, faults := c.compile(f.typ, m.typ)
			found = found.and(faults.under(m.path))
			fields[i].index, fields[i].encode = m.index, encode
		case !f.hasDefault:
			found = append(found, fault{f.name, "the Go type " + goType.String() + " has no such field, and the schema no default: add one of them"})
		}
	}
	if len(found) > 0 {
		return nil, found
	}
	return encodeFields(fields), nil
}

func encodeFields(fields []fieldEncoder) encoder {
	pool := &sync.Pool{New: func() any { return make(map[string]any, len(fields)) }}
	return func(w *writing, v reflect.Value) (any, faults) {
		if f := w.enter(); f != nil {
			return nil, f
		}
		out, ok := pool.Get().(map[string]any)
		if !ok {
			return nil, faultf("the pool of records is spoilt")
		}
		w.used = append(w.used, pooled{pool, out})
		for i := range fields {
			f := &fields[i]
			value := f.value
			if f.encode != nil {
				var found faults
				if value, found = f.encode(w, fieldOf(v, f.index)); found != nil {
					return nil, found.under(f.name)
				}
			}
			out[f.name] = value
		}
		w.depth--
		return out, nil
	}
}

func fieldOf(v reflect.Value, index []int) reflect.Value {
	if len(index) == 1 {
		return v.Field(index[0])
	}
	return v.FieldByIndex(index)
}

// recordFromMap takes a record by its fields' names, for types that are known only by their schema.
func (c *encoders) recordFromMap(t *typ, goType reflect.Type) (encoder, faults) {
	encoders := make([]encoder, len(t.fields))
	var found faults
	for i, f := range t.fields {
		var faults faults
		encoders[i], faults = c.compile(f.typ, goType.Elem())
		found = found.and(faults.under(f.name))
	}
	if len(found) > 0 {
		return nil, found
	}
	return func(w *writing, v reflect.Value) (any, faults) {
		if f := w.enter(); f != nil {
			return nil, f
		}
		out := make(map[string]any, len(t.fields))
		given := 0
		for i, f := range t.fields {
			value := v.MapIndex(reflect.ValueOf(f.name).Convert(goType.Key()))
			switch {
			case value.IsValid():
				given++
				native, found := encoders[i](w, value)
				if found != nil {
					return nil, found.under(f.name)
				}
				out[f.name] = native
			case f.hasDefault:
				out[f.name] = f.value
			default:
				return nil, faultf("is missing, and the schema has no default").under(f.name)
			}
		}
		if given < v.Len() {
			for _, key := range v.MapKeys() {
				if t.field(key.String()) == nil {
					return nil, faultf("%s has no such field", t).under(keyStep(key.String()))
				}
			}
		}
		w.depth--
		return out, nil
	}, nil
}

func (c *encoders) array(t *typ, goType reflect.Type) (encoder, faults) {
	if goType.Kind() != reflect.Slice && goType.Kind() != reflect.Array {
		return nil, faultf("%s cannot hold %s", goType, t)
	}
	item, found := c.compile(t.items, goType.Elem())
	if found != nil {
		return nil, found.under("[]")
	}
	return func(w *writing, v reflect.Value) (any, faults) {
		if f := w.enter(); f != nil {
			return nil, f
		}
		out := make([]any, v.Len())
		for i := range out {
			var found faults
			if out[i], found = item(w, v.Index(i)); found != nil {
				return nil, found.under(indexStep(i))
			}
		}
		w.depth--
		return out, nil
	}, nil
}

func (c *encoders) mapOf(t *typ, goType reflect.Type) (encoder, faults) {
	if goType.Kind() != reflect.Map || goType.Key().Kind() != reflect.String || isText(goType.Key()) {
		return nil, faultf("%s cannot hold %s", goType, t)
	}
	value, found := c.compile(t.items, goType.Elem())
	if found != nil {
		return nil, found.under("[]")
	}
	return func(w *writing, v reflect.Value) (any, faults) {
		if f := w.enter(); f != nil {
			return nil, f
		}
		out := make(map[string]any, v.Len())
		for entries := v.MapRange(); entries.Next(); {
			key := entries.Key().String()
			native, found := value(w, entries.Value())
			if found != nil {
				return nil, found.under(keyStep(key))
			}
			out[key] = native
		}
		w.depth--
		return out, nil
	}, nil
}
