package sagas

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"

	"github.com/choreo-go/choreo/tracker"
)

// seeError is an error of who looks at the stream, not of the stream.
type seeError struct{ err error }

func (e *seeError) Error() string { return e.err.Error() }

// follow reads server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html,
// until they end.
func follow(body io.Reader, reset func(), see func(*tracker.Snapshot) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 16<<20)
	var event string
	var data strings.Builder
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if err := dispatch(event, data.String(), reset, see); err != nil {
				return err
			}
			event = ""
			data.Reset()
		case name == "event":
			event = value
		case name == "data":
			if data.Len() > 0 {
				data.WriteByte('\n')
			}
			data.WriteString(value)
		}
	}
	return lines.Err()
}

func dispatch(event, data string, reset func(), see func(*tracker.Snapshot) error) error {
	switch event {
	case "reset":
		reset()
	case "saga":
		var s tracker.Snapshot
		if json.Unmarshal([]byte(data), &s) != nil || s.ID == "" {
			return nil // a later version's; the list still tells of the saga
		}
		if err := see(&s); err != nil {
			return &seeError{err}
		}
	}
	return nil
}
