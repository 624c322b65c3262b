package avro

import (
	"fmt"
	"strings"
)

// fault is what is wrong at one place of a value or a schema.
type fault struct {
	path string // way to the place, outermost first; empty for the whole
	text string
}

// faults are all that was found, as one error. Nil is none.
type faults []fault

func faultf(format string, args ...any) faults { return faults{{text: fmt.Sprintf(format, args...)}} }

// under puts one more step in front of every path.
func (f faults) under(step string) faults {
	for i := range f {
		f[i].path = join(step, f[i].path)
	}
	return f
}

// maxFaults is how many are named. Types that hold each other in two fields make twice as many at
// every level.
const maxFaults = 20

// and adds more faults, as long as somebody may want to read them.
func (f faults) and(more faults) faults {
	return append(f, more[:min(len(more), max(maxFaults-len(f), 0))]...)
}

// copied keeps what is remembered apart from what gets a longer path.
func (f faults) copied() faults { return append(faults(nil), f...) }

func (f faults) Error() string {
	texts := make([]string, len(f))
	for i, one := range f {
		texts[i] = one.text
		if one.path != "" {
			texts[i] = middleCut(one.path) + ": " + one.text
		}
	}
	return strings.Join(texts, "; ")
}

// err returns no typed nil.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

func join(step, path string) string {
	if path == "" || path[0] == '[' {
		return step + path
	}
	return step + "." + path
}

func indexStep(i int) string { return fmt.Sprintf("[%d]", i) }

func keyStep(key string) string { return fmt.Sprintf("[%q]", shorten(key)) }

// middleCut leaves both ends of a path that a recursive type made long.
func middleCut(path string) string {
	const start, end = 60, 120
	if len(path) <= start+end {
		return path
	}
	return strings.ToValidUTF8(path[:start]+"…"+path[len(path)-end:], "")
}

// shorten bounds what a message repeats of a payload.
func shorten(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
