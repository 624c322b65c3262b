package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/schema"
)

// opener opens a file that is named relative to the folder of a definition.
type opener func(name string) (fs.File, error)

// Load reads a definition and the schemas that it names, which stand relative to it in fsys. The
// error is a [*FaultsError] that names every fault, or what fsys said of the file itself.
func Load(fsys fs.FS, file string, bindings ...choreo.Binding) (*Document, error) {
	dir := path.Dir(file)
	return load(file, path.Base(file), func(name string) (fs.File, error) {
		return fsys.Open(path.Join(dir, name))
	}, bindings)
}

// LoadFile is [Load] for a path of the operating system. Schemas may also stand above the file, by
// "..".
func LoadFile(file string, bindings ...choreo.Binding) (*Document, error) {
	dir := filepath.Dir(file)
	return load(file, filepath.Base(file), func(name string) (fs.File, error) {
		return os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	}, bindings)
}

func load(file, base string, open opener, bindings []choreo.Binding) (*Document, error) {
	data, err := readBounded(open, base)
	if err != nil {
		return nil, fmt.Errorf("definition: read %s: %w: name a file that holds a definition", file, err)
	}
	p := newParser(file)
	p.parse(data, bindings)
	p.schemas(open)
	return p.result()
}

// readBounded reads a regular file, at most one byte more than it may have.
func readBounded(open opener, name string) ([]byte, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// schemas reads the texts of the payloads' schemas.
func (p *parser) schemas(open opener) {
	texts := map[string]string{} // several payloads may share a file
	read := func(at keys, file string) string {
		text, known := texts[file]
		if known || fileFault(file) != "" {
			return text
		}
		data, err := readBounded(open, file)
		switch {
		case err != nil:
			p.schemaFault(at, "name a file that is there, by its path from this file on", "the schema file %s cannot be read: %v", file, reasonOf(err))
		case len(data) > maxFile:
			p.schemaFault(at, "split it", "the schema file %s is larger than %d bytes", file, maxFile)
		case len(data) == 0 || !utf8.Valid(data):
			p.schemaFault(at, "save it as UTF-8", "the schema file %s is empty, or no text in UTF-8", file)
		default:
			text = string(data)
		}
		texts[file] = text
		return text
	}
	for i := range p.doc.Payloads {
		payload := &p.doc.Payloads[i]
		at := keys{"payloads", payload.Name}
		if payload.File == "" || payload.Schema.Kind == "" {
			continue
		}
		payload.Schema.Text = read(at.to("schema"), payload.File)
		for _, file := range payload.Imports {
			text := read(at.to("imports").to(file), file)
			name, err := nameOf(payload.Schema.Kind, true, text, file)
			if err != nil && text != "" {
				p.schemaFault(at.to("imports").to(file), "mend the file", "%s: %v", file, err)
			}
			payload.Schema.References = append(payload.Schema.References, schema.Reference{Name: name, Text: text})
		}
		if payload.Schema.Name == "" && payload.Schema.Text != "" {
			name, err := nameOf(payload.Schema.Kind, false, payload.Schema.Text, payload.Name)
			if err != nil {
				p.schemaFault(at.to("schema"), "mend the file", "%s: %v", payload.File, err)
			}
			payload.Schema.Name = name
		}
	}
}

func (p *parser) schemaFault(at keys, wayOut, format string, args ...any) {
	place := p.doc.Place(at...)
	p.fault("schema-file", &yaml.Node{Line: place.Line, Column: place.Column}, at, wayOut, format, args...)
}

// reasonOf drops what a message about the file says besides.
func reasonOf(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// nameOf reads the name of a schema from its text: the full name of an Avro type, the title of a
// JSON Schema, or its $id where another one imports it. What has none is called other, as a
// .proto file is by its path.
func nameOf(kind schema.Kind, imported bool, text, other string) (string, error) {
	if kind == schema.Protobuf || text == "" {
		return other, nil
	}
	var raw json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return other, fmt.Errorf("it is no JSON: %w", err)
	}
	var head struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		ID        string `json:"$id"`
		Title     string `json:"title"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return other, nil //nolint:nilerr // a schema may be a JSON text or a list, and then has no name
	}
	names := []string{head.Title, other}
	switch {
	case imported && kind == schema.JSONType:
		names[0] = head.ID
	case kind == schema.Avro:
		if head.Name != "" && head.Namespace != "" && !strings.Contains(head.Name, ".") {
			head.Name = head.Namespace + "." + head.Name
		}
		names[0] = head.Name
	}
	return names[slices.IndexFunc(names, func(n string) bool { return n != "" })], nil
}
