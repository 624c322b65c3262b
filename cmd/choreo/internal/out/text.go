package out

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Style is how a text looks on a terminal with colours.
type Style string

// The styles, as the parameters of ANSI's "select graphic rendition".
const (
	Plain  Style = ""
	Bold   Style = "1"
	Faint  Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Blue   Style = "34"
)

// Text is what people read. What is put in is cleaned of control characters, since it may
// come from a broker or a file and must not steer the terminal.
type Text struct {
	b      strings.Builder
	width  int
	colour bool
}

// String returns the text.
func (t *Text) String() string { return t.b.String() }

// Styled is a piece of text with a style.
type Styled struct {
	Text  string
	Style Style
}

// S makes a piece of text with a style.
func S(style Style, format string, args ...any) Styled {
	return Styled{Text: fmt.Sprintf(format, args...), Style: style}
}

// Line writes a line as it is, also where it is too long: for what is to be copied.
func (t *Text) Line(pieces ...Styled) {
	for _, p := range pieces {
		t.piece(clean(p.Text), p.Style)
	}
	t.b.WriteByte('\n')
}

// Blank writes an empty line.
func (t *Text) Blank() { t.b.WriteByte('\n') }

// Para writes a paragraph, wrapped at spaces: a longer word, such as a path, stays whole. Its
// first line begins with first, the others with as many spaces.
func (t *Text) Para(first, format string, args ...any) {
	rest := strings.Repeat(" ", utf8.RuneCountInString(first))
	for i, line := range wrap(clean(fmt.Sprintf(format, args...)), t.width-len(rest), false) {
		if i == 0 {
			t.b.WriteString(first)
		} else {
			t.b.WriteString(rest)
		}
		t.b.WriteString(line)
		t.b.WriteByte('\n')
	}
}

// Entry writes a paragraph under a styled word, as [Text.Para] does under plain ones.
func (t *Text) Entry(word Styled, first, format string, args ...any) {
	lead := clean(word.Text) + first
	var body Text
	body.width = t.width
	body.Para(lead, format, args...)
	t.piece(clean(word.Text), word.Style)
	t.b.WriteString(strings.TrimPrefix(body.String(), clean(word.Text)))
}

func (t *Text) piece(s string, style Style) {
	if !t.colour || style == Plain || s == "" {
		t.b.WriteString(s)
		return
	}
	t.b.WriteString("\x1b[" + string(style) + "m" + s + "\x1b[0m")
}

// Column is a column of a table.
type Column struct {
	Title string
	Right bool // aligned to the right: numbers
	// Whole keeps a cell on one line, however narrow the terminal: for what is copied.
	Whole bool
}

const gap = "  "

// Table writes rows under titles. Where it is wider than the text, cells are wrapped, the
// widest column first.
func (t *Text) Table(columns []Column, rows [][]Styled) { t.Noted(columns, rows, nil) }

// Noted writes a table as [Text.Table] does, each row with what there is to say of it below.
func (t *Text) Noted(columns []Column, rows [][]Styled, notes []string) {
	widths := make([]int, len(columns))
	for i := range columns {
		widths[i] = utf8.RuneCountInString(columns[i].Title)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(clean(row[i].Text)))
		}
	}
	t.fit(columns, widths)
	titles := make([]Styled, len(columns))
	for i, c := range columns {
		titles[i] = Styled{Text: c.Title, Style: Bold}
	}
	t.row(columns, widths, titles)
	for i, row := range rows {
		t.row(columns, widths, row)
		if i < len(notes) && notes[i] != "" {
			t.Para(strings.Repeat(" ", widths[0]+2*len(gap)), "%s", notes[i])
		}
	}
}

// fit narrows columns until the table is as wide as the text.
func (t *Text) fit(columns []Column, widths []int) {
	const least = 12
	total := len(gap) * (len(columns) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > t.width; total-- {
		widest := -1
		for i := range columns {
			if !columns[i].Whole && widths[i] > least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func (t *Text) row(columns []Column, widths []int, cells []Styled) {
	lines := make([][]string, len(cells))
	height := 1
	for i := range cells {
		lines[i] = wrap(clean(cells[i].Text), widths[i], true)
		height = max(height, len(lines[i]))
	}
	for n := range height {
		pad := 0 // spaces that are due before the next text: none at the end of a line
		for i := range cells {
			text := ""
			if n < len(lines[i]) {
				text = lines[i][n]
			}
			room := max(0, widths[i]-utf8.RuneCountInString(text))
			if text != "" {
				if columns[i].Right {
					pad, room = pad+room, 0
				}
				t.b.WriteString(strings.Repeat(" ", pad))
				t.piece(text, cells[i].Style)
				pad = 0
			} else {
				room = widths[i]
			}
			pad += room + len(gap)
		}
		t.b.WriteByte('\n')
	}
}

// wrap breaks a text into lines of at most width runes, at spaces. A longer word is broken
// behind a character that joins words, else anywhere, or sticks out. There is at least one
// line.
func wrap(s string, width int, breakWords bool) []string {
	width = max(width, 8)
	var lines []string
	for part := range strings.SplitSeq(s, "\n") {
		runes := []rune(strings.TrimRight(part, " "))
		for len(runes) > width {
			at := breakAt(runes, width, breakWords)
			lines = append(lines, strings.TrimRight(string(runes[:at]), " "))
			runes = []rune(strings.TrimLeft(string(runes[at:]), " "))
		}
		if len(runes) > 0 || part == "" {
			lines = append(lines, string(runes))
		}
	}
	if len(lines) == 0 {
		lines = []string{""}
	}
	return lines
}

// breakAt returns how many of the runes, of which there are more than width, go on the line.
func breakAt(runes []rune, width int, breakWords bool) int {
	for at := width; at > 0; at-- {
		if runes[at] == ' ' && strings.TrimSpace(string(runes[:at])) != "" {
			return at
		}
	}
	if !breakWords {
		for at := width; at < len(runes); at++ {
			if runes[at] == ' ' {
				return at
			}
		}
		return len(runes)
	}
	for at := width; at > width/2; at-- {
		if strings.ContainsRune("-./_,:", runes[at-1]) {
			return at
		}
	}
	return width
}

// clean makes control characters harmless. Line breaks stay.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
