// Package console holds what the examples' commands share in talking to people.
package console

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Count writes a number with thousands apart.
func Count(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Short writes a duration with three digits or so.
func Short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// NewLogger logs lines for people from a level on.
func NewLogger(w io.Writer, level zapcore.Level) *zap.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	config.EncodeLevel = zapcore.CapitalLevelEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(config), zapcore.Lock(zapcore.AddSync(w)), level))
}

// shownFindings bounds how much of a broken book is shown.
const shownFindings = 20

// Findings writes what an audit found, a line each.
func Findings(w io.Writer, prefix string, findings []string) {
	for _, finding := range findings[:min(len(findings), shownFindings)] {
		_, _ = fmt.Fprintf(w, "%s%s\n", prefix, finding)
	}
	if more := len(findings) - shownFindings; more > 0 {
		_, _ = fmt.Fprintf(w, "%sand %d more\n", prefix, more)
	}
}
