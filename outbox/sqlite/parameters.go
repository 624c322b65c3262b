package sqlite

import (
	"strconv"
	"strings"
)

// nameless writes the parameters $1, $2, … of a text as ?, if each stands there once, and in this
// order. The driver asks for the name of each parameter that it binds, and SQLite looks through
// the list of all names for it: with the hundreds that a statement of many rows has, that takes
// longer than all else of the binding.
func nameless(text string) string {
	if strings.Contains(text, "?") {
		return text
	}
	var b strings.Builder
	for next, rest := 1, text; ; next++ {
		before, after, found := strings.Cut(rest, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('?')
		number := strconv.Itoa(next)
		if rest = strings.TrimPrefix(after, number); len(rest) == len(after) || rest != "" && '0' <= rest[0] && rest[0] <= '9' {
			return text
		}
	}
}
