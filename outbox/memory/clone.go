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
	c.Record.Key = bytes.Clone(c.Record.Key)
	c.Record.Value = bytes.Clone(c.Record.Value)
	c.Record.Headers = slices.Clone(c.Record.Headers)
	for i := range c.Record.Headers {
		c.Record.Headers[i].Value = bytes.Clone(c.Record.Headers[i].Value)
	}
	return c
}
