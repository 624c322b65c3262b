package tracker

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// AppendJSON appends the JSON of a snapshot, as encoding/json has it, many times as fast.
func AppendJSON(b []byte, s *Snapshot) []byte {
	b = field(b, `{"id":`, s.ID)
	b = field(b, `,"saga":`, s.Saga)
	b = strconv.AppendInt(append(b, `,"version":`...), int64(s.Version), 10)
	b = field(b, `,"status":`, string(s.Status))
	b = optional(b, `,"initiator":`, s.Initiator)
	if len(s.Tags) > 0 {
		b = append(b, `,"tags":`...)
		comma := byte('{')
		names := make([]string, 0, len(s.Tags))
		for name := range s.Tags {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			b = quote(append(b, comma), name)
			b = quote(append(b, ':'), s.Tags[name])
			comma = ','
		}
		b = append(b, '}')
	}
	b = moment(b, `,"started_at":`, &s.StartedAt)
	b = moment(b, `,"updated_at":`, &s.UpdatedAt)
	b = moment(b, `,"ended_at":`, s.EndedAt)
	b = moment(b, `,"deadline":`, s.Deadline)
	if c := s.Cause; c != nil {
		b = object(b, `,"cause":`, [][2]string{
			{"step", c.Step}, {"class", string(c.Class)}, {"code", c.Code}, {"message", c.Message}, {"by", c.By}, {"note", c.Note},
		})
	}
	if len(s.Parked) > 0 {
		b = list(b, `,"parked":`, s.Parked, func(b []byte, p *Parked) []byte {
			b = field(b, `{"service":`, p.Service)
			b = moment(b, `,"since":`, &p.Since)
			return append(failure(b, p.Error), '}')
		})
	}
	if s.Steps == nil {
		b = append(b, `,"steps":null`...)
	} else {
		b = list(b, `,"steps":`, s.Steps, appendStep)
	}
	if len(s.Next) > 0 {
		b = list(b, `,"next":`, s.Next, appendNext)
	}
	b = optional(b, `,"trace_id":`, s.TraceID)
	if s.Unknown {
		b = append(b, `,"definition_unknown":true`...)
	}
	b = strconv.AppendInt(append(b, `,"partition":`...), int64(s.Partition), 10)
	b = strconv.AppendInt(append(b, `,"offset":`...), s.Offset, 10)
	b = strconv.AppendInt(append(b, `,"events":`...), s.Events, 10)
	if f := s.Fold; f != nil {
		b = strconv.AppendInt(append(b, `,"fold":{"first":`...), f.First, 10)
		b = flag(b, `,"requested":true`, f.Requested)
		b = flag(b, `,"turned":true`, f.Turned)
		b = flag(b, `,"kept":true`, f.Kept)
		if len(f.Parkings) > 0 {
			b = list(b, `,"parkings":`, f.Parkings, func(b []byte, id *string) []byte { return quote(b, *id) })
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendStep(b []byte, k *Step) []byte {
	b = field(b, `{"name":`, k.Name)
	b = optional(b, `,"service":`, k.Service)
	b = field(b, `,"status":`, string(k.Status))
	b = flag(b, `,"pivot":true`, k.Pivot)
	if k.Attempts != 0 {
		b = strconv.AppendInt(append(b, `,"attempts":`...), int64(k.Attempts), 10)
	}
	b = moment(b, `,"ready_at":`, k.ReadyAt)
	b = moment(b, `,"ended_at":`, k.EndedAt)
	b = moment(b, `,"undone_at":`, k.UndoneAt)
	if k.Seconds != 0 {
		b = append(b, `,"duration_seconds":`...)
		b = strconv.AppendFloat(b, k.Seconds, 'f', -1, 64)
	}
	return append(failure(b, k.Error), '}')
}

func appendNext(b []byte, n *Next) []byte {
	b = field(b, `{"step":`, n.Step)
	b = optional(b, `,"service":`, n.Service)
	b = field(b, `,"run":`, string(n.Run))
	b = strconv.AppendBool(append(b, `,"ready":`...), n.Ready)
	if len(n.WaitsFor) > 0 {
		b = list(b, `,"waits_for":`, n.WaitsFor, func(b []byte, name *string) []byte { return quote(b, *name) })
	}
	return append(b, '}')
}

func field(b []byte, key, value string) []byte { return quote(append(b, key...), value) }

func optional(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return field(b, key, value)
}

func flag(b []byte, text string, on bool) []byte {
	if on {
		b = append(b, text...)
	}
	return b
}

func moment(b []byte, key string, t *time.Time) []byte {
	if t == nil {
		return b
	}
	b = append(append(b, key...), '"')
	return append(t.AppendFormat(b, time.RFC3339Nano), '"')
}

func failure(b []byte, e *Error) []byte {
	if e == nil {
		return b
	}
	return object(b, `,"error":`, [][2]string{{"class", string(e.Class)}, {"code", e.Code}, {"message", e.Message}})
}

// object appends an object of texts without those that are empty.
func object(b []byte, key string, fields [][2]string) []byte {
	b = append(append(b, key...), '{')
	first := len(b)
	for _, f := range fields {
		if f[1] == "" {
			continue
		}
		if len(b) > first {
			b = append(b, ',')
		}
		b = append(quote(b, f[0]), ':')
		b = quote(b, f[1])
	}
	return append(b, '}')
}

func list[T any](b []byte, key string, items []T, one func([]byte, *T) []byte) []byte {
	b = append(append(b, key...), '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, &items[i])
	}
	return append(b, ']')
}

// quote leaves texts that need more than quotes to encoding/json.
func quote(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7F || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // a string always has a JSON
			return append(b, text...)
		}
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}
