package avro

import "reflect"

// fieldDecoder reads one field of a record.
type fieldDecoder struct {
	name   string // the reader's
	from   string // the writer's; empty: the default is read
	value  any
	index  []int // nil: nobody wants it
	decode decoder
}

func (c *decoders) record(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	if goType.Kind() == reflect.Map && goType.Key().Kind() == reflect.String {
		return c.recordToMap(writer, reader, goType)
	}
	if !isPlainStruct(goType) {
		return nil, faultf("%s cannot hold %s", goType, reader)
	}
	all, _, found := members(goType)
	byName := make(map[string]member, len(all))
	for _, m := range all {
		byName[m.name] = m
	}
	from, faults := sources(writer, reader)
	found = found.and(faults)
	fields := make([]fieldDecoder, 0, len(from))
	for _, s := range from {
		m, wanted := byName[s.reader.name]
		if !wanted {
			m.typ = reflect.TypeFor[any]()
		}
		f, faults := c.field(s, m.typ)
		f.index = m.index
		found = found.and(faults.under(s.reader.name))
		if wanted {
			fields = append(fields, f)
		}
	}
	if len(found) > 0 {
		return nil, found
	}
	return decodeFields(fields), nil
}

func (c *decoders) field(s source, goType reflect.Type) (fieldDecoder, faults) {
	f := fieldDecoder{name: s.reader.name, value: s.reader.value}
	writer := s.reader.typ
	if s.writer != nil {
		f.from, writer = s.writer.name, s.writer.typ
	}
	var found faults
	f.decode, found = c.compile(writer, s.reader.typ, goType)
	return f, found
}

func (f *fieldDecoder) valueOf(written map[string]any) any {
	if f.from == "" {
		return f.value
	}
	return written[f.from]
}

func decodeFields(fields []fieldDecoder) decoder {
	return func(native any, into reflect.Value) faults {
		written, ok := native.(map[string]any)
		if !ok {
			return faultf("goavro returned a %T for a record", native)
		}
		for i := range fields {
			f := &fields[i]
			if found := f.decode(f.valueOf(written), fieldOf(into, f.index)); found != nil {
				return found.under(f.name)
			}
		}
		return nil
	}
}

func (c *decoders) recordToMap(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	from, found := sources(writer, reader)
	fields := make([]fieldDecoder, len(from))
	for i, s := range from {
		var faults faults
		fields[i], faults = c.field(s, goType.Elem())
		found = found.and(faults.under(s.reader.name))
	}
	if len(found) > 0 {
		return nil, found
	}
	return func(native any, into reflect.Value) faults {
		written, ok := native.(map[string]any)
		if !ok {
			return faultf("goavro returned a %T for a record", native)
		}
		out := reflect.MakeMapWithSize(goType, len(fields))
		for i := range fields {
			f := &fields[i]
			value := reflect.New(goType.Elem()).Elem()
			if found := f.decode(f.valueOf(written), value); found != nil {
				return found.under(f.name)
			}
			out.SetMapIndex(reflect.ValueOf(f.name).Convert(goType.Key()), value)
		}
		into.Set(out)
		return nil
	}, nil
}

func (c *decoders) array(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	if goType.Kind() != reflect.Slice && goType.Kind() != reflect.Array {
		return nil, faultf("%s cannot hold %s", goType, reader)
	}
	item, found := c.compile(writer.items, reader.items, goType.Elem())
	if found != nil {
		return nil, found.under("[]")
	}
	return func(native any, into reflect.Value) faults {
		items, ok := native.([]any)
		if !ok {
			return faultf("goavro returned a %T for an array", native)
		}
		out := into
		if goType.Kind() == reflect.Slice {
			out = reflect.MakeSlice(goType, len(items), len(items))
		} else if len(items) != goType.Len() {
			return faultf("has %d items, which %s cannot hold", len(items), goType)
		}
		for i, native := range items {
			if found := item(native, out.Index(i)); found != nil {
				return found.under(indexStep(i))
			}
		}
		if goType.Kind() == reflect.Slice {
			into.Set(out)
		}
		return nil
	}, nil
}

func (c *decoders) mapOf(writer, reader *typ, goType reflect.Type) (decoder, faults) {
	if goType.Kind() != reflect.Map || goType.Key().Kind() != reflect.String || isText(goType.Key()) {
		return nil, faultf("%s cannot hold %s", goType, reader)
	}
	item, found := c.compile(writer.items, reader.items, goType.Elem())
	if found != nil {
		return nil, found.under("[]")
	}
	return func(native any, into reflect.Value) faults {
		values, ok := native.(map[string]any)
		if !ok {
			return faultf("goavro returned a %T for a map", native)
		}
		out := reflect.MakeMapWithSize(goType, len(values))
		for key, native := range values {
			value := reflect.New(goType.Elem()).Elem()
			if found := item(native, value); found != nil {
				return found.under(keyStep(key))
			}
			out.SetMapIndex(reflect.ValueOf(key).Convert(goType.Key()), value)
		}
		into.Set(out)
		return nil
	}, nil
}
