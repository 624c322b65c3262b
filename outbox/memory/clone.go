package memory

import (
	"bytes"
	"slices"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// The store shares no memory with its callers, as no database does.

func cloneRow(r choreo.Row) choreo.Row {
	r.Noted = slices.Clone(r.Noted)
	r.Settled = slices.Clone(r.Settled)
	r.Inputs = slices.Clone(r.Inputs)
	for i := range r.Inputs {
		r.Inputs[i].Data = bytes.Clone(r.Inputs[i].Data)
	}
	r.Output.Data = bytes.Clone(r.Output.Data)
	if r.Failure != nil {
		failure := *r.Failure
		r.Failure = &failure
	}
	return r
}

func cloneStep(r outbox.StepRow) outbox.StepRow {
	r.Row = cloneRow(r.Row)
	return r
}

func cloneSaga(r outbox.SagaRow) outbox.SagaRow {
	r.Row = cloneRow(r.Row)
	return r
}

func cloneEntry(e *outbox.Entry) outbox.Entry {
	c := *e
	c.Record = cloneRecord(c.Record)
	return c
}

func cloneParked(p outbox.Parked) outbox.Parked {
	p.Record = cloneRecord(p.Record)
	return p
}

func cloneRecord(r choreo.Record) choreo.Record {
	r.Key = bytes.Clone(r.Key)
	r.Value = bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
	}
	return r
}
