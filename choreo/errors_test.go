package choreo

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		class   Class
		code    string
		after   time.Duration
		retried bool
	}{
		{"refusal", Refuse("out-of-stock", io.EOF), ClassRefused, "out-of-stock", 0, false},
		{"refusal without more words", Refuse("out-of-stock", nil), ClassRefused, "out-of-stock", 0, false},
		{"refusal with a text", Refusef("no", "%w: %d", io.EOF, 3), ClassRefused, "no", 0, false},
		{"retryable", Retryable(io.EOF), ClassRetryable, "", 0, true},
		{"named delay", RetryAfter(time.Minute, io.EOF), ClassRetryable, "", time.Minute, true},
		{"permanent", Permanent(io.EOF), ClassPermanent, "", 0, false},
		{"timeout", Timeout(io.EOF), ClassTimeout, "timeout", 0, true},
		{"unclassified", io.EOF, ClassRetryable, "", 0, true},
		{"without a class", &Error{Code: "odd", Err: io.EOF}, ClassRetryable, "odd", 0, true},
		{"the outermost counts", Permanent(fmt.Errorf("giving up: %w", Retryable(io.EOF))), ClassPermanent, "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err), errors.Join(errors.New("beside"), c.err)} {
				got := Classify(err)
				require.Equal(t, c.class, got.Class)
				require.Equal(t, c.code, got.Code)
				require.Equal(t, c.after, got.After)
				require.Equal(t, c.retried, got.Class.Retried())
				if c.name != "refusal without more words" {
					require.ErrorIs(t, got, io.EOF)
				}
			}
		})
	}
	require.Nil(t, Classify(nil))
	require.False(t, ClassCancelled.Retried())
}

func TestClassifyChangesNoError(t *testing.T) {
	shared := &Error{Code: "odd"}
	require.Equal(t, ClassRetryable, Classify(shared).Class)
	require.Empty(t, shared.Class, "an error may be a package variable of its author")
}

func TestErrorText(t *testing.T) {
	require.Equal(t, "refused (out-of-stock): EOF", Refuse("out-of-stock", io.EOF).Error())
	require.Equal(t, "refused (out-of-stock)", Refuse("out-of-stock", nil).Error())
	require.Equal(t, "permanent: EOF", Permanent(io.EOF).Error())
}

func TestFailureText(t *testing.T) {
	long := strings.Repeat("é", maxMessage) // two bytes each
	for _, c := range []struct{ name, text, want string }{
		{"short", "no", "no"},
		{"at the bound", long[:maxMessage], long[:maxMessage]},
		{"cut at a rune", "x" + long, "x" + long[:maxMessage-2]},
		{"not UTF-8", "a\xff\xfeb", "a?b"},
		{"only continuation bytes", strings.Repeat("\x80", 3*maxMessage), "?"},
		{"a NUL, which databases refuse in texts", "a\x00b", "a?b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Classify(errors.New(c.text)).Failure()
			require.Equal(t, c.want, f.Message)
		})
	}
	require.Empty(t, Classify(Refuse("no", nil)).Failure().Message)
}

func TestFailureIsSmallAndPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOfN(rapid.Byte(), 0, 3*maxMessage).Draw(t, "text"))
		f := Classify(Refuse(text, errors.New(text))).Failure()
		for _, s := range []struct {
			text string
			most int
		}{{f.Message, maxMessage}, {f.Code, maxCode}} {
			if len(s.text) > s.most || !utf8.ValidString(s.text) || strings.Contains(s.text, "\x00") {
				t.Fatalf("%d bytes: %q", len(s.text), s.text)
			}
		}
		if utf8.ValidString(text) && !strings.Contains(text, "\x00") && !strings.HasPrefix(text, f.Message) {
			t.Fatalf("a good text was changed: %q", f.Message)
		}
		if utf8.ValidString(text) && len(f.Message) < min(len(text), maxMessage)-utf8.UTFMax+1 {
			t.Fatalf("cut too early: %d of %d bytes", len(f.Message), len(text))
		}
	})
}
