package out

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Format is how a report is written.
type Format string

// The formats.
const (
	Table Format = "table" // for people
	JSON  Format = "json"  // one document
	JSONL Format = "jsonl" // one line an item
)

// Formats returns the names of all formats.
func Formats() []string { return []string{string(Table), string(JSON), string(JSONL)} }

// Printer writes reports.
type Printer struct {
	W      io.Writer
	Format Format // empty: [Table]
	// Width is how many columns a line of text may have. Default: 80.
	Width  int
	Colour bool
}

// Text returns an empty text that fits the printer.
func (p *Printer) Text() *Text {
	width := p.Width
	if width <= 0 {
		width = 80
	}
	return &Text{width: max(width, 40), colour: p.Colour}
}

// List writes items: as JSON, or as the text that human makes of them.
func List[T any](p *Printer, items []T, human func(*Text, []T)) error {
	switch p.Format {
	case JSON:
		if items == nil {
			items = []T{}
		}
		return p.json(items, "  ")
	case JSONL:
		for i := range items {
			if err := p.json(items[i], ""); err != nil {
				return err
			}
		}
		return nil
	case Table, "":
	}
	t := p.Text()
	human(t, slices.Clip(items))
	return p.Write(t)
}

// One writes a single item: as JSON, or as the text that human makes of it.
func One[T any](p *Printer, item T, human func(*Text, T)) error {
	switch p.Format {
	case JSON:
		return p.json(item, "  ")
	case JSONL:
		return p.json(item, "")
	case Table, "":
	}
	t := p.Text()
	human(t, item)
	return p.Write(t)
}

// Write writes a text.
func (p *Printer) Write(t *Text) error {
	if _, err := io.WriteString(p.W, t.String()); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}

func (p *Printer) json(v any, indent string) error {
	enc := json.NewEncoder(p.W)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	return nil
}
