package definition

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// SchemaURL is where editors find the JSON Schema of definitions, see [JSONSchema].
const SchemaURL = "https://raw.githubusercontent.com/choreo-go/choreo/main/definition/definition.schema.json"

// Format returns the document in YAML, in the one form that stands for it: defaults are left out,
// keys have a steady order, steps that of [choreo.Definition.Steps]. It holds no comments.
func Format(d *Document) []byte {
	w := &writer{}
	def := d.Definition
	w.line(0, "# yaml-language-server: $schema=%s", SchemaURL)
	w.line(0, "saga: %s", scalar(def.Name()))
	w.line(0, "version: %d", def.Version())
	encoding := def.EncodingOf("")
	w.text(0, "encoding", encodingName(encoding))
	w.duration(0, "deadline", def.Deadline(), 0)
	if def.Strategy() != choreo.ReverseOrder {
		w.text(0, "compensation", string(def.Strategy()))
	}
	w.text(0, "input", def.InputName())
	w.payloads(d)
	w.line(0, "steps:")
	for i := range def.Steps() {
		w.step(d, &def.Steps()[i])
	}
	return []byte(w.String())
}

// writer writes YAML. Each of its methods leaves out what is empty; those without an indent
// write the keys of steps.
type writer struct{ strings.Builder }

