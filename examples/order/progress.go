package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/choreo-go/choreo/examples/internal/console"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

const clearLine = "\r\x1b[K"

// overProgress writes whole lines to a terminal in place of the progress line, which
// comes back below them.
type overProgress struct{ io.Writer }

// Write writes one or more whole lines.
func (w overProgress) Write(lines []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, clearLine); err != nil {
		return 0, err
	}
	return w.Writer.Write(lines)
}

// showProgress keeps one line up to date until ctx ends, then clears it.
func showProgress(ctx context.Context, w io.Writer, counts func() (sagas, resting int)) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			_, _ = io.WriteString(w, clearLine)
			return
		case <-tick.C:
			sagas, resting := counts()
			_, _ = fmt.Fprintf(w, "%s%s of %s orders at rest, %s", clearLine,
				console.Count(resting), console.Count(sagas), console.Short(time.Since(began)))
		}
	}
}
