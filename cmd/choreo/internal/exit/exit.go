package exit

import (
	"context"
	"errors"
	"fmt"

	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

// Code is what a command ends with.
type Code int

// The codes. Scripts rely on them: they never change their meaning.
const (
	OK          Code = 0
	Error       Code = 1 // it failed, or a check found errors
	Usage       Code = 2 // it was called in a way that makes no sense
	NotFound    Code = 3 // what was named does not exist
	Turned      Code = 4 // the saga ended compensated or failed
	TimedOut    Code = 5 // nobody answered in time
	Interrupted Code = 130
)

// Codes returns all codes with what they mean, for the manual.
func Codes() []Meaning {
	return []Meaning{
		{OK, "everything is well"},
		{Error, "it failed, or a check found errors"},
		{Usage, "the command or its flags make no sense"},
		{NotFound, "what was named does not exist"},
		{Turned, "the saga ended compensated or failed"},
		{TimedOut, "nobody answered in time"},
		{Interrupted, "it was interrupted"},
	}
}

// Meaning is what a code stands for.
type Meaning struct {
	Code Code
	Text string
}

// coded is an error that knows its code.
type coded struct {
	code Code
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

// With gives an error a code. It returns nil for nil.
func With(code Code, err error) error {
	if err == nil {
		return nil
	}
	return &coded{code: code, err: err}
}

// Usagef returns an error of code [Usage].
func Usagef(format string, args ...any) error { return With(Usage, fmt.Errorf(format, args...)) }

// NotFoundf returns an error of code [NotFound].
func NotFoundf(format string, args ...any) error {
	return With(NotFound, fmt.Errorf(format, args...))
}

// ErrFindings ends a command whose report already says what is wrong: nothing more is
// printed.
var ErrFindings = errors.New("the report names what is wrong")

// Of returns the code of an error. One that was given by [With] counts before what the
// error wraps.
func Of(err error) Code {
	var with *coded
	switch {
	case err == nil:
		return OK
	case errors.As(err, &with):
		return with.code
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.Is(err, topics.ErrUnknownTopic), errors.Is(err, schema.ErrUnknownSchema):
		return NotFound
	}
	return Error
}
