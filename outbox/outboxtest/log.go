package outboxtest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox"
)

// Answer is how a [Log] treats a record.
type Answer int

// The answers of a log.
const (
	Acknowledge Answer = iota // written once
	Refuse                    // not written: the publisher gets ErrRefused
	LoseAnswer                // written, but the publisher gets ErrAnswerLost
	WriteTwice                // written two times in a row, as by a retry inside the publisher
	Late                      // written when the publisher's context has ended, which it gets as error
)

// Errors of a [Log].
var (
	ErrRefused      = errors.New("the log refused the record")
	ErrAnswerLost   = errors.New("the acknowledgement got lost")
	ErrEarlierFails = errors.New("an earlier record of the same key failed")
)

// Log is an outbox.Publisher that keeps what it is given. It is safe for concurrent use.
type Log struct {
	mu      sync.Mutex
	records []choreo.Record
	refused int
	changed chan struct{} // closed and replaced by every call of Publish
	answer  func(*choreo.Record) Answer
	hook    func()
}

var _ outbox.Publisher = (*Log)(nil)

// NewLog returns an empty log that acknowledges everything.
func NewLog() *Log { return &Log{changed: make(chan struct{})} }

// SetAnswers sets how records are treated from now on; nil acknowledges all. answer
// must not call the log.
func (l *Log) SetAnswers(answer func(*choreo.Record) Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

// SetHook has hook called by every Publish when it has written and before it
// returns; it may block.
func (l *Log) SetHook(hook func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook = hook
}

// Publish writes records as the answers say.
func (l *Log) Publish(ctx context.Context, records []choreo.Record) []error {
	l.mu.Lock()
	errs := make([]error, len(records))
	failed := make(map[string]struct{})
	var late []choreo.Record
	for i := range records {
		r := &records[i]
		key := string(r.Key)
		if _, blocked := failed[key]; blocked && r.Key != nil {
			errs[i] = ErrEarlierFails
			continue
		}
		answer := Acknowledge
		if l.answer != nil {
			answer = l.answer(r)
		}
		switch answer {
		case Acknowledge:
			l.records = append(l.records, *r)
		case WriteTwice:
			l.records = append(l.records, *r, *r)
		case LoseAnswer:
			l.records = append(l.records, *r)
			errs[i] = ErrAnswerLost
		case Late:
			late = append(late, *r)
			errs[i] = context.DeadlineExceeded
		case Refuse:
			l.refused++
			errs[i] = ErrRefused
		}
		if errs[i] != nil {
			failed[key] = struct{}{}
		}
	}
	l.tell()
	hook := l.hook
	l.mu.Unlock()
	if len(late) > 0 {
		<-ctx.Done()
		l.mu.Lock()
		l.records = append(l.records, late...)
		l.tell()
		l.mu.Unlock()
	}
	if hook != nil {
		hook()
	}
	if len(failed) == 0 {
		return nil
	}
	return errs
}

func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Records returns what was written, in order.
func (l *Log) Records() []choreo.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.records)
}

// Values returns the values of what was written, in order.
func (l *Log) Values() []string {
	records := l.Records()
	list := make([]string, len(records))
	for i := range records {
		list[i] = string(records[i].Value)
	}
	return list
}

// Refused returns how many records were refused.
func (l *Log) Refused() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// Wait returns when ok is true; it is asked at once and after every write. It
// returns the context's error when that ends first.
func (l *Log) Wait(ctx context.Context, ok func() bool) error {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// parse takes the value of an entry of this package apart.
func parse(t testing.TB, v string) (key string, n int) {
	t.Helper()
	key, number, found := strings.Cut(v, "#")
	require.True(t, found, "not a value of this test: %s", v)
	n, err := strconv.Atoi(number)
	require.NoError(t, err)
	return key, n
}
