package choreo

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Class says how an error of a handler is treated.
type Class string

// The classes of errors.
const (
	// ClassRefused is a business answer ("not enough stock"): never retried.
	ClassRefused Class = "refused"
	// ClassRetryable is a fault that may pass: retried by the step's policy. It is
	// the class of every error that says nothing else.
	ClassRetryable Class = "retryable"
	// ClassPermanent is a fault that will not pass: never retried.
	ClassPermanent Class = "permanent"
	// ClassTimeout is a handler that outlived its step's timeout: retried.
	ClassTimeout Class = "timeout"
	// ClassCancelled is not a fault: somebody asked for the abort.
	ClassCancelled Class = "cancelled"
)

// Retried reports whether an error of this class is tried again.
func (c Class) Retried() bool { return c == ClassRetryable || c == ClassTimeout }

// Error is a classified error of a handler. [Refuse], [Retryable], [RetryAfter],
// [Permanent] and [Timeout] make one; [Classify] finds it in a chain.
type Error struct {
	Class Class
	Code  string        // stable and short, for programs; may be empty
	After time.Duration // the least time until the next attempt; 0 leaves it to the policy
	Err   error
}

func (e *Error) Error() string {
	msg := string(e.Class)
	if e.Code != "" {
		msg += " (" + e.Code + ")"
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap returns the error that was classified.
func (e *Error) Unwrap() error { return e.Err }

// Refuse is a business refusal: the step fails at once with this code, and the
// saga is undone. The code is stable and short ("out-of-stock"); err says more,
// for people, and may be nil.
func Refuse(code string, err error) error {
	return &Error{Class: ClassRefused, Code: code, Err: err}
}

// Refusef is [Refuse] with a formatted message.
func Refusef(code, format string, args ...any) error {
	return Refuse(code, fmt.Errorf(format, args...))
}

// Retryable marks err as a fault that may pass, which is also what an
// unclassified error counts as.
func Retryable(err error) error { return &Error{Class: ClassRetryable, Err: err} }

// RetryAfter is [Retryable] with a least delay, such as one that a server named.
func RetryAfter(after time.Duration, err error) error {
	return &Error{Class: ClassRetryable, After: after, Err: err}
}

// Permanent marks err as a fault that no retry will mend.
func Permanent(err error) error { return &Error{Class: ClassPermanent, Err: err} }

// Timeout marks err as the end of a step's timeout.
func Timeout(err error) error { return &Error{Class: ClassTimeout, Code: "timeout", Err: err} }

// Classify returns the outermost [Error] in err's chain, or err as a retryable
// one. It returns nil for nil.
func Classify(err error) *Error {
	if err == nil {
		return nil
	}
	var classified *Error
	switch {
	case !errors.As(err, &classified):
		return &Error{Class: ClassRetryable, Err: err}
	case classified.Class == "":
		retryable := *classified
		retryable.Class = ClassRetryable
		return &retryable
	}
	return classified
}

// What of an error's texts travels in events, in bytes.
const (
	maxMessage = 1024
	maxCode    = 128
)

// Failure returns e as it travels in events: the text is cut at 1 KiB, the code at
// 128 bytes, and bytes that are no text become question marks.
func (e *Error) Failure() *Failure {
	f := &Failure{Class: e.Class, Code: plainText(e.Code, maxCode)}
	if e.Err != nil {
		f.Message = plainText(e.Err.Error(), maxMessage)
	}
	return f
}

// plainText makes any bytes that a handler put into an error fit for every codec and
// database: valid UTF-8 without NUL, which PostgreSQL refuses.
func plainText(s string, n int) string {
	s = strings.ToValidUTF8(cutString(s, n), "?")
	return strings.ReplaceAll(s, "\x00", "?")
}

// cutString cuts s to at most n bytes without splitting a UTF-8 sequence.
func cutString(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for back := 0; back < utf8.UTFMax && back < n; back++ {
		if utf8.RuneStart(s[n-back]) {
			return s[:n-back]
		}
	}
	return s[:n] // no UTF-8 to begin with
}