func (w *writer) line(indent int, format string, args ...any) {
	w.WriteString(strings.Repeat("  ", indent))
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

func (w *writer) text(indent int, key, value string) {
	if value != "" {
		w.line(indent, "%s: %s", key, scalar(value))
	}
}

func (w *writer) list(key string, values []string) {
	if len(values) > 0 {
		w.line(2, "%s: %s", key, flowList(values))
	}
}

func (w *writer) duration(indent int, key string, value, byDefault time.Duration) {
	if value != byDefault {
		w.line(indent, "%s: %s", key, formatDuration(value))
	}
}

func (w *writer) yes(key string, value bool) {
	if value {
		w.line(2, "%s: true", key)
	}
}

func (w *writer) payloads(d *Document) {
	payloads := slices.DeleteFunc(slices.Clone(d.Payloads), func(p Payload) bool { return p.file() == "" })
	if len(payloads) > 0 {
		w.line(0, "payloads:")
	}
	for i := range payloads {
		p := &payloads[i]
		entry := "schema: " + scalar(p.file())
		if p.Schema.Kind == schema.Protobuf {
			entry += ", message: " + scalar(p.Schema.Name)
		}
		if len(p.Imports) > 0 {
			entry += ", imports: " + flowList(p.Imports)
		}
		w.line(1, "%s: {%s}", scalar(p.Name), entry)
	}
}

func (w *writer) step(d *Document, s *choreo.StepDef) {
	w.line(1, "%s:", scalar(s.Name))
	w.text(2, "owner", s.Owner)
	w.list("after", s.After)
	w.list("uses", s.Uses)
	w.list("undo-uses", s.UndoUses)
	w.text(2, "output", s.Output)
	w.text(2, "encoding", encodingName(s.Encoding))
	var reads []string
	for _, v := range d.Views {
		if v.Step == s.Name {
			reads = append(reads, scalar(cmp.Or(v.Of, inputKey))+": "+scalar(v.Payload))
		}
	}
	if reads != nil {
		w.line(2, "reads: {%s}", strings.Join(reads, ", "))
	}
	w.duration(2, "timeout", s.Timeout, 0)
	w.retry("retry", s.Retry, choreo.DefaultRetry())
	w.retry("undo-retry", s.UndoRetry, undoRetryOf(s.Retry))
	w.list("undo-after", s.UndoAfter)
	w.yes("pivot", s.Pivot)
	w.yes("optional", s.Optional)
	w.text(2, "when", s.Condition)
	w.yes("no-compensation", s.NoCompensate)
	w.text(2, "compensate-when", s.CompensateIf)
	w.list("refuses", s.Refusals)
}

// retry writes what a policy has other than a file would leave out.
func (w *writer) retry(key string, p, byDefault choreo.RetryPolicy) {
	if p == byDefault {
		return
	}
	d := retryDefaults(p.Backoff)
	parts := []string{"backoff: " + scalar(string(p.Backoff))}
	add := func(differs bool, key, value string) {
		if differs {
			parts = append(parts, key+": "+value)
		}
	}
	add(p.Attempts != d.Attempts, "attempts", strconv.Itoa(p.Attempts))
	add(p.Initial != d.Initial, "initial", formatDuration(p.Initial))
	add(p.Max != d.Max, "max", formatDuration(p.Max))
	add(p.Factor != d.Factor, "factor", formatNumber(p.Factor))
	add(p.Jitter != d.Jitter, "jitter", formatNumber(p.Jitter))
	w.line(2, "%s: {%s}", key, strings.Join(parts, ", "))
}

// undoRetryOf is the policy of a compensation that names none, see choreo.StepOf.UndoRetry. The
// core fills it in; asking the core keeps the two alike.
func undoRetryOf(retry choreo.RetryPolicy) choreo.RetryPolicy {
	def, err := choreo.FromSpec(choreo.Spec{Name: "s", Version: 1, Steps: []choreo.StepDef{{Name: "s", Owner: "s", Retry: retry}}})
	if err != nil {
		return retry
	}
	return def.Step("s").UndoRetry
}

// formatDuration is time.Duration.String without the zeros at its end: "30m", not "30m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func formatNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// encodingName returns the name of a media type in files.
func encodingName(m choreo.MediaType) string {
	for name, media := range shortEncodings() {
		if media == m {
			return name
		}
	}
	return string(m)
}

func flowList(values []string) string {
	items := make([]string, len(values))
	for i, v := range values {
		items[i] = scalar(v)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

var (
	plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./+-]*$`)
	// Words that one reader of YAML or another takes for no text.
	reserved = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null)$`)
)

// scalar returns a text in YAML, in quotes where it could be taken for something else.
func scalar(s string) string {
	if plain.MatchString(s) && !reserved.MatchString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~' || r >= 0xA1 && r <= 0xD7FF && !isBreak(r) || r >= 0xE000 && r <= 0xFFFD && r != 0xFEFF:
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isBreak reports whether YAML 1.1 ends a line there.
func isBreak(r rune) bool { return r == 0x2028 || r == 0x2029 }

// file returns where the payload's schema stands, or is to stand; "" where it has none.
func (p *Payload) file() string {
	if p.File != "" || p.Schema.Text == "" {
		return p.File
	}
	return kebab(p.Name) + extension(p.Schema.Kind)
}

func extension(kind schema.Kind) string {
	switch kind {
	case schema.Avro:
		return ".avsc"
	case schema.Protobuf:
		return ".proto"
	case schema.JSONType:
	}
	return ".json"
}

var (
	wordEnd  = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)
	notInAny = regexp.MustCompile(`[^a-z0-9]+`)
)

// kebab makes a file's name of a payload's: "OrderPlaced" is "order-placed".
func kebab(name string) string {
	spaced := wordEnd.ReplaceAllString(name, "$1$3-$2$4")
	return cmp.Or(strings.Trim(notInAny.ReplaceAllString(strings.ToLower(spaced), "-"), "-"), "payload")
}

// Save writes the document into a folder as <saga>-<version>.yaml, with its schemas where it
// names them, and returns the path of that file. Files that are there already are
// replaced. A schema that would stand outside of the folder is an error.
func (d *Document) Save(dir string) (string, error) {
	files := map[string]string{fmt.Sprintf("%s-%d.yaml", d.Definition.Name(), d.Definition.Version()): string(Format(d))}
	add := func(payload, file, text string) error {
		if other, taken := files[file]; taken && other != text {
			return fmt.Errorf("definition: save %s: %q would hold two texts, one is of payload %s: give that another file", d.Definition, file, payload)
		}
		files[file] = text
		return nil
	}
	for i := range d.Payloads {
		p := &d.Payloads[i]
		if p.Schema.Text == "" {
			continue
		}
		if err := add(p.Name, p.file(), p.Schema.Text); err != nil {
			return "", err
		}
		for n, file := range p.Imports {
			if err := add(p.Name, file, p.Schema.References[n].Text); err != nil {
				return "", err
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !filepath.IsLocal(filepath.FromSlash(file)) {
			return "", fmt.Errorf("definition: save %s: the schema file %q is outside of the folder: give it a path below", d.Definition, file)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(file)), files[file]); err != nil {
			return "", fmt.Errorf("definition: save %s: %w: name a folder that can be written to", d.Definition, err)
		}
	}
	return filepath.Join(dir, fmt.Sprintf("%s-%d.yaml", d.Definition.Name(), d.Definition.Version())), nil
}

func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
