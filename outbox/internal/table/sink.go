package table

import (
	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
	"github.com/choreo-go/choreo/outbox/internal/frame"
)

// sink takes the values of rows in the order of their columns.
type sink interface {
	null()
	text(s string)
	number(n int64)
	flag(b bool)
	bytes(b []byte) // nil is NULL
	// outputs and headers are bytes of a frame, NULL for an empty list.
	outputs(list []choreo.Output)
	headers(list []choreo.Header)
}

// values are the parameters of a statement with one for each value.
type values []any

func (v *values) null()          { *v = append(*v, nil) }
func (v *values) text(s string)  { *v = append(*v, s) }
func (v *values) number(n int64) { *v = append(*v, n) }
func (v *values) flag(b bool)    { *v = append(*v, b) }

// bytes keeps a nil slice from becoming an empty, typed value.
func (v *values) bytes(b []byte) {
	if b == nil {
		v.null()
		return
	}
	*v = append(*v, b)
}

func (v *values) outputs(list []choreo.Output) { v.bytes(frame.Outputs(list)) }
func (v *values) headers(list []choreo.Header) { v.bytes(frame.Headers(list)) }

// The values of a row of each table, and those that name a saga.

func stepValues(to sink, r *outbox.StepRow) {
	sagaIDValues(to, &r.SagaID)
	to.text(r.Step)
	rowValues(to, r.Step, r.Version, &r.Row)
	dueValue(to, r.DueIn)
}

func sagaValues(to sink, r *outbox.SagaRow) {
	sagaIDValues(to, &r.SagaID)
	rowValues(to, choreo.SagaRow, r.Version, &r.Row)
	dueValue(to, r.DueIn)
}

func entryValues(to sink, e *outbox.Entry) {
	key, binary := KeyText(e.Record.Key)
	to.text(e.ID)
	to.text(e.Record.Topic)
	to.text(key)
	to.text(e.Type)
	to.bytes(e.Record.Value)
	to.number(int64(e.Record.Partition))
	to.bytes(binary)
	to.headers(e.Record.Headers)
}

func parkedValues(to sink, p *outbox.Parked) {
	r := &p.Record
	sagaIDValues(to, &p.SagaID)
	to.text(r.Topic)
	to.number(int64(r.Partition))
	to.number(r.Offset)
	to.number(r.Time.UnixMilli())
	to.bytes(r.Key)
	to.bytes(r.Value)
	to.headers(r.Headers)
}

func sagaIDValues(to sink, id *outbox.SagaID) {
	to.text(id.ID)
	to.text(id.Saga)
}
